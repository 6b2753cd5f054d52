#include "base/address.h"

#include <string.h>

static bool ipv4_is_unicast(const uint8_t octets[4])
{
    static const uint8_t broadcast[4] = {255, 255, 255, 255};
    bool multicast = (octets[0] & 0xf0) == 0xe0;
    return octets[0] != 0 && !multicast && memcmp(octets, broadcast, sizeof broadcast) != 0;
}

bool address_is_unicast(const struct in6_addr *address)
{
    if (IN6_IS_ADDR_V4MAPPED(address))
        return ipv4_is_unicast(address->s6_addr + 12);
    return !IN6_IS_ADDR_MULTICAST(address) && !IN6_IS_ADDR_UNSPECIFIED(address);
}

bool address_is_link_local(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LINKLOCAL(address);
}

struct in6_addr address_from_ipv4(struct in_addr ipv4)
{
    struct in6_addr mapped = IN6ADDR_ANY_INIT;
    mapped.s6_addr[10] = mapped.s6_addr[11] = 0xff;
    memcpy(mapped.s6_addr + 12, &ipv4, sizeof ipv4);
    return mapped;
}

#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/unicast.h"

bool address_is_unicast(const struct in6_addr *address)
{
    if (IN6_IS_ADDR_V4MAPPED(address))
        return unicast_is_ipv4(ntohl(address->s6_addr32[3]));
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

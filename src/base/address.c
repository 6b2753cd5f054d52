#include "base/address.h"

#include <string.h>

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

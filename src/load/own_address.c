/* SPDX-License-Identifier: Apache-2.0 */
#include "load/own_address.h"

#include <ifaddrs.h>
#include <stddef.h>

#include "net/endpoint.h"

/* The scope counts for link-local addresses alone. */
static struct endpoint host_of(const struct sockaddr *address)
{
    struct endpoint host = endpoint_from_socket(address);

    host.port = 0;
    if (!IN6_IS_ADDR_LINKLOCAL(&host.address))
        host.scope = 0;
    return host;
}

bool own_address_is(const struct sockaddr *address)
{
    struct ifaddrs *all;
    bool is_found = false;

    if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
        return false;
    struct endpoint host = host_of(address);
    if (IN6_IS_ADDR_LOOPBACK(&host.address) ||
        (IN6_IS_ADDR_V4MAPPED(&host.address) && host.address.s6_addr[12] == 127))
        return true;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *one = all; one != NULL && !is_found; one = one->ifa_next) {
        const struct sockaddr *other = one->ifa_addr;
        if (other == NULL || (other->sa_family != AF_INET && other->sa_family != AF_INET6))
            continue;
        struct endpoint own = host_of(other);
        is_found = endpoint_equals(&own, &host);
    }
    freeifaddrs(all);
    return is_found;
}

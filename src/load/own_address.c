#include "load/own_address.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "net/address.h"

/* As IPv6, IPv4 mapped; the scope is that of link-local addresses, else 0. */
struct host {
    struct in6_addr address;
    uint32_t scope;
};

static bool host_of(const struct sockaddr *address, struct host *host)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        *host = (struct host){.address = address_from_ipv4(v4.sin_addr)};
        return true;
    }
    if (address->sa_family != AF_INET6)
        return false;
    memcpy(&v6, address, sizeof v6);
    host->address = v6.sin6_addr;
    host->scope = IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) ? v6.sin6_scope_id : 0;
    return true;
}

static bool is_loopback(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

static bool is_same(const struct sockaddr *address, const struct host *host)
{
    struct host other;
    return address != NULL && host_of(address, &other) && other.scope == host->scope &&
           IN6_ARE_ADDR_EQUAL(&other.address, &host->address);
}

bool own_address_is(const struct sockaddr *address)
{
    struct ifaddrs *all;
    struct host host;
    bool found = false;
    if (!host_of(address, &host))
        return false;
    if (is_loopback(&host.address))
        return true;
    if (getifaddrs(&all) != 0)
        return false;
    for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next)
        found = is_same(one->ifa_addr, &host);
    freeifaddrs(all);
    return found;
}

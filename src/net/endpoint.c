/* SPDX-License-Identifier: Apache-2.0 */
#include "net/endpoint.h"

#include "net/address.h"

struct endpoint endpoint_from_socket(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)address;
        return (struct endpoint){.address = address_from_ipv4(ipv4->sin_addr),
                                 .port = ipv4->sin_port};
    }

    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
    return (struct endpoint){
        .address = ipv6->sin6_addr, .scope = ipv6->sin6_scope_id, .port = ipv6->sin6_port};
}

socklen_t endpoint_to_socket(const struct endpoint *endpoint, sa_family_t family,
                             struct sockaddr_in6 *address)
{
    if (family == AF_INET) {
        struct sockaddr_in *ipv4 = (struct sockaddr_in *)address;
        *ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = endpoint->port};
        memcpy(&ipv4->sin_addr, &endpoint->address.s6_addr[12], sizeof ipv4->sin_addr);
        return sizeof *ipv4;
    }

    *address = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                     .sin6_port = endpoint->port,
                                     .sin6_addr = endpoint->address,
                                     .sin6_scope_id = endpoint->scope};
    return sizeof *address;
}

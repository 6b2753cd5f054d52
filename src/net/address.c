/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
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

bool address_is_any(const struct in6_addr *address)
{
    struct in6_addr any_ipv4 = address_from_ipv4((struct in_addr){.s_addr = htonl(INADDR_ANY)});
    return IN6_IS_ADDR_UNSPECIFIED(address) || memcmp(address, &any_ipv4, sizeof any_ipv4) == 0;
}

struct in6_addr address_from_socket(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET)
        return address_from_ipv4(((const struct sockaddr_in *)address)->sin_addr);
    return ((const struct sockaddr_in6 *)address)->sin6_addr;
}

bool address_fall_back(struct in6_addr *address, int error)
{
    if (error != -EAFNOSUPPORT || !IN6_IS_ADDR_UNSPECIFIED(address))
        return false;
    *address = address_from_ipv4((struct in_addr){.s_addr = htonl(INADDR_ANY)});
    return true;
}

socklen_t address_to_socket(const struct in6_addr *address, uint16_t port,
                            struct sockaddr_storage *socket_address)
{
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *address};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(address);
    socklen_t bytes = is_ipv4 ? sizeof v4 : sizeof v6;
    memcpy(&v4.sin_addr, address->s6_addr + 12, sizeof v4.sin_addr);
    memset(socket_address, 0, sizeof *socket_address);
    memcpy(socket_address, is_ipv4 ? (const void *)&v4 : (const void *)&v6, bytes);
    return bytes;
}

uint16_t address_bound_port(int fd)
{
    struct sockaddr_in6 address = {.sin6_port = 0};
    socklen_t bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0)
        return 0;
    return ntohs(address.sin6_port); /* where an IPv4 address has it, too */
}

void address_format(const struct in6_addr *address, uint16_t port, char text[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";
    bool ipv4 = IN6_IS_ADDR_V4MAPPED(address);
    inet_ntop(ipv4 ? AF_INET : AF_INET6, address->s6_addr + (ipv4 ? 12 : 0), host, sizeof host);
    snprintf(text, ADDRESS_TEXT_BYTES, ipv4 ? "%s:%u" : "[%s]:%u", host, (unsigned)port);
}

void address_format_host(const struct in6_addr *address, char text[INET6_ADDRSTRLEN])
{
    if (IN6_IS_ADDR_V4MAPPED(address))
        inet_ntop(AF_INET, &address->s6_addr[12], text, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, address, text, INET6_ADDRSTRLEN);
}

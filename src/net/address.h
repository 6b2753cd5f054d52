/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * IP addresses as IPv6; IPv4 as v4-mapped IPv6 (::ffff:a.b.c.d).
 */
#ifndef PADDOCK_NET_ADDRESS_H
#define PADDOCK_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "net/unicast.h"

/** The most addresses that a service listens on. */
#define NET_MAX_ADDRESSES 16

/** Whether one host can have this address: false for the unspecified address and 0.0.0.0/8, for
 * multicast, and for the limited broadcast 255.255.255.255. A subnet's own broadcast address cannot
 * be told from the address alone. */
static inline bool address_is_unicast(const struct in6_addr *address)
{
    uint64_t halves[2];
    memcpy(halves, address, sizeof halves);
    if (halves[0] != 0)
        return address->s6_addr[0] != 0xff;
    if (halves[1] == 0)
        return false;
    return address->s6_addr32[2] != htonl(0xffff) || unicast_is_ipv4(ntohl(address->s6_addr32[3]));
}

/** Whether it is ::1, or of 127.0.0.0/8. */
static inline bool address_is_loopback(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}

/** Whether it is an IPv6 link-local unicast address, fe80::/10. */
bool address_is_link_local(const struct in6_addr *address);

/** The v4-mapped form of an IPv4 address. */
struct in6_addr address_from_ipv4(struct in_addr ipv4);

/** Whether it is `::` or 0.0.0.0: any address of this host. */
bool address_is_any(const struct in6_addr *address);

/** The address in one of a socket; an IPv4 one as v4-mapped. @param address of IPv4 or IPv6. */
struct in6_addr address_from_socket(const struct sockaddr_storage *address);

/** Makes 0.0.0.0 of `::`, which is for IPv4 as well, where a socket for it could not be had because
 * the host has no IPv6.
 * @param error 0 or the negative errno value of the attempt; anything above 0 is none.
 * @return whether @p address has changed, so that another attempt is worth it. */
bool address_fall_back(struct in6_addr *address, int error);

/** The port that a socket of IPv4 or IPv6 is bound to, host order. @return 0 when it is not. */
uint16_t address_bound_port(int fd);

/** The address as bind(2) takes it: of IPv4 if it is v4-mapped.
 * @return how long it is. */
socklen_t address_to_socket(const struct in6_addr *address, uint16_t port,
                            struct sockaddr_storage *socket_address);

/** Room for what address_format() writes. */
#define ADDRESS_TEXT_BYTES 64

/** Writes "192.0.2.1:7600" or "[2001:db8::1]:7600". */
void address_format(const struct in6_addr *address, uint16_t port, char text[ADDRESS_TEXT_BYTES]);

/** Writes the address alone: "192.0.2.1" or "2001:db8::1". */
void address_format_host(const struct in6_addr *address, char text[INET6_ADDRSTRLEN]);

#endif

/** @file
 * IP addresses as IPv6; IPv4 as v4-mapped IPv6 (::ffff:a.b.c.d).
 */
#ifndef PADDOCK_BASE_ADDRESS_H
#define PADDOCK_BASE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

/** Whether one host can have this address: false for the unspecified address and 0.0.0.0/8, for
 * multicast, and for the limited broadcast 255.255.255.255. A subnet's own broadcast address cannot
 * be told from the address alone. */
bool address_is_unicast(const struct in6_addr *address);

/** Whether it is an IPv6 link-local unicast address, fe80::/10. */
bool address_is_link_local(const struct in6_addr *address);

/** The v4-mapped form of an IPv4 address. */
struct in6_addr address_from_ipv4(struct in_addr ipv4);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Prefixes of IP addresses as text and as numbers, and lists of them.
 */
#ifndef PADDOCK_NET_PREFIX_H
#define PADDOCK_NET_PREFIX_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/** Room for a prefix as text, and its terminator. */
#define PREFIX_TEXT_BYTES (INET6_ADDRSTRLEN + 4)
/** Bits of a v4-mapped address that all of them have. */
#define PREFIX_IPV4_BITS 96

/** An address with its first @p bits that count; the others are 0. An IPv4 prefix is that of
 * v4-mapped addresses and has PREFIX_IPV4_BITS more. */
struct prefix {
    struct in6_addr address;
    unsigned bits; /**< 0 to 128 */
};

/** Zeroed it is empty; its items are on the heap. */
struct prefix_list {
    struct prefix *items;
    size_t count, capacity;
};

/**
 * Reads `192.0.2.0/24`, `2001:db8::/32`, or an address, which is the prefix of its whole length.
 * A v4-mapped prefix of at least 96 bits is one of IPv4. Bits behind the prefix have to be 0,
 * because somebody who writes 192.0.2.7/24 may have meant 192.0.2.7.
 *
 * @param[out] prefix untouched on failure.
 * @return 0, or -1.
 */
int prefix_parse(const char *text, struct prefix *prefix);

/** Writes what prefix_parse() reads back, with the number of bits. */
void prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_BYTES]);

/** Whether its addresses are those of IPv4. An IPv6 prefix that has them inside is not for them. */
bool prefix_is_ipv4(const struct prefix *prefix);

/** Adds a copy. @return 0, or -1 without memory: the list is as it was. */
int prefix_list_add(struct prefix_list *list, const struct prefix *prefix);

/** Releases the items; the list is empty then. */
void prefix_list_fini(struct prefix_list *list);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Who may ask at all: prefixes that are allowed and denied, as a trie that is built once and then
 * only read, by any number of threads.
 *
 * Of all prefixes of both lists that an address is in, the longest decides; of two that are equally
 * long, deny. An address that is in none is allowed if nothing is listed as allowed. IPv4, also as
 * v4-mapped addresses, goes by IPv4 prefixes alone, IPv6 by IPv6 prefixes alone.
 */
#ifndef PADDOCK_GUARD_ACCESS_H
#define PADDOCK_GUARD_ACCESS_H

#include <stddef.h>

#include "net/prefix.h"

struct access;

/**
 * Builds the trie of two lists, which it does not keep. It takes 24 bytes for each six bits of
 * prefix that others do not share: below 200 bytes for an IPv6 /64, 450 for a single IPv6 address.
 *
 * @param[out] access allocated; NULL if both lists are empty, which is no limit. Untouched on
 * failure.
 * @return 0, or -ENOMEM.
 */
int access_new(struct access **access, const struct prefix_list *allow,
               const struct prefix_list *deny);

/** Whether an address may ask. Does not allocate, lock or block. */
bool access_allows(const struct access *access, const struct in6_addr *address);

/** NULL is fine. */
void access_free(struct access *access);

#endif

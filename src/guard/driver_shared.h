/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Access lists and limits as a program in the driver has them in its maps.
 */
#ifndef PADDOCK_GUARD_DRIVER_SHARED_H
#define PADDOCK_GUARD_DRIVER_SHARED_H

#include <stdint.h>

#include "guard/guard_core.h"

/** Prefixes that one version of the rules can list: two lists of 131072, and the two defaults. */
#define GUARD_MAX_PREFIXES (2 * 131072 + 2)

/** A prefix, as the kernel's tries have their keys. Network order; IPv4 as v4-mapped IPv6. */
struct guard_driver_prefix {
    uint32_t bits;
    uint32_t address[4];
};

/** IPv4 networks of 24 bits, each with two bits about it. */
#define GUARD_NETWORKS_PER_WORD 32
#define GUARD_NETWORKS_WORDS ((1 << 24) / GUARD_NETWORKS_PER_WORD)

enum guard_network {
    GUARD_NETWORK_DENIED,
    GUARD_NETWORK_ALLOWED,
    GUARD_NETWORK_MIXED /**< longer prefixes decide: the trie knows */
};

/** Whom to answer: one version, which is replaced whole. Zeroed it is everybody. */
struct guard_driver_rules {
    struct guard_parameters limits; /**< looked at if is_limited */
    uint32_t is_limited;
    uint32_t is_listed; /**< whether there are prefixes */
    uint32_t prefixes;  /**< which of the two tries, and of the two halves of the networks, has
                           them: whether a source may ask, by the longest prefix that it is in */
    uint32_t unused;
};

#endif

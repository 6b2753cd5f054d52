/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What lists of prefixes say of every IPv4 network of 24 bits, two bits for each: one word to look
 * at, where the kernel's trie of a hundred thousand prefixes has some twenty nodes, each of them
 * somewhere else in memory.
 */
#ifndef PADDOCK_GUARD_NETWORKS_H
#define PADDOCK_GUARD_NETWORKS_H

#include <stddef.h>
#include <stdint.h>

#include "guard/driver_shared.h"

/**
 * Writes all words of one version.
 * @param words    GUARD_NETWORKS_WORDS of them.
 * @param prefixes IPv4 and other ones, which are passed over. One of the
 * IPv4 ones has to cover all. Of two that are equal the later one counts.
 * @param allowed  whether each of them allows.
 * @return 0, or -ENOMEM: the words are as they were.
 */
int guard_networks_fill(uint64_t *words, const struct guard_driver_prefix *prefixes,
                        const uint8_t *allowed, size_t count);

#endif

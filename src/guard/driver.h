/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Access lists and limits for a program in the driver: two versions in the kernel, each with a trie
 * of prefixes. One is in use; the other is filled, then put in its place at once. No call needs a
 * privilege: all maps are there from the start.
 */
#ifndef PADDOCK_GUARD_DRIVER_H
#define PADDOCK_GUARD_DRIVER_H

#include <stddef.h>

#include "guard/driver_shared.h"
#include "guard/guard_core.h"
#include "net/prefix.h"

/** The program's maps of driver.bpf.h: descriptors, and memory. Borrowed. */
struct guard_driver_maps {
    int current;         /**< array of maps, with the first of the versions in it */
    int versions[2];     /**< arrays of one struct guard_driver_rules */
    int prefixes[2];     /**< tries */
    uint64_t *networks;  /**< mapped: GUARD_NETWORKS_WORDS of each version */
    uint32_t *has_rules; /**< of the program */
};

/** The content of a version. Borrowed during a call. */
struct guard_driver_options {
    const struct prefix_list *allow, *deny; /**< as in guard/access.h */
    const struct guard_parameters *limits;  /**< NULL: none */
};

/** The two versions, used by one thread. Zeroed but for the maps, at first: the first version is in
 * use then, and admits everybody. */
struct guard_driver {
    struct guard_driver_maps maps;
    unsigned used;                         /**< which of the versions */
    uint32_t has_rules[2];                 /**< whether each admits less than everybody */
    struct guard_driver_prefix *listed[2]; /**< what each trie may have, from malloc() */
    size_t listed_count[2];
};

/**
 * Fills the version that is not in use. It may be called again before guard_driver_apply(), which
 * then takes the last one.
 * @return 0; -E2BIG: more prefixes than the trie takes; or another negative errno value. The
 * version in use has not changed.
 */
int guard_driver_prepare(struct guard_driver *driver, const struct guard_driver_options *options);

/**
 * Puts the version that guard_driver_prepare() has filled in use: a packet is judged by the version
 * before, or by this one. Blocks for milliseconds, until no program uses the version before.
 * @return 0 or a negative errno value: the version before is in use.
 */
int guard_driver_apply(struct guard_driver *driver);

/** Frees memory; the maps are as they were. */
void guard_driver_fini(struct guard_driver *driver);

#endif

/** @file
 * The rules that the program in the kernel decides by: two versions of them, each with a trie of
 * prefixes. One is in use; the other is filled, then put in its place at once. No call needs a
 * privilege: all maps are there from the start.
 */
#ifndef PADDOCK_FASTPATH_RULES_H
#define PADDOCK_FASTPATH_RULES_H

#include <stddef.h>

#include "fastpath/shared.h"
#include "guard/guard_core.h"
#include "net/prefix.h"

/** The program's maps: descriptors, and memory. Borrowed. */
struct xdp_rules_maps {
    int current;         /**< array of maps, with the first of the versions in it */
    int versions[2];     /**< arrays of one struct xdp_rules */
    int prefixes[2];     /**< tries */
    uint64_t *networks;  /**< mapped: XDP_NETWORKS_WORDS of each version */
    uint32_t *has_rules; /**< of struct xdp_settings */
};

/** What a version says. Borrowed during a call. */
struct xdp_rules_options {
    const struct prefix_list *allow, *deny; /**< as in guard/access.h */
    const struct guard_parameters *limits;  /**< NULL: none */
};

/** The versions, from one thread. To be zeroed but for the maps, at first: the first one is in use
 * then, and is everybody. */
struct xdp_rules_store {
    struct xdp_rules_maps maps;
    unsigned used;                /**< which of the versions */
    uint32_t has_rules[2];        /**< whether each is more than everybody */
    struct xdp_prefix *listed[2]; /**< what each trie may have, from malloc() */
    size_t listed_count[2];
};

/**
 * Fills the version that is not in use. It may be called again before xdp_rules_apply(), which then
 * takes what was filled last.
 * @return 0; -E2BIG: more prefixes than the trie takes; or another negative errno value. What is in
 * use has not changed.
 */
int xdp_rules_prepare(struct xdp_rules_store *store, const struct xdp_rules_options *options);

/**
 * Puts what xdp_rules_prepare() has filled in use: a packet is judged by the version before, or by
 * this one. Blocks for milliseconds, until no program uses the version before.
 * @return 0 or a negative errno value: the version before is in use.
 */
int xdp_rules_apply(struct xdp_rules_store *store);

/** Frees memory; the maps are as they were. */
void xdp_rules_fini(struct xdp_rules_store *store);

#endif

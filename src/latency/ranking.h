/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The order of places by their windows, which does not change for little: a place passes another
 * only when window_is_better() says so. Pure functions.
 */
#ifndef PADDOCK_LATENCY_RANKING_H
#define PADDOCK_LATENCY_RANKING_H

#include <stddef.h>
#include <stdint.h>

#include "latency/window.h"

/** A place in a ranking. */
struct ranked {
    const struct window *window; /**< known; borrowed */
    void *owner;                 /**< the caller's */
    int64_t shown_ns;            /**< set by ranking_update() */
};

/**
 * Brings places into order, from the order that they had; new ones stand at the end.
 *
 * Of two places none of which is better the one before stays before, unless a third has to pass
 * the one and not the other. What is shown of a place is its base, so far as the order by what is
 * shown stays this order. A base that has become longer than one behind it within the last
 * #WINDOW_BASES windows waits, and shows no more than that one; otherwise the place behind shows a
 * nanosecond more than the place before it. So only a place that has changed is shown with less or
 * more by what would make a place better, and for no longer than those windows.
 */
void ranking_update(struct ranked *places, size_t count);

#endif

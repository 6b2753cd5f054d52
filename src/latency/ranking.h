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
 * the one and not the other. What is shown of a place is its base; or a nanosecond more than what
 * is shown of the place before, where the base is less than that. So the order by what is shown is
 * this order, and what is shown is too much by less than what makes a place better, but for the
 * windows after a change.
 */
void ranking_update(struct ranked *places, size_t count);

#endif

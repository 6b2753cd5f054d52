/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Whether an interface loses what its XDP program sends; a decision over counters, without I/O.
 */
#ifndef PADDOCK_FASTPATH_HEALTH_H
#define PADDOCK_FASTPATH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/** Fewer losses than this are no reason to do anything, */
#define FASTPATH_HEALTH_ERRORS 10

/** nor are losses of less than one frame in so many. */
#define FASTPATH_HEALTH_FRAMES 100

/** Counters at the start of the stretch that is looked at: it grows from look to look until it has
 * as many frames as both numbers ask for, so that few frames a second are enough. */
struct fastpath_health {
    uint64_t transmitted;
    uint64_t errors;
};

/** Looks at the counters, which only grow; one of losses that is less than before begins anew.
 * @return whether so much was lost that sockets serve better. */
bool fastpath_health_is_bad(struct fastpath_health *health, uint64_t transmitted, uint64_t errors);

#endif

/** @file
 * Whether an interface loses what its XDP program sends; a decision over counters, without I/O.
 */
#ifndef PADDOCK_FASTPATH_HEALTH_H
#define PADDOCK_FASTPATH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/** Fewer losses than this are no reason to do anything, */
#define XDP_HEALTH_ERRORS 10

/** nor are losses of less than one answer in so many. */
#define XDP_HEALTH_ANSWERS 100

/** Counters where the stretch began that is looked at: it grows from look to look until it has as
 * many answers as both numbers ask for, so that few pings a second are enough. */
struct xdp_health {
    uint64_t answered;
    uint64_t errors;
};

/** Looks at the counters, which only grow; one of losses that is less than before begins anew.
 * @return whether so much was lost that sockets serve better. */
bool xdp_health_is_bad(struct xdp_health *health, uint64_t answered, uint64_t errors);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/clock.h"

/* The tightest of a few tries, because the thread may be preempted in between, and the difference
 * of the two clocks is what tells a step. */
struct qcmp_reading qcmp_clock_read(void)
{
    enum {
        TRIES = 4,
        TIGHT_NS = 2000
    };
    struct qcmp_reading best = {{0, 0}, INT64_MAX};
    for (int i = 0; i < TRIES && best.width_ns > TIGHT_NS; i++) {
        int64_t before = qcmp_clock_monotonic_ns();
        int64_t wall = qcmp_clock_wall_ns();
        int64_t width = qcmp_clock_monotonic_ns() - before;
        if (width < best.width_ns) {
            best.at.wall_ns = wall;
            best.at.monotonic_ns = before + width / 2;
            best.width_ns = width;
        }
    }
    return best;
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * When a datagram arrived, on a clock that is never set. The kernel stamps arrivals with the wall
 * clock, which may be set at any time.
 */
#ifndef PADDOCK_RELAY_ARRIVAL_H
#define PADDOCK_RELAY_ARRIVAL_H

#include <stdint.h>

/** Both clocks, read one right after the other. */
struct arrival_clocks {
    int64_t wall_ns, monotonic_ns;
};

/** How far a stamp may lie outside of what the clocks allow: they are not read in one moment. */
#define ARRIVAL_SLACK_NS INT64_C(100000)

/** Reads both clocks, within 5 microseconds of each other unless the host is very busy. */
struct arrival_clocks arrival_clocks_read(void);

/**
 * Tells when a datagram arrived. That was after its socket was seen empty and before it was read:
 * a stamp that says otherwise comes from before a step of the wall clock, or from after one. It is
 * then read by the other of the two relations of the clocks; if it makes no sense by either, the
 * datagram counts as arriving when it was read.
 *
 * @param empty the clocks when nothing was there yet.
 * @param read the clocks when it was read; not before @p empty.
 * @param stamp_ns the kernel's stamp; 0: there is none.
 * @return monotonic time, from that of @p empty to that of @p read.
 */
int64_t arrival_monotonic_ns(const struct arrival_clocks *empty, const struct arrival_clocks *read,
                             int64_t stamp_ns);

#endif

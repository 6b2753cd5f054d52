/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The clocks of this host, in nanoseconds. No call blocks, allocates or fails. Inline, because the
 * packet path reads one for each reply.
 */
#ifndef PADDOCK_BASE_CLOCK_H
#define PADDOCK_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/** One clock. */
static inline int64_t clock_read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/** Unix time, UTC. It jumps when someone sets the clock. */
static inline int64_t clock_wall_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

/** Time since some fixed moment; never jumps and never goes back. Stands still while the host
 * sleeps. */
static inline int64_t clock_monotonic_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC);
}

/** As clock_monotonic_ns(), late by some milliseconds at most, for a quarter of its cost. */
static inline int64_t clock_coarse_ns(void)
{
    return clock_read_ns(CLOCK_MONOTONIC_COARSE);
}

#endif

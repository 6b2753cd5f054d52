/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The client's clocks and randomness. clock_posix.c and clock_windows.c read the clocks of their
 * systems, random_*.c what each has to be unpredictable.
 */
#ifndef PADDOCK_CLIENT_CLOCK_H
#define PADDOCK_CLIENT_CLOCK_H

#include <stddef.h>

#include <qcmp/probe.h>

/** A moment, and how far apart its two clocks may have been read. */
struct qcmp_reading {
    struct qcmp_stamp at;
    int64_t width_ns;
};

/** Unix nanoseconds, UTC. */
int64_t qcmp_clock_wall_ns(void);

/** Nanoseconds on a clock that is never set. */
int64_t qcmp_clock_monotonic_ns(void);

/** Reads the wall clock and the monotonic clock as one moment. */
struct qcmp_reading qcmp_clock_read(void);

/** Fills @p buffer with at most 256 unpredictable bytes. @return 0 or an error of the operating
 * system. */
int qcmp_random_fill(void *buffer, size_t bytes);

#endif

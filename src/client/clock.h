/** @file
 * The client's clocks and randomness.
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

/** Reads the wall clock and the monotonic clock as one moment. */
struct qcmp_reading qcmp_clock_read(void);

/** Fills @p buffer with at most 256 unpredictable bytes. @return 0 or an error of the operating
 * system. */
int qcmp_random_fill(void *buffer, size_t bytes);

#endif

/** @file
 * The client's clocks and randomness.
 */
#ifndef PADDOCK_CLIENT_CLOCK_H
#define PADDOCK_CLIENT_CLOCK_H

#include <stddef.h>

#include <qcmp/probe.h>

/** Reads the wall clock and the monotonic clock as one moment. */
struct qcmp_stamp qcmp_clock_read(void);

/** Fills @p buffer with at most 256 unpredictable bytes. @return 0 or an error of the operating
 * system. */
int qcmp_random_fill(void *buffer, size_t bytes);

#endif

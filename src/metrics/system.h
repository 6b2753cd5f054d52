/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the kernel knows of this process and of the host's clock, for the metrics.
 */
#ifndef PADDOCK_METRICS_SYSTEM_H
#define PADDOCK_METRICS_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "metrics/metrics.h"

/** The wall clock, as the kernel keeps it. */
struct metrics_clock {
    bool synchronized;     /**< somebody (chrony, ntpd, ptp) keeps it in step */
    uint64_t max_error_ns; /**< how far off it may be; grows while nobody keeps it */
};

/** This process. */
struct metrics_process {
    uint64_t cpu_ns;   /**< all its threads together, user and system */
    uint64_t start_ns; /**< Unix nanoseconds, UTC; as fine as the kernel tells it (10 ms) */
    uint64_t virtual_bytes;
    uint64_t resident_bytes;
    uint64_t open_fds;
    uint64_t max_fds; /**< the soft limit; UINT64_MAX = none */
};

/** Asks the kernel for the state of the clock, with adjtimex().
 * @param[out] clock untouched on failure.
 * @return 0 or a negative errno value (-EPERM where a sandbox forbids the call). */
int metrics_clock_read(struct metrics_clock *clock);

/**
 * Reads /proc and the limits. Allocates for the listing of a directory; opens files, and so fails
 * when the process has no descriptor left.
 * @param[out] process untouched on failure.
 * @return 0 or a negative errno value (-ENOENT where /proc is not mounted).
 */
int metrics_process_read(struct metrics_process *process);

/** Writes the families of the clock and of the process, as they are now; without those that cannot
 * be read. Blocks and allocates as the calls above do. */
void metrics_system_write(struct metrics *out);

#endif

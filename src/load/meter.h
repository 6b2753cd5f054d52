/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The CPU time that a run takes: of this process, of those watched, and what was left of the CPUs.
 */
#ifndef PADDOCK_LOAD_METER_H
#define PADDOCK_LOAD_METER_H

#include "load/load.h"

/** What was on the clocks at the start. */
struct meter {
    int64_t pids_ns[LOAD_MAX_PIDS];
    int64_t own_ns;
    int64_t idle_ns;
    int64_t start_ns;
};

/** Starts it, right before the first ping. */
void meter_start(struct meter *meter, const struct load_options *options);

/** Takes what the sending alone took. */
void meter_sending_over(const struct meter *meter, struct load_result *result);

/** Takes the rest, once nothing is in flight. */
void meter_stop(const struct meter *meter, const struct load_options *options,
                struct load_result *result);

#endif

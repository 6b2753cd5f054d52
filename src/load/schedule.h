/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * When the pings of an open loop are due, whatever becomes of those before: so many a second, at
 * constant distances or as a Poisson process. No clock: times are nanoseconds after the start.
 */
#ifndef PADDOCK_LOAD_SCHEDULE_H
#define PADDOCK_LOAD_SCHEDULE_H

#include <stdint.h>

/** The highest rate of a schedule, pings a second. */
#define SCHEDULE_MAX_RATE 100000000

enum schedule_arrivals {
    SCHEDULE_CONSTANT, /**< equal distances, without rounding errors that add up */
    SCHEDULE_POISSON   /**< exponential distances, as from many senders that know nothing of each
                          other */
};

/** A schedule under way; all of it is its own affair. */
struct schedule {
    enum schedule_arrivals arrivals;
    uint64_t rate;
    uint64_t burst;
    uint64_t index; /* the next burst's */
    double poisson_ns;
    unsigned short seed[3];
};

/**
 * Starts a schedule.
 *
 * @param rate pings a second, 1 to #SCHEDULE_MAX_RATE.
 * @param burst pings that are due together, at least 1; the rate is that of the single pings.
 * @param seed of the Poisson process: the same gives the same times.
 */
void schedule_init(struct schedule *schedule, enum schedule_arrivals arrivals, uint64_t rate,
                   uint64_t burst, uint64_t seed);

/** When the next burst is due; it stays the next until schedule_advance(). Never goes back. The
 * first one of a constant schedule is due at 0. */
int64_t schedule_next_ns(const struct schedule *schedule);

/** Goes on to the burst after. */
void schedule_advance(struct schedule *schedule);

#endif

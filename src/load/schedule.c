/* SPDX-License-Identifier: Apache-2.0 */
#include "load/schedule.h"

#include <math.h>
#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)

/* The logarithm of one minus a number from 0 to below 1, so that the logarithm is always finite. */
static double exponential_ns(struct schedule *schedule)
{
    double mean_ns = (double)SECOND_NS * (double)schedule->burst / (double)schedule->rate;
    return -log(1.0 - erand48(schedule->seed)) * mean_ns;
}

void schedule_init(struct schedule *schedule, enum schedule_arrivals arrivals, uint64_t rate,
                   uint64_t burst, uint64_t seed)
{
    *schedule = (struct schedule){.arrivals = arrivals, .rate = rate, .burst = burst};
    for (unsigned i = 0; i < 3; i++)
        schedule->seed[i] = (unsigned short)(seed >> (16 * i));
    if (arrivals == SCHEDULE_POISSON)
        schedule->poisson_ns = exponential_ns(schedule);
}

/* From the index and not by adding distances, which would add up what each of them is rounded by.
 */
static int64_t constant_ns(const struct schedule *schedule)
{
    uint64_t pings = schedule->index * schedule->burst;
    uint64_t seconds = pings / schedule->rate;
    return (int64_t)(seconds * SECOND_NS + pings % schedule->rate * SECOND_NS / schedule->rate);
}

int64_t schedule_next_ns(const struct schedule *schedule)
{
    if (schedule->arrivals == SCHEDULE_POISSON)
        return (int64_t)schedule->poisson_ns;
    return constant_ns(schedule);
}

void schedule_advance(struct schedule *schedule)
{
    schedule->index++;
    if (schedule->arrivals == SCHEDULE_POISSON)
        schedule->poisson_ns += exponential_ns(schedule);
}

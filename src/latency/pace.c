/* SPDX-License-Identifier: Apache-2.0 */
#include "latency/pace.h"

/* A time from the first one on, below the sum of both. */
static int64_t spread(int64_t from_ns, int64_t range_ns, uint32_t random)
{
    return from_ns + range_ns / 65536 * (random >> 16);
}

static int64_t within(int64_t interval_ns, const struct pace_bounds *bounds)
{
    if (interval_ns < bounds->least_ns)
        return bounds->least_ns;
    return interval_ns < bounds->most_ns ? interval_ns : bounds->most_ns;
}

int64_t pace_after_answer(struct pace *pace, const struct pace_bounds *bounds,
                          enum window_news news, uint32_t random)
{
    int64_t interval_ns = bounds->least_ns;

    switch (news) {
    case WINDOW_MOVED:
        pace->interval_ns = bounds->least_ns;
        break;
    case WINDOW_STEADY:
        pace->interval_ns = within(pace->interval_ns + pace->interval_ns / 2, bounds);
        interval_ns = pace->interval_ns;
        break;
    case WINDOW_OFF:
        break;
    }
    return spread(interval_ns - interval_ns / 10, interval_ns / 5, random);
}

int64_t pace_after_loss(struct pace *pace, const struct pace_bounds *bounds, unsigned lost_running,
                        uint32_t random)
{
    int64_t interval_ns = bounds->least_ns;

    pace->interval_ns = bounds->least_ns;
    for (unsigned i = WINDOW_DOWN; i < lost_running && interval_ns < bounds->most_ns; i++)
        interval_ns *= 2;
    interval_ns = within(interval_ns, bounds);
    return spread(interval_ns / 2, interval_ns / 2, random);
}

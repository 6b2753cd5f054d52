/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/clock.h"

#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t qcmp_clock_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t qcmp_clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

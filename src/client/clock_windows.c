/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/clock.h"

/* A FILETIME counts 100 ns since 1601. */
#define UNIX_EPOCH INT64_C(116444736000000000)

int64_t qcmp_clock_wall_ns(void)
{
    FILETIME now;
    GetSystemTimePreciseAsFileTime(&now);
    uint64_t ticks = (uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return ((int64_t)ticks - UNIX_EPOCH) * 100;
}

int64_t qcmp_clock_monotonic_ns(void)
{
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    int64_t seconds = count.QuadPart / frequency.QuadPart;
    int64_t rest = count.QuadPart % frequency.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / frequency.QuadPart;
}

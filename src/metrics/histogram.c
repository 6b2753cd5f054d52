/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/histogram.h"

#include <assert.h>
#include <string.h>

const struct histogram_bounds histogram_batch_bounds = {.count = 6, .upper = {1, 2, 4, 8, 16, 32}};

const struct histogram_bounds histogram_time_bounds = {.count = 19,
                                                       .in_seconds = true,
                                                       .upper = {1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5,
                                                                 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3,
                                                                 1e-2, 2e-2, 5e-2, .1, .2, .5, 1}};

void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds)
{
    memset(histogram, 0, sizeof *histogram);
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        /* A little more, because 1e-6 * 1e9 may come out below 1000. */
        double upper = i < bounds->count ? bounds->upper[i] * (bounds->in_seconds ? 1e9 : 1) : 0;
        histogram->upper[i] = i < bounds->count ? (uint64_t)(upper + 1e-3) : UINT64_MAX;
        assert(i == 0 || i > bounds->count || histogram->upper[i] > histogram->upper[i - 1]);
    }
    uint8_t bucket = 0;
    for (unsigned bit = 0; bit < HISTOGRAM_FIRST; bit++) {
        uint64_t least = bit == 0 ? 0 : UINT64_C(1) << bit;
        while (histogram->upper[bucket] < least)
            bucket++;
        histogram->first[bit] = bucket;
    }
}

void histogram_add(struct histogram_sum *sum, const struct histogram *histogram)
{
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        sum->buckets[i] += counter_read(&histogram->buckets[i]);
    sum->sum += counter_read(&histogram->sum);
}

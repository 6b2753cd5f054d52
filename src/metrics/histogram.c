#include "metrics/histogram.h"

#include <string.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

const struct histogram_bounds histogram_batch_bounds = {.count = 6, .upper = {1, 2, 4, 8, 16, 32}};

const struct histogram_bounds histogram_time_bounds = {
    .count = 19,
    .upper = {1 * US, 2 * US, 5 * US, 10 * US, 20 * US, 50 * US, 100 * US, 200 * US, 500 * US,
              1 * MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS,
              1000 * MS}};

void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds)
{
    memset(histogram, 0, sizeof *histogram);
    histogram->bounds = bounds;
    histogram->count = bounds->count;
    for (unsigned bits = 1; bits < HISTOGRAM_FIRST; bits++) {
        uint64_t least = UINT64_C(1) << (bits - 1);
        uint8_t bucket = histogram->first[bits - 1];
        while (bucket < bounds->count && bounds->upper[bucket] < least)
            bucket++;
        histogram->first[bits] = bucket;
    }
}

void histogram_add(struct histogram_sum *sum, const struct histogram *histogram)
{
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        sum->buckets[i] += counter_read(&histogram->buckets[i]);
    sum->sum += counter_read(&histogram->sum);
}

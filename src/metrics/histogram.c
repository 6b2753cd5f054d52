#include "metrics/histogram.h"

#include <assert.h>
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
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        histogram->upper[i] = i < bounds->count ? bounds->upper[i] : UINT64_MAX;
    for (size_t i = 1; i < bounds->count; i++)
        assert(bounds->upper[i] / 2 >= bounds->upper[i - 1]);
    uint8_t bucket = 0;
    for (unsigned bit = 0; bit < HISTOGRAM_FIRST; bit++) {
        uint64_t least = bit == 0 ? 0 : UINT64_C(1) << bit;
        while (histogram->upper[bucket] < least)
            bucket++;
        histogram->first[bit] = bucket;
    }
}

void histogram_run_move(struct histogram_run *run, int64_t value)
{
    const struct histogram *histogram = run->histogram;
    if (value < 0)
        run->sum -= (uint64_t)value;
    counter_add(&run->histogram->buckets[run->bucket], run->count);
    run->bucket = histogram_bucket(histogram, value > 0 ? (uint64_t)value : 0);
    /* No negative value is in it, as large as those are without their sign. */
    uint64_t bound = histogram->upper[run->bucket];
    bound = bound < INT64_MAX ? bound : INT64_MAX;
    run->least = run->bucket > 0 ? histogram->upper[run->bucket - 1] + 1 : 0;
    run->span = bound - run->least;
    run->count = 1;
}

void histogram_add(struct histogram_sum *sum, const struct histogram *histogram)
{
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        sum->buckets[i] += counter_read(&histogram->buckets[i]);
    sum->sum += counter_read(&histogram->sum);
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Histograms of the packet path: fixed bounds and one writer, as with struct counter. A record
 * costs about the same whatever the value.
 */
#ifndef PADDOCK_METRICS_HISTOGRAM_H
#define PADDOCK_METRICS_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"

/** The most bounds that a histogram has. */
#define HISTOGRAM_BOUNDS 19

/** Places that the highest bit of a value can have. */
#define HISTOGRAM_FIRST 64

/** Upper bounds of buckets, rising; a value that equals one is in its bucket. */
struct histogram_bounds {
    size_t count;    /**< at most #HISTOGRAM_BOUNDS */
    bool in_seconds; /**< the values are nanoseconds, the bounds seconds; otherwise both count the
                        same things */
    double upper[HISTOGRAM_BOUNDS];
};

/** 1, 2, 4 to 32: packets of a batch. */
extern const struct histogram_bounds histogram_batch_bounds;

/** 1, 2, 5 and so on from a microsecond to a second. */
extern const struct histogram_bounds histogram_time_bounds;

/** A histogram, made by histogram_init(). */
struct histogram {
    uint64_t upper[HISTOGRAM_BOUNDS + 1]; /**< the bounds, and the largest number behind the last */
    uint8_t first[HISTOGRAM_FIRST];       /**< by the highest bit of a value: its lowest bucket */
    struct counter buckets[HISTOGRAM_BOUNDS + 1]; /**< each counts its own values alone; the one
                                                     after the last bound takes what is above */
    struct counter sum;                           /**< the sum of all values, modulo 2^64 */
};

/** What histograms of the same bounds hold together. */
struct histogram_sum {
    uint64_t buckets[HISTOGRAM_BOUNDS + 1];
    uint64_t sum;
};

/** Empties a histogram and gives it bounds, before its writer starts. */
void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds);

/** Adds what a histogram holds to @p sum. From any thread, at any time. Values recorded meanwhile
 * may be in a bucket and not yet in the sum of values. */
void histogram_add(struct histogram_sum *sum, const struct histogram *histogram);

/** The place of the highest bit of a value, 0 for 0. */
static inline unsigned histogram_bit(uint64_t value)
{
    return 63 ^ (unsigned)__builtin_clzll(value | 1);
}

/** The bucket of a value. The highest bit leaves as many to choose from as there are bounds within
 * a power of two: one, where bounds double. */
static inline size_t histogram_bucket(const struct histogram *histogram, uint64_t value)
{
    size_t bucket = histogram->first[histogram_bit(value)];
    while (value > histogram->upper[bucket])
        bucket++;
    return bucket;
}

/** Counts a value; by the histogram's only writer alone. A difference of clocks that may be
 * negative is the caller's to cut at 0. */
static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    counter_add(&histogram->buckets[histogram_bucket(histogram, value)], 1);
    counter_add(&histogram->sum, value);
}

#endif

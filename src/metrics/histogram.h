/** @file
 * Histograms of the packet path: fixed bounds and one writer, as with struct counter. A record
 * costs the same whatever the value.
 */
#ifndef PADDOCK_METRICS_HISTOGRAM_H
#define PADDOCK_METRICS_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"

/** The most bounds that a histogram has. */
#define HISTOGRAM_BOUNDS 19

/** Numbers of significant bits that a value can have: 0 to 64. */
#define HISTOGRAM_FIRST 65

/** Upper bounds of buckets, ascending; a value that equals one is in its bucket. */
struct histogram_bounds {
    size_t count; /**< at most #HISTOGRAM_BOUNDS */
    uint64_t upper[HISTOGRAM_BOUNDS];
};

/** 1, 2, 4 to 32: packets of a batch. */
extern const struct histogram_bounds histogram_batch_bounds;

/** 1, 2, 5 and so on from a microsecond to a second, in nanoseconds. */
extern const struct histogram_bounds histogram_time_bounds;

/** A histogram. Zeroed it has no bounds: it can be recorded to and read, and has one bucket. */
struct histogram {
    const struct histogram_bounds *bounds;        /**< NULL: none */
    size_t count;                                 /**< of bounds */
    uint8_t first[HISTOGRAM_FIRST];               /**< by the bits of a value: where its bucket is
                                                     looked for */
    struct counter buckets[HISTOGRAM_BOUNDS + 1]; /**< each counts its own values alone; the one
                                                     after the last bound takes what is above */
    struct counter sum;                           /**< of all values, modulo 2^64 */
};

/** What histograms of the same bounds hold together. */
struct histogram_sum {
    uint64_t buckets[HISTOGRAM_BOUNDS + 1];
    uint64_t sum;
};

/** Empties a histogram and gives it bounds, before its writer starts.
 * @param bounds borrowed as long as the histogram is used. */
void histogram_init(struct histogram *histogram, const struct histogram_bounds *bounds);

/** Adds what a histogram holds to @p sum. From any thread, at any time. Values recorded meanwhile
 * may be in a bucket and not yet in the sum of values. */
void histogram_add(struct histogram_sum *sum, const struct histogram *histogram);

/** The number of significant bits of a value. */
static inline unsigned histogram_bits(uint64_t value)
{
    return value == 0 ? 0 : 64 - (unsigned)__builtin_clzll(value);
}

/** Counts a value; by the histogram's only writer alone. A difference of clocks that may be
 * negative is the caller's to cut at 0. */
static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    size_t bucket = histogram->first[histogram_bits(value)];
    while (bucket < histogram->count && value > histogram->bounds->upper[bucket])
        bucket++;
    counter_add(&histogram->buckets[bucket], 1);
    counter_add(&histogram->sum, value);
}

#endif

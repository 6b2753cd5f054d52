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

/** Places that the highest bit of a value can have. */
#define HISTOGRAM_FIRST 64

/** Upper bounds of buckets, each at least twice the one before; a value that equals one is in its
 * bucket. */
struct histogram_bounds {
    size_t count; /**< at most #HISTOGRAM_BOUNDS */
    uint64_t upper[HISTOGRAM_BOUNDS];
};

/** 1, 2, 4 to 32: packets of a batch. */
extern const struct histogram_bounds histogram_batch_bounds;

/** 1, 2, 5 and so on from a microsecond to a second, in nanoseconds. */
extern const struct histogram_bounds histogram_time_bounds;

/** A histogram, made by histogram_init(). */
struct histogram {
    uint64_t upper[HISTOGRAM_BOUNDS + 1]; /**< the bounds, and the largest number behind the last */
    uint8_t
        first[HISTOGRAM_FIRST]; /**< by the highest bit of a value: its bucket, or the one before */
    struct counter buckets[HISTOGRAM_BOUNDS + 1]; /**< each counts its own values alone; the one
                                                     after the last bound takes what is above */
    struct counter sum;                           /**< of all values, modulo 2^64 */
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

/** The bucket of a value. Values with the same highest bit are parted by one bound at most, because
 * bounds double. */
static inline size_t histogram_bucket(const struct histogram *histogram, uint64_t value)
{
    size_t bucket = histogram->first[histogram_bit(value)];
    return bucket + (value > histogram->upper[bucket]);
}

/** Counts a value; by the histogram's only writer alone. A difference of clocks that may be
 * negative is the caller's to cut at 0. */
static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    counter_add(&histogram->buckets[histogram_bucket(histogram, value)], 1);
    counter_add(&histogram->sum, value);
}

/** Values on their way to a histogram, mostly alike: one that is in the bucket of the one before
 * costs little. */
struct histogram_run {
    struct histogram *histogram;
    uint64_t least; /**< of the present bucket */
    uint64_t span;  /**< from there to its bound */
    uint64_t count; /**< values in it that the histogram does not have yet */
    uint64_t sum;   /**< of all values */
    size_t bucket;
};

/** A run without values, in the first bucket. @param histogram made by histogram_init(). */
static inline struct histogram_run histogram_run(struct histogram *histogram)
{
    return (struct histogram_run){.histogram = histogram, .span = histogram->upper[0]};
}

/** Goes to the bucket of a value, and counts it there. */
void histogram_run_move(struct histogram_run *run, int64_t value);

/** As histogram_record(); the histogram has it by histogram_run_flush() at the latest. A negative
 * value, as of a clock that was set back, counts as 0. */
static inline void histogram_run_record(struct histogram_run *run, int64_t value)
{
    run->sum += (uint64_t)value;
    if ((uint64_t)value - run->least <= run->span)
        run->count++;
    else
        histogram_run_move(run, value);
}

/** Brings what is left to the histogram. The run may go on. */
static inline void histogram_run_flush(struct histogram_run *run)
{
    counter_add(&run->histogram->buckets[run->bucket], run->count);
    counter_add(&run->histogram->sum, run->sum);
    run->count = run->sum = 0;
}

#endif

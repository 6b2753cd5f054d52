/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Log-linear histogram in the manner of HdrHistogram: percentiles of any number of values in a
 * fixed amount of memory. Each power of two has the same number of equally wide buckets, so that a
 * value is known to within 1/128 of itself, whatever its size; values below 256 are known exactly.
 * Recording allocates nothing, and takes no branch that depends on how many buckets there are.
 */
#ifndef PADDOCK_BASE_HDR_HISTOGRAM_H
#define PADDOCK_BASE_HDR_HISTOGRAM_H

#include <stdint.h>

/** Buckets of each power of two, as a power of two. */
#define HDR_HISTOGRAM_BITS 7

/** Enough for every value up to INT64_MAX. */
#define HDR_HISTOGRAM_BUCKETS ((64 - HDR_HISTOGRAM_BITS) << HDR_HISTOGRAM_BITS)

/** About 58 kB, for one writer. Zeroed it is empty and ready. */
struct hdr_histogram {
    uint64_t buckets[HDR_HISTOGRAM_BUCKETS];
    uint64_t count;
    int64_t min; /**< exact; meaningless while count is 0, as is max */
    int64_t max;
    double sum; /**< of all values: exact up to 2^53, then to 53 bits */
};

/** The number of the highest bit of a value above 0. By halves, because BPF programs use it too,
 * and clang 14 does not survive __builtin_clzll there. */
static inline uint32_t hdr_histogram_exponent(uint64_t value)
{
    uint32_t exponent = 0;
    for (uint32_t half = 32; half > 0; half /= 2) {
        if (value >> half == 0)
            continue;
        value >>= half;
        exponent += half;
    }
    return exponent;
}

/** The bucket of a value from 0 to INT64_MAX. */
static inline uint32_t hdr_histogram_bucket(uint64_t value)
{
    /* The lowest of these bits keeps small values in the first, linear part. */
    uint32_t exponent = hdr_histogram_exponent(value | UINT64_C(1) << HDR_HISTOGRAM_BITS);
    uint32_t shift = exponent - HDR_HISTOGRAM_BITS;
    return (shift << HDR_HISTOGRAM_BITS) + (uint32_t)(value >> shift);
}

/** The greatest value of a bucket below #HDR_HISTOGRAM_BUCKETS. */
static inline int64_t hdr_histogram_bucket_max(uint32_t bucket)
{
    const uint32_t linear = UINT32_C(1) << HDR_HISTOGRAM_BITS;
    uint32_t shift = bucket < 2 * linear ? 0 : (bucket >> HDR_HISTOGRAM_BITS) - 1;
    uint64_t first = (uint64_t)(bucket - (shift << HDR_HISTOGRAM_BITS)) << shift;
    return (int64_t)(first + ((UINT64_C(1) << shift) - 1));
}

/** Records one value; what is negative counts as 0. */
static inline void hdr_histogram_record(struct hdr_histogram *histogram, int64_t value)
{
    if (value < 0)
        value = 0;
    histogram->buckets[hdr_histogram_bucket((uint64_t)value)]++;
    if (histogram->count == 0 || value < histogram->min)
        histogram->min = value;
    if (histogram->count == 0 || value > histogram->max)
        histogram->max = value;
    histogram->count++;
    histogram->sum += (double)value;
}

/** Adds @p count values of one bucket, of which nothing else is known: each counts as the bucket's
 * greatest. For histograms that something else has kept, with the same buckets. */
void hdr_histogram_add_bucket(struct hdr_histogram *histogram, uint32_t bucket, uint64_t count);

/**
 * The least recorded value that this share of all values does not exceed, by nearest rank: at most
 * 1/128 too high, never too low, never above the maximum.
 *
 * @param share 0 to 1; 0.5 is the median.
 * @return 0 when nothing was recorded.
 */
int64_t hdr_histogram_quantile(const struct hdr_histogram *histogram, double share);

/** The mean, rounded towards zero; 0 when nothing was recorded. */
int64_t hdr_histogram_mean(const struct hdr_histogram *histogram);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hdr_histogram.h"

void hdr_histogram_add_bucket(struct hdr_histogram *histogram, uint32_t bucket, uint64_t count)
{
    int64_t value = hdr_histogram_bucket_max(bucket);
    if (count == 0)
        return;
    hdr_histogram_record(histogram, value);
    histogram->buckets[bucket] += count - 1;
    histogram->count += count - 1;
    histogram->sum += (double)value * (double)(count - 1);
}

/* The number of values that make up a share: the least whole number that is not below it. */
static uint64_t rank_of(uint64_t count, double share)
{
    double exact = share * (double)count;
    uint64_t rank = exact >= (double)count ? count : (uint64_t)exact;
    if (rank < count && (double)rank < exact)
        rank++;
    return rank > 0 ? rank : 1;
}

int64_t hdr_histogram_quantile(const struct hdr_histogram *histogram, double share)
{
    if (histogram->count == 0)
        return 0;
    uint64_t rank = rank_of(histogram->count, share);
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HDR_HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen < rank)
            continue;
        int64_t value = hdr_histogram_bucket_max(i);
        return value < histogram->max ? value : histogram->max;
    }
    return histogram->max;
}

int64_t hdr_histogram_mean(const struct hdr_histogram *histogram)
{
    if (histogram->count == 0)
        return 0;
    double mean = histogram->sum / (double)histogram->count;
    return mean < (double)histogram->max ? (int64_t)mean : histogram->max;
}

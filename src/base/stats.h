/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a set of measurements has in common.
 */
#ifndef PADDOCK_BASE_STATS_H
#define PADDOCK_BASE_STATS_H

#include <stddef.h>
#include <stdint.h>

struct stats_summary {
    int64_t min;
    int64_t median; /**< of an even count: the mean of the two middle ones, halves rounded towards
                       zero */
    int64_t mean;   /**< rounded towards zero */
    int64_t max;
};

/**
 * Summarises samples. No values overflow it.
 *
 * @param samples sorted in place; the caller's.
 * @param[out] summary untouched on failure.
 * @return 0, or -1 when @p count is 0.
 */
int stats_summarise(int64_t *samples, size_t count, struct stats_summary *summary);

#endif

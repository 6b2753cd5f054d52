/* SPDX-License-Identifier: Apache-2.0 */
#include "base/stats.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* low <= high. Half the difference is added to the end that is nearer to zero; where the signs
 * differ it is the sum that fits. */
static int64_t middle(int64_t low, int64_t high)
{
    if (low < 0 && high >= 0)
        return (low + high) / 2;
    if (low >= 0)
        return low + (high - low) / 2;
    return high - (high - low) / 2;
}

/* The sum is kept as quotient * count + remainder with |remainder| < count, which fits whatever the
   samples are: an array has fewer than 2^60 of them. */
static int64_t mean(const int64_t *samples, size_t count)
{
    int64_t divisor = (int64_t)count;
    int64_t quotient = 0;
    int64_t remainder = 0;

    for (size_t i = 0; i < count; i++) {
        remainder += samples[i] % divisor;
        quotient += samples[i] / divisor + remainder / divisor;
        remainder %= divisor;
    }
    if (quotient > 0 && remainder < 0)
        quotient--;
    else if (quotient < 0 && remainder > 0)
        quotient++;
    return quotient;
}

int stats_summarise(int64_t *samples, size_t count, struct stats_summary *summary)
{
    if (count == 0)
        return -1;
    qsort(samples, count, sizeof samples[0], compare);
    summary->min = samples[0];
    summary->median = middle(samples[(count - 1) / 2], samples[count / 2]);
    summary->mean = mean(samples, count);
    summary->max = samples[count - 1];
    return 0;
}

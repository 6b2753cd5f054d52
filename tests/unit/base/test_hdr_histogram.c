/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <stdlib.h>

#include "base/hdr_histogram.h"
#include "support/random.h"

#define VALUES 20000

static const double SHARES[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};

static struct hdr_histogram *histogram_new(void)
{
    struct hdr_histogram *histogram = calloc(1, sizeof *histogram);
    assert_non_null(histogram);
    return histogram;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

/* By nearest rank, without floating point: the shares have at most four decimals. */
static int64_t exact_quantile(const int64_t *sorted, uint64_t count, double share)
{
    uint64_t numerator = (uint64_t)(share * 10000 + 0.5);
    uint64_t rank = (numerator * count + 9999) / 10000;
    return sorted[rank > 0 ? rank - 1 : 0];
}

static void check_against_sorted(int64_t *values, uint64_t count)
{
    struct hdr_histogram *histogram = histogram_new();
    for (uint64_t i = 0; i < count; i++)
        hdr_histogram_record(histogram, values[i]);
    qsort(values, count, sizeof values[0], compare);
    assert_int_equal(histogram->count, count);
    assert_int_equal(histogram->min, values[0]);
    assert_int_equal(histogram->max, values[count - 1]);
    for (size_t i = 0; i < sizeof SHARES / sizeof SHARES[0]; i++) {
        int64_t exact = exact_quantile(values, count, SHARES[i]);
        int64_t found = hdr_histogram_quantile(histogram, SHARES[i]);
        assert_true(found >= exact);
        assert_true(found - exact <= exact / 128);
    }
    free(histogram);
}

static void quantiles_agree_with_sorted_values_to_one_in_128(void **state)
{
    static int64_t values[VALUES];
    uint64_t seed = 7;
    (void)state;
    /* Each round spreads over fewer powers of two, down to a handful of small numbers. */
    for (unsigned bits = 1; bits < 64; bits++) {
        for (uint64_t i = 0; i < VALUES; i++)
            values[i] = (int64_t)(random_next(&seed) >> (64 - bits) >> (random_next(&seed) % bits));
        check_against_sorted(values, VALUES);
        check_against_sorted(values, 1 + random_next(&seed) % 7);
    }
}

static void every_bucket_begins_where_the_last_one_ends(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < HDR_HISTOGRAM_BUCKETS; i++) {
        int64_t last = hdr_histogram_bucket_max(i);
        assert_int_equal(hdr_histogram_bucket((uint64_t)last), i);
        if (i + 1 < HDR_HISTOGRAM_BUCKETS)
            assert_int_equal(hdr_histogram_bucket((uint64_t)last + 1), i + 1);
    }
    assert_int_equal(hdr_histogram_bucket_max(HDR_HISTOGRAM_BUCKETS - 1), INT64_MAX);
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (int64_t value = 0; value < 256; value++)
        assert_int_equal(hdr_histogram_bucket_max(hdr_histogram_bucket((uint64_t)value)), value);
}

static void an_empty_histogram_has_no_values(void **state)
{
    struct hdr_histogram *histogram = histogram_new();
    (void)state;
    assert_int_equal(hdr_histogram_quantile(histogram, 0.5), 0);
    assert_int_equal(hdr_histogram_mean(histogram), 0);
    free(histogram);
}

static void what_is_negative_counts_as_zero(void **state)
{
    struct hdr_histogram *histogram = histogram_new();
    (void)state;
    hdr_histogram_record(histogram, INT64_MIN);
    hdr_histogram_record(histogram, 9);
    assert_int_equal(histogram->min, 0);
    assert_int_equal(hdr_histogram_quantile(histogram, 0.5), 0);
    assert_int_equal(hdr_histogram_mean(histogram), 4);
    free(histogram);
}

static void the_mean_of_extremes_stays_in_range(void **state)
{
    struct hdr_histogram *histogram = histogram_new();
    (void)state;
    for (int i = 0; i < 1000; i++)
        hdr_histogram_record(histogram, INT64_MAX);
    assert_int_equal(hdr_histogram_mean(histogram), INT64_MAX);
    assert_int_equal(hdr_histogram_quantile(histogram, 0.5), INT64_MAX);
    free(histogram);
}

static void buckets_kept_elsewhere_count_as_their_greatest_value(void **state)
{
    struct hdr_histogram *histogram = histogram_new();
    (void)state;
    hdr_histogram_add_bucket(histogram, hdr_histogram_bucket(1000), 3);
    hdr_histogram_add_bucket(histogram, hdr_histogram_bucket(50), 1);
    hdr_histogram_add_bucket(histogram, hdr_histogram_bucket(70000), 0);
    int64_t most = hdr_histogram_bucket_max(hdr_histogram_bucket(1000));
    assert_int_equal(histogram->count, 4);
    assert_int_equal(histogram->min, 50);
    assert_int_equal(histogram->max, most);
    assert_int_equal(hdr_histogram_mean(histogram), (3 * most + 50) / 4);
    assert_int_equal(hdr_histogram_quantile(histogram, 0.25), 50);
    assert_int_equal(hdr_histogram_quantile(histogram, 0.26), most);
    free(histogram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_agree_with_sorted_values_to_one_in_128),
        cmocka_unit_test(every_bucket_begins_where_the_last_one_ends),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(an_empty_histogram_has_no_values),
        cmocka_unit_test(what_is_negative_counts_as_zero),
        cmocka_unit_test(the_mean_of_extremes_stays_in_range),
        cmocka_unit_test(buckets_kept_elsewhere_count_as_their_greatest_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

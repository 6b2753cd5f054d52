/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <string.h>

#include "metrics/histogram.h"

static const struct histogram_bounds three = {.count = 3, .upper = {10, 20, 40}};

static struct histogram_sum sum_of(const struct histogram *histogram)
{
    struct histogram_sum sum = {{0}, 0};
    histogram_add(&sum, histogram);
    return sum;
}

static void a_value_goes_to_the_first_bucket_that_is_not_below_it(void **state)
{
    static const uint64_t values[] = {0, 10, 11, 20, 21, 40, 41, UINT64_MAX};
    static const uint64_t expected[] = {2, 2, 2, 2};
    struct histogram histogram;
    (void)state;
    histogram_init(&histogram, &three);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        histogram_record(&histogram, values[i]);
    struct histogram_sum sum = sum_of(&histogram);
    assert_memory_equal(sum.buckets, expected, sizeof expected);
    assert_int_equal(sum.buckets[4], 0);
}

static void the_sum_is_that_of_all_values(void **state)
{
    struct histogram histogram;
    (void)state;
    histogram_init(&histogram, &three);
    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(&histogram, value);
    assert_int_equal(sum_of(&histogram).sum, 5050);
}

static void histograms_of_several_workers_add_up(void **state)
{
    struct histogram workers[3];
    struct histogram_sum sum = {0};
    (void)state;
    for (size_t w = 0; w < 3; w++) {
        histogram_init(&workers[w], &histogram_batch_bounds);
        histogram_record(&workers[w], w + 1);
        histogram_record(&workers[w], 1000);
        histogram_add(&sum, &workers[w]);
    }
    assert_int_equal(sum.sum, 3006);
    assert_int_equal(sum.buckets[0], 1); /* 1 */
    assert_int_equal(sum.buckets[1], 1); /* 2 */
    assert_int_equal(sum.buckets[2], 1); /* 3 and 4 */
    assert_int_equal(sum.buckets[histogram_batch_bounds.count], 3);
}

/* The first bucket is looked up by the bits of a value: held against a plain search. */
static void every_bound_of_times_is_found_from_both_sides(void **state)
{
    (void)state;
    for (size_t i = 0; i < histogram_time_bounds.count; i++) {
        struct histogram histogram;
        histogram_init(&histogram, &histogram_time_bounds);
        uint64_t upper_ns = (uint64_t)(histogram_time_bounds.upper[i] * 1e9 + .5);
        histogram_record(&histogram, upper_ns);
        histogram_record(&histogram, upper_ns + 1);
        assert_int_equal(sum_of(&histogram).buckets[i], 1);
        assert_int_equal(sum_of(&histogram).buckets[i + 1], 1);
    }
}

static void every_power_of_two_is_in_its_bucket(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        struct histogram histogram;
        size_t bucket = 0;
        histogram_init(&histogram, &histogram_time_bounds);
        histogram_record(&histogram, UINT64_C(1) << shift);
        while (bucket < histogram_time_bounds.count &&
               (double)(UINT64_C(1) << shift) > histogram_time_bounds.upper[bucket] * 1e9)
            bucket++;
        assert_int_equal(sum_of(&histogram).buckets[bucket], 1);
    }
}

/* Bounds closer than by a factor of two, far apart, and no whole nanoseconds. */
static void bounds_of_any_distance_are_found_from_both_sides(void **state)
{
    static const struct histogram_bounds many[] = {
        {.count = 9, .upper = {1, 5, 10, 25, 60, 300, 900, 1800, 3600}},
        {.count = 11,
         .in_seconds = true,
         .upper = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}},
        {.count = 12, .upper = {8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}},
        {.count = 3, .in_seconds = true, .upper = {0.0048828125, 0.01220703125, 0.030517578125}}};
    (void)state;
    for (size_t b = 0; b < sizeof many / sizeof many[0]; b++) {
        for (size_t i = 0; i < many[b].count; i++) {
            struct histogram histogram;
            histogram_init(&histogram, &many[b]);
            double exact = many[b].upper[i] * (many[b].in_seconds ? 1e9 : 1);
            histogram_record(&histogram, (uint64_t)(exact + .25));
            histogram_record(&histogram, (uint64_t)(exact + .25) + 1);
            struct histogram_sum sum = sum_of(&histogram);
            assert_int_equal(sum.buckets[i], 1);
            assert_int_equal(sum.buckets[i + 1], 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_goes_to_the_first_bucket_that_is_not_below_it),
        cmocka_unit_test(the_sum_is_that_of_all_values),
        cmocka_unit_test(histograms_of_several_workers_add_up),
        cmocka_unit_test(bounds_of_any_distance_are_found_from_both_sides),
        cmocka_unit_test(every_bound_of_times_is_found_from_both_sides),
        cmocka_unit_test(every_power_of_two_is_in_its_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "support/cmocka.h"

#include <string.h>

#include "metrics/counters.h"

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
    struct counters workers[3];
    (void)state;
    for (size_t w = 0; w < 3; w++) {
        counters_init(&workers[w]);
        histogram_record(&workers[w].batch_packets, w + 1);
        histogram_record(&workers[w].hold_ns, 1500);
        histogram_record(&workers[w].queue_delay_ns, UINT64_C(2000000000));
    }
    struct counters_sum sum = counters_sum(workers, 3);
    assert_int_equal(sum.batch_packets.sum, 6);
    assert_int_equal(sum.batch_packets.buckets[0], 1); /* 1 */
    assert_int_equal(sum.batch_packets.buckets[1], 1); /* 2 */
    assert_int_equal(sum.batch_packets.buckets[2], 1); /* 3 and 4 */
    assert_int_equal(sum.hold_ns.buckets[1], 3);
    assert_int_equal(sum.queue_delay_ns.buckets[histogram_time_bounds.count], 3);
    assert_int_equal(sum.queue_delay_ns.sum, UINT64_C(6000000000));
}

/* The first bucket is looked up by the bits of a value: held against a plain search. */
static void every_bound_of_times_is_found_from_both_sides(void **state)
{
    (void)state;
    for (size_t i = 0; i < histogram_time_bounds.count; i++) {
        struct histogram histogram;
        histogram_init(&histogram, &histogram_time_bounds);
        histogram_record(&histogram, histogram_time_bounds.upper[i]);
        histogram_record(&histogram, histogram_time_bounds.upper[i] + 1);
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
               UINT64_C(1) << shift > histogram_time_bounds.upper[bucket])
            bucket++;
        assert_int_equal(sum_of(&histogram).buckets[bucket], 1);
    }
}

/* Counts values as a run, flushed now and then, and one by one. */
static void check_run(const int64_t *values, size_t count)
{
    struct histogram one, many;
    histogram_init(&one, &histogram_time_bounds);
    histogram_init(&many, &histogram_time_bounds);
    struct histogram_run run = histogram_run(&many);
    for (size_t i = 0; i < count; i++) {
        histogram_record(&one, values[i] > 0 ? (uint64_t)values[i] : 0);
        histogram_run_record(&run, values[i]);
        if (i % 5 == 4)
            histogram_run_flush(&run);
    }
    histogram_run_flush(&run);
    struct histogram_sum expected = sum_of(&one), sum = sum_of(&many);
    assert_memory_equal(&sum, &expected, sizeof sum);
}

/* Values that stay in a bucket, that leave it by one on either side, that come back; and negative
 * ones, each after each. */
static void a_run_counts_what_single_records_count(void **state)
{
    static const int64_t values[] = {0,          1,    1000,       1001,      2000,         2001,
                                     5000,       -1,   -7,         INT64_MAX, -5000000000,  3,
                                     1000000000, 1500, 1000000001, INT64_MIN, 500000000000, -2};
    const size_t count = sizeof values / sizeof values[0];
    (void)state;
    check_run(values, count);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            const int64_t some[] = {values[i], values[j], values[j],
                                    values[i], values[i], values[j]};
            check_run(some, sizeof some / sizeof some[0]);
        }
    }
}

static void bounds_rise_from_a_microsecond_to_a_second_and_from_1_to_32(void **state)
{
    const struct histogram_bounds *all[] = {&histogram_time_bounds, &histogram_batch_bounds};
    (void)state;
    for (size_t b = 0; b < 2; b++) {
        assert_in_range(all[b]->count, 1, HISTOGRAM_BOUNDS);
        for (size_t i = 1; i < all[b]->count; i++)
            assert_true(all[b]->upper[i - 1] < all[b]->upper[i]);
    }
    assert_int_equal(histogram_time_bounds.upper[0], 1000);
    assert_int_equal(histogram_time_bounds.upper[histogram_time_bounds.count - 1], 1000000000);
    assert_int_equal(histogram_batch_bounds.upper[0], 1);
    assert_int_equal(histogram_batch_bounds.upper[histogram_batch_bounds.count - 1], 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_goes_to_the_first_bucket_that_is_not_below_it),
        cmocka_unit_test(the_sum_is_that_of_all_values),
        cmocka_unit_test(histograms_of_several_workers_add_up),
        cmocka_unit_test(a_run_counts_what_single_records_count),
        cmocka_unit_test(every_bound_of_times_is_found_from_both_sides),
        cmocka_unit_test(every_power_of_two_is_in_its_bucket),
        cmocka_unit_test(bounds_rise_from_a_microsecond_to_a_second_and_from_1_to_32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

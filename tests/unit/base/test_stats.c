/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/stats.h"

#define ASSERT_SUMMARY(min_, median_, mean_, max_, ...)                                            \
    do {                                                                                           \
        int64_t samples_[] = {__VA_ARGS__};                                                        \
        struct stats_summary summary_ = {0};                                                       \
        assert_int_equal(                                                                          \
            stats_summarise(samples_, sizeof samples_ / sizeof samples_[0], &summary_), 0);        \
        assert_int_equal(summary_.min, min_);                                                      \
        assert_int_equal(summary_.median, median_);                                                \
        assert_int_equal(summary_.mean, mean_);                                                    \
        assert_int_equal(summary_.max, max_);                                                      \
    } while (0)

static void summary_of_nothing_is_refused(void **state)
{
    (void)state;
    struct stats_summary summary = {1, 2, 3, 4};

    assert_int_equal(stats_summarise(NULL, 0, &summary), -1);
    assert_int_equal(summary.min, 1);
    assert_int_equal(summary.max, 4);
}

static void summary_of_one_sample_is_that_sample(void **state)
{
    (void)state;
    ASSERT_SUMMARY(42, 42, 42, 42, 42);
    ASSERT_SUMMARY(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    ASSERT_SUMMARY(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX);
}

static void median_of_an_odd_count_is_the_middle_sample(void **state)
{
    (void)state;
    ASSERT_SUMMARY(1, 3, 34, 100, 100, 1, 3);
    ASSERT_SUMMARY(-5, 1, 0, 4, 4, -5, 1, 2, -1);
}

static void median_of_an_even_count_rounds_halves_towards_zero(void **state)
{
    (void)state;
    ASSERT_SUMMARY(1, 1, 1, 2, 2, 1);
    ASSERT_SUMMARY(-2, -1, -1, -1, -1, -2);
    ASSERT_SUMMARY(-1, 0, 0, 2, 2, -1);
    ASSERT_SUMMARY(-2, 0, 0, 1, 1, -2);
    ASSERT_SUMMARY(1, 5, 28, 100, 100, 8, 3, 1);
}

static void mean_rounds_towards_zero(void **state)
{
    (void)state;
    ASSERT_SUMMARY(1, 1, 1, 3, 1, 1, 3);
    ASSERT_SUMMARY(-3, -1, -1, -1, -1, -1, -3);
    ASSERT_SUMMARY(-1, 0, 0, 3, -1, 0, 0, 3);
    ASSERT_SUMMARY(-3, 0, 0, 1, 1, 0, 0, -3);
}

static void extremes_do_not_overflow(void **state)
{
    (void)state;
    ASSERT_SUMMARY(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX);
    ASSERT_SUMMARY(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    ASSERT_SUMMARY(INT64_MIN, 0, 0, INT64_MAX, INT64_MIN, INT64_MAX);
    ASSERT_SUMMARY(INT64_MAX - 1, INT64_MAX - 1, INT64_MAX - 1, INT64_MAX, INT64_MAX,
                   INT64_MAX - 1);
    ASSERT_SUMMARY(INT64_MIN, INT64_MIN + 1, INT64_MIN + 1, INT64_MIN + 1, INT64_MIN + 1,
                   INT64_MIN);
    ASSERT_SUMMARY(INT64_MIN, INT64_MIN, -3074457345618258603, INT64_MAX, INT64_MIN, INT64_MAX,
                   INT64_MIN);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 20;
}

/* Small enough values that a plain sum cannot overflow. */
static void mean_agrees_with_a_plain_sum(void **state)
{
    (void)state;
    uint64_t seed = 1;
    int64_t samples[97];

    for (size_t count = 1; count <= 97; count++) {
        int64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            samples[i] = (int64_t)next_random(&seed) - (INT64_C(1) << 43);
            sum += samples[i];
        }
        struct stats_summary summary;
        assert_int_equal(stats_summarise(samples, count, &summary), 0);
        assert_int_equal(summary.mean, sum / (int64_t)count);
        for (size_t i = 1; i < count; i++)
            assert_true(samples[i - 1] <= samples[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_of_nothing_is_refused),
        cmocka_unit_test(summary_of_one_sample_is_that_sample),
        cmocka_unit_test(median_of_an_odd_count_is_the_middle_sample),
        cmocka_unit_test(median_of_an_even_count_rounds_halves_towards_zero),
        cmocka_unit_test(mean_rounds_towards_zero),
        cmocka_unit_test(extremes_do_not_overflow),
        cmocka_unit_test(mean_agrees_with_a_plain_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

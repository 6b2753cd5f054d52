/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <math.h>
#include <string.h>

#include "load/schedule.h"

#define SECOND_NS INT64_C(1000000000)

static int64_t take(struct schedule *schedule)
{
    int64_t next_ns = schedule_next_ns(schedule);
    schedule_advance(schedule);
    return next_ns;
}

static void a_constant_schedule_adds_up_no_rounding(void **state)
{
    struct schedule schedule;
    (void)state;
    schedule_init(&schedule, SCHEDULE_CONSTANT, 3, 1, 0);
    assert_int_equal(take(&schedule), 0);
    assert_int_equal(take(&schedule), 333333333);
    assert_int_equal(take(&schedule), 666666666);
    for (int64_t i = 3; i < 3000000; i++)
        assert_int_equal(take(&schedule), i / 3 * SECOND_NS + i % 3 * SECOND_NS / 3);
}

static void a_burst_is_due_together_at_the_same_rate_of_pings(void **state)
{
    struct schedule schedule;
    (void)state;
    schedule_init(&schedule, SCHEDULE_CONSTANT, 1000, 10, 0);
    for (int64_t i = 0; i < 1000; i++)
        assert_int_equal(take(&schedule), i * 10000000);
}

static void the_next_time_stays_until_it_is_taken(void **state)
{
    struct schedule schedule;
    (void)state;
    schedule_init(&schedule, SCHEDULE_POISSON, 1000, 1, 1);
    int64_t next_ns = schedule_next_ns(&schedule);
    assert_int_equal(schedule_next_ns(&schedule), next_ns);
    schedule_advance(&schedule);
    assert_int_not_equal(schedule_next_ns(&schedule), next_ns);
}

static void the_highest_rate_does_not_overflow_within_a_day(void **state)
{
    struct schedule schedule;
    (void)state;
    schedule_init(&schedule, SCHEDULE_CONSTANT, SCHEDULE_MAX_RATE, 1, 0);
    schedule.index = UINT64_C(86400) * SCHEDULE_MAX_RATE;
    assert_int_equal(schedule_next_ns(&schedule), 86400 * SECOND_NS);
}

static void the_same_seed_gives_the_same_times(void **state)
{
    struct schedule one, same, other;
    unsigned differ = 0;
    (void)state;
    schedule_init(&one, SCHEDULE_POISSON, 5000, 1, 42);
    schedule_init(&same, SCHEDULE_POISSON, 5000, 1, 42);
    schedule_init(&other, SCHEDULE_POISSON, 5000, 1, UINT64_C(1) << 47);
    for (int i = 0; i < 1000; i++) {
        int64_t next_ns = take(&one);
        assert_int_equal(take(&same), next_ns);
        differ += take(&other) != next_ns;
    }
    assert_true(differ > 900);
}

/* Exponential distances have a mean like their standard deviation, and a share of 1/e is longer
 * than both. The bounds are ten standard errors wide. */
static void poisson_distances_are_exponential(void **state)
{
    enum {
        COUNT = 200000
    };
    const double mean_ns = 4000;
    struct schedule schedule;
    double sum = 0, squares = 0;
    int64_t last_ns = 0, longer = 0;
    (void)state;
    schedule_init(&schedule, SCHEDULE_POISSON, 500000, 2, 3);
    for (int i = 0; i < COUNT; i++) {
        int64_t next_ns = take(&schedule);
        double distance = (double)(next_ns - last_ns);
        assert_true(next_ns >= last_ns);
        sum += distance;
        squares += distance * distance;
        longer += distance > mean_ns;
        last_ns = next_ns;
    }
    double mean = sum / COUNT;
    double deviation = sqrt(squares / COUNT - mean * mean);
    assert_true(fabs(mean - mean_ns) < 10 * mean_ns / sqrt(COUNT));
    assert_true(fabs(deviation - mean_ns) < 20 * mean_ns / sqrt(COUNT));
    assert_true(fabs((double)longer / COUNT - exp(-1)) < 10 * 0.5 / sqrt(COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constant_schedule_adds_up_no_rounding),
        cmocka_unit_test(a_burst_is_due_together_at_the_same_rate_of_pings),
        cmocka_unit_test(the_next_time_stays_until_it_is_taken),
        cmocka_unit_test(the_highest_rate_does_not_overflow_within_a_day),
        cmocka_unit_test(the_same_seed_gives_the_same_times),
        cmocka_unit_test(poisson_distances_are_exponential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

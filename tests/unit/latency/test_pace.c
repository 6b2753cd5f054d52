/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include "latency/pace.h"

#define SECOND INT64_C(1000000000)
#define MIDDLE UINT32_C(0x80000000)

static const struct pace_bounds bounds = {SECOND, 60 * SECOND};

static void a_steady_path_is_asked_less_and_less(void **state)
{
    struct pace pace = {.interval_ns = 0};
    int64_t before_ns = 0, delay_ns = 0;
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        before_ns = delay_ns;
        delay_ns = pace_after_answer(&pace, &bounds, WINDOW_STEADY, MIDDLE);
        assert_true(delay_ns >= before_ns);
        assert_in_range(delay_ns, SECOND * 999 / 1000, 60 * SECOND);
    }
    assert_int_equal(pace.interval_ns, 60 * SECOND);
    assert_in_range(delay_ns, 59 * SECOND, 60 * SECOND);
}

static void a_change_brings_the_least_interval_back(void **state)
{
    struct pace pace = {.interval_ns = 60 * SECOND};
    (void)state;
    assert_in_range(pace_after_answer(&pace, &bounds, WINDOW_MOVED, MIDDLE), SECOND * 9 / 10,
                    SECOND * 11 / 10);
    assert_int_equal(pace.interval_ns, SECOND);
}

static void what_is_off_is_looked_into_and_keeps_the_pace(void **state)
{
    struct pace pace = {.interval_ns = 40 * SECOND};
    (void)state;
    assert_in_range(pace_after_answer(&pace, &bounds, WINDOW_OFF, MIDDLE), SECOND * 9 / 10,
                    SECOND * 11 / 10);
    assert_int_equal(pace.interval_ns, 40 * SECOND);
    assert_in_range(pace_after_answer(&pace, &bounds, WINDOW_STEADY, MIDDLE), 59 * SECOND,
                    61 * SECOND);
}

static void losses_are_repeated_and_then_back_off(void **state)
{
    struct pace pace = {.interval_ns = 60 * SECOND};
    static const int64_t seconds[] = {1, 1, 1, 1, 1, 2, 4, 8, 16, 32, 60, 60, 60};
    (void)state;
    for (unsigned i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        assert_int_equal(pace_after_loss(&pace, &bounds, i + 1, 0), seconds[i] * SECOND / 2);
        assert_in_range(pace_after_loss(&pace, &bounds, i + 1, UINT32_MAX),
                        seconds[i] * SECOND * 999 / 1000, seconds[i] * SECOND);
    }
    assert_int_equal(pace_after_loss(&pace, &bounds, UINT32_MAX, 0), 30 * SECOND);
    assert_int_equal(pace.interval_ns, SECOND);
}

static void no_two_hosts_march_in_step(void **state)
{
    struct pace pace = {.interval_ns = 60 * SECOND};
    (void)state;
    assert_int_equal(pace_after_answer(&pace, &bounds, WINDOW_STEADY, 0), 54 * SECOND);
    assert_in_range(pace_after_answer(&pace, &bounds, WINDOW_STEADY, UINT32_MAX), 65 * SECOND,
                    66 * SECOND);
}

static void bounds_that_come_nearer_hold_at_once(void **state)
{
    static const struct pace_bounds near = {2 * SECOND, 3 * SECOND};
    struct pace pace = {.interval_ns = 60 * SECOND};
    (void)state;
    assert_in_range(pace_after_answer(&pace, &near, WINDOW_STEADY, MIDDLE), 29 * SECOND / 10,
                    31 * SECOND / 10);
    pace.interval_ns = SECOND;
    pace_after_answer(&pace, &near, WINDOW_STEADY, MIDDLE);
    assert_int_equal(pace.interval_ns, 2 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_path_is_asked_less_and_less),
        cmocka_unit_test(a_change_brings_the_least_interval_back),
        cmocka_unit_test(what_is_off_is_looked_into_and_keeps_the_pace),
        cmocka_unit_test(losses_are_repeated_and_then_back_off),
        cmocka_unit_test(no_two_hosts_march_in_step),
        cmocka_unit_test(bounds_that_come_nearer_hold_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "relay/arrival.h"

#define MS INT64_C(1000000)
#define HOUR (INT64_C(3600) * 1000 * MS)

/* The wall clock is this far ahead of the other. */
#define AHEAD (INT64_C(1700000000) * 1000 * MS)

static struct arrival_clocks clocks_at(int64_t monotonic_ns, int64_t set_ns)
{
    return (struct arrival_clocks){.wall_ns = monotonic_ns + AHEAD + set_ns,
                                   .monotonic_ns = monotonic_ns};
}

static void a_stamp_is_carried_over_to_the_other_clock(void **state)
{
    struct arrival_clocks empty = clocks_at(10 * MS, 0), read = clocks_at(30 * MS, 0);
    (void)state;
    for (int64_t at_ns = 10 * MS; at_ns <= 30 * MS; at_ns += MS)
        assert_int_equal(arrival_monotonic_ns(&empty, &read, AHEAD + at_ns), at_ns);
}

static void without_a_stamp_a_datagram_arrives_when_it_is_read(void **state)
{
    struct arrival_clocks empty = clocks_at(10 * MS, 0), read = clocks_at(30 * MS, 0);
    (void)state;
    assert_int_equal(arrival_monotonic_ns(&empty, &read, 0), 30 * MS);
}

static void a_stamp_from_before_a_step_of_the_clock_is_read_as_the_clock_was(void **state)
{
    static const int64_t steps[] = {HOUR, -HOUR, 1000 * MS, -1000 * MS};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct arrival_clocks empty = clocks_at(10 * MS, 0), read = clocks_at(30 * MS, steps[i]);
        assert_int_equal(arrival_monotonic_ns(&empty, &read, AHEAD + 20 * MS), 20 * MS);
    }
}

static void a_stamp_from_after_a_step_of_the_clock_is_read_as_the_clock_is(void **state)
{
    static const int64_t steps[] = {HOUR, -HOUR, 1000 * MS, -1000 * MS};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct arrival_clocks empty = clocks_at(10 * MS, 0), read = clocks_at(30 * MS, steps[i]);
        assert_int_equal(arrival_monotonic_ns(&empty, &read, AHEAD + 20 * MS + steps[i]), 20 * MS);
    }
}

static void a_stamp_that_makes_no_sense_is_not_believed(void **state)
{
    static const int64_t stamps[] = {1, INT64_MAX, INT64_MIN, AHEAD, AHEAD + HOUR};
    struct arrival_clocks empty = clocks_at(10 * MS, 0), read = clocks_at(30 * MS, 0);
    (void)state;
    for (size_t i = 0; i < sizeof stamps / sizeof stamps[0]; i++)
        assert_int_equal(arrival_monotonic_ns(&empty, &read, stamps[i]), 30 * MS);
}

static void an_arrival_is_never_outside_of_what_was_seen(void **state)
{
    struct arrival_clocks empty = clocks_at(10 * MS, 0), read = clocks_at(30 * MS, 0);
    (void)state;
    assert_int_equal(arrival_monotonic_ns(&empty, &read, AHEAD + 10 * MS - ARRIVAL_SLACK_NS),
                     10 * MS);
    assert_int_equal(arrival_monotonic_ns(&empty, &read, AHEAD + 30 * MS + ARRIVAL_SLACK_NS),
                     30 * MS);
}

static void clocks_are_those_of_this_host(void **state)
{
    struct arrival_clocks first = arrival_clocks_read(), second = arrival_clocks_read();
    (void)state;
    assert_true(first.wall_ns > AHEAD);
    assert_true(first.monotonic_ns > 0 && second.monotonic_ns >= first.monotonic_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_carried_over_to_the_other_clock),
        cmocka_unit_test(without_a_stamp_a_datagram_arrives_when_it_is_read),
        cmocka_unit_test(a_stamp_from_before_a_step_of_the_clock_is_read_as_the_clock_was),
        cmocka_unit_test(a_stamp_from_after_a_step_of_the_clock_is_read_as_the_clock_is),
        cmocka_unit_test(a_stamp_that_makes_no_sense_is_not_believed),
        cmocka_unit_test(an_arrival_is_never_outside_of_what_was_seen),
        cmocka_unit_test(clocks_are_those_of_this_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

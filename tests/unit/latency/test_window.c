/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include "latency/window.h"

#define MS INT64_C(1000000)
#define SECOND INT64_C(1000000000)

static enum window_news add_at(struct window *window, int64_t at_ns, int64_t rtt_ns)
{
    return window_add(window, &(struct window_sample){.at_ns = at_ns, .rtt_ns = rtt_ns});
}

static enum window_news add(struct window *window, int64_t rtt_ns)
{
    return add_at(window, SECOND, rtt_ns);
}

static void add_many(struct window *window, unsigned count, int64_t rtt_ns)
{
    for (unsigned i = 0; i < count; i++)
        add(window, rtt_ns);
}

static void base_is_the_least_of_the_last_ten(void **state)
{
    struct window window = {.count = 0};
    (void)state;
    assert_false(window_is_known(&window));
    add(&window, 20 * MS);
    assert_int_equal(window_base(&window), 20 * MS);
    add_many(&window, WINDOW_SAMPLES - 1, 22 * MS);
    assert_int_equal(window_base(&window), 20 * MS);
    add(&window, 22 * MS);
    assert_int_equal(window_base(&window), 22 * MS);
    assert_int_equal(window.count, WINDOW_SAMPLES);
}

static void samples_count_for_ten_minutes(void **state)
{
    struct window window = {.count = 0};
    (void)state;
    add_at(&window, 0, 10 * MS);
    add_at(&window, 5 * SECOND, 12 * MS);
    window_age(&window, WINDOW_AGE_NS);
    assert_int_equal(window_base(&window), 10 * MS);
    window_age(&window, WINDOW_AGE_NS + 1);
    assert_int_equal(window_base(&window), 12 * MS);
    window_age(&window, WINDOW_AGE_NS + 5 * SECOND + 1);
    assert_false(window_is_known(&window));
    assert_false(window.is_settled);
}

static void five_samples_above_the_base_start_it_over(void **state)
{
    struct window window = {.count = 0};
    (void)state;
    add_many(&window, WINDOW_SAMPLES, 20 * MS);
    for (unsigned i = 1; i < WINDOW_SHIFT_SAMPLES; i++)
        assert_int_equal(add(&window, 30 * MS + i), WINDOW_OFF);
    assert_int_equal(window_base(&window), 20 * MS);
    assert_int_equal(add(&window, 31 * MS), WINDOW_MOVED);
    assert_int_equal(window_base(&window), 30 * MS + 1);
    assert_int_equal(window.count, WINDOW_SHIFT_SAMPLES);
    assert_true(window.is_settled);
}

static void a_shift_needs_both_margins_and_five_in_a_row(void **state)
{
    static const struct {
        int64_t base_ns, above_ns;
        bool shifts;
    } rows[] = {{20 * MS, 23 * MS, false},      /* 3 ms and no more */
                {20 * MS, 23 * MS + 1, true},   /* 15 % */
                {200 * MS, 219 * MS, false},    /* 9.5 % */
                {200 * MS, 220 * MS + 1, true}, /* more than 10 % */
                {1 * MS, 3 * MS, false}};       /* 200 %, but 2 ms */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct window window = {.count = 0};
        add_many(&window, WINDOW_SAMPLES, rows[i].base_ns);
        add_many(&window, WINDOW_SHIFT_SAMPLES, rows[i].above_ns);
        assert_int_equal(window_base(&window), rows[i].shifts ? rows[i].above_ns : rows[i].base_ns);
    }
    struct window window = {.count = 0};
    add_many(&window, WINDOW_SAMPLES, 20 * MS);
    for (unsigned i = 0; i < 4; i++) { /* one in five is as before */
        add_many(&window, WINDOW_SHIFT_SAMPLES - 1, 40 * MS);
        add(&window, 20 * MS);
        assert_int_equal(window_base(&window), 20 * MS);
    }
}

static void a_shorter_path_is_seen_at_once(void **state)
{
    struct window window = {.count = 0};
    (void)state;
    add_many(&window, WINDOW_SAMPLES, 40 * MS);
    assert_int_equal(add(&window, 39 * MS), WINDOW_STEADY);
    assert_int_equal(add(&window, 20 * MS), WINDOW_MOVED);
    assert_int_equal(window_base(&window), 20 * MS);
}

static void it_moves_until_it_is_settled(void **state)
{
    struct window window = {.count = 0};
    (void)state;
    for (unsigned i = 0; i < WINDOW_SAMPLES; i++) {
        assert_false(window.is_settled);
        assert_int_equal(add(&window, 20 * MS), WINDOW_MOVED);
    }
    assert_true(window.is_settled);
    assert_int_equal(add(&window, 20 * MS), WINDOW_STEADY);
}

static void five_losses_in_a_row_forget_what_was(void **state)
{
    struct window window = {.count = 0};
    (void)state;
    add_many(&window, WINDOW_SAMPLES, 20 * MS);
    for (unsigned i = 1; i < WINDOW_DOWN; i++)
        window_lose(&window);
    assert_true(window_is_known(&window));
    assert_int_equal(window_lost(&window), WINDOW_DOWN - 1);
    add(&window, 20 * MS);
    assert_int_equal(window.lost_running, 0);
    for (unsigned i = 0; i < WINDOW_DOWN; i++)
        window_lose(&window);
    assert_false(window_is_known(&window));
    assert_false(window.is_settled);
    assert_int_equal(window_lost(&window), 2 * WINDOW_DOWN - 1);
    add_many(&window, 1, 50 * MS);
    assert_int_equal(window_base(&window), 50 * MS);
    add_many(&window, WINDOW_SAMPLES, 50 * MS);
    assert_int_equal(window_lost(&window), 0);
    assert_int_equal(window.pings, WINDOW_SAMPLES);
}

static void jitter_and_excess_are_means(void **state)
{
    struct window window = {.count = 0};
    (void)state;
    assert_int_equal(window_jitter(&window), 0);
    assert_int_equal(window_excess(&window), 0);
    add(&window, 20 * MS);
    assert_int_equal(window_jitter(&window), 0);
    add(&window, 26 * MS);
    add(&window, 23 * MS);
    assert_int_equal(window_jitter(&window), (6 + 3) * MS / 2);
    assert_int_equal(window_excess(&window), 3 * MS);
}

static void queues_are_free_of_the_clocks_offset(void **state)
{
    static const int64_t offsets[] = {0, 15 * MS, -3600 * SECOND, INT64_MAX / 2, INT64_MIN / 2};
    int64_t incoming_ns, outgoing_ns;
    (void)state;
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct window window = {.count = 0};
        window_queues(&window, &incoming_ns, &outgoing_ns);
        assert_int_equal(incoming_ns | outgoing_ns, 0);
        window_add(&window, &(struct window_sample){.rtt_ns = 20 * MS,
                                                    .incoming_ns = 10 * MS + offsets[i],
                                                    .outgoing_ns = 10 * MS - offsets[i]});
        window_add(&window, &(struct window_sample){.rtt_ns = 25 * MS,
                                                    .incoming_ns = 14 * MS + offsets[i],
                                                    .outgoing_ns = 11 * MS - offsets[i]});
        window_queues(&window, &incoming_ns, &outgoing_ns);
        assert_int_equal(incoming_ns, 4 * MS);
        assert_int_equal(outgoing_ns, 1 * MS);
        assert_int_equal(window_base(&window), 20 * MS);
    }
}

static void a_clock_that_leaps_does_not_overflow(void **state)
{
    struct window window = {.count = 0};
    int64_t incoming_ns, outgoing_ns;
    (void)state;
    window_add(&window, &(struct window_sample){.incoming_ns = INT64_MIN, .outgoing_ns = 0});
    window_add(&window, &(struct window_sample){.incoming_ns = INT64_MAX, .outgoing_ns = 1});
    window_queues(&window, &incoming_ns, &outgoing_ns);
    assert_int_equal(incoming_ns, INT64_MAX);
    assert_int_equal(outgoing_ns, 1);
}

static void better_is_by_both_margins_three_windows_running(void **state)
{
    static const struct {
        int64_t a_ns, b_ns;
        bool is_better;
    } rows[] = {{17 * MS, 20 * MS, true},   {17 * MS + 1, 20 * MS, false},
                {20 * MS, 20 * MS, false},  {95 * MS, 100 * MS, true},
                {96 * MS, 100 * MS, false}, {20 * MS, 17 * MS, false},
                {190 * MS, 200 * MS, true}, {191 * MS, 200 * MS, false}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct window a = {.count = 0}, b = {.count = 0};
        add_many(&a, WINDOW_SAMPLES, rows[i].a_ns);
        add_many(&b, WINDOW_SAMPLES, rows[i].b_ns);
        assert_int_equal(window_is_better(&a, &b), rows[i].is_better);
    }
    struct window a = {.count = 0}, b = {.count = 0};
    add_many(&a, WINDOW_SAMPLES, 30 * MS);
    add_many(&b, WINDOW_SAMPLES, 20 * MS);
    for (unsigned i = 0; i < WINDOW_BASES; i++) {
        assert_false(window_is_better(&a, &b));
        add(&a, 10 * MS);
    }
    assert_true(window_is_better(&a, &b));
}

static void what_is_not_settled_is_compared_as_it_is(void **state)
{
    struct window a = {.count = 0}, b = {.count = 0};
    (void)state;
    add_many(&a, WINDOW_SAMPLES, 20 * MS);
    add(&b, 20 * MS - 1);
    assert_true(window_is_better(&b, &a));
    assert_false(window_is_better(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base_is_the_least_of_the_last_ten),
        cmocka_unit_test(samples_count_for_ten_minutes),
        cmocka_unit_test(five_samples_above_the_base_start_it_over),
        cmocka_unit_test(a_shift_needs_both_margins_and_five_in_a_row),
        cmocka_unit_test(a_shorter_path_is_seen_at_once),
        cmocka_unit_test(it_moves_until_it_is_settled),
        cmocka_unit_test(five_losses_in_a_row_forget_what_was),
        cmocka_unit_test(jitter_and_excess_are_means),
        cmocka_unit_test(queues_are_free_of_the_clocks_offset),
        cmocka_unit_test(a_clock_that_leaps_does_not_overflow),
        cmocka_unit_test(better_is_by_both_margins_three_windows_running),
        cmocka_unit_test(what_is_not_settled_is_compared_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/impair.h"

#define COUNT 200000
#define MS INT64_C(1000000)
#define S INT64_C(1000000000)

/* What many samples say about a distribution. */
struct moments {
    double mean, deviation, min, max;
};

static struct impair_stream stream_of(uint64_t seed, uint64_t client,
                                      enum relay_direction direction)
{
    struct impair_stream stream;
    impair_stream_init(&stream, seed, client, direction);
    return stream;
}

static struct moments moments_of(const struct impair_settings *settings, uint64_t seed)
{
    struct impair_stream stream = stream_of(seed, 0, RELAY_UP);
    struct moments moments = {.min = INFINITY, .max = -INFINITY};
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT; i++) {
        double delay_ns = (double)impair_choose(settings, &stream).delay_ns;
        sum += delay_ns;
        squares += delay_ns * delay_ns;
        moments.min = fmin(moments.min, delay_ns);
        moments.max = fmax(moments.max, delay_ns);
    }
    moments.mean = sum / COUNT;
    moments.deviation = sqrt(squares / COUNT - moments.mean * moments.mean);
    return moments;
}

/* How many of COUNT delays are at most this long. */
static int count_up_to(const struct impair_settings *settings, uint64_t seed, int64_t most_ns)
{
    struct impair_stream stream = stream_of(seed, 0, RELAY_UP);
    int count = 0;
    for (int i = 0; i < COUNT; i++)
        count += impair_choose(settings, &stream).delay_ns <= most_ns;
    return count;
}

/* Within six standard errors of a proportion: with a right generator one in 10^9 seeds is not. */
static void assert_proportion(double count, double p)
{
    double error = sqrt(p * (1 - p) / COUNT);
    if (fabs(count / COUNT - p) > 6 * error)
        fail_msg("%g instead of %g", count / COUNT, p);
}

static void assert_near(double value, double expected, double tolerance)
{
    if (fabs(value - expected) > tolerance)
        fail_msg("%g instead of %g", value, expected);
}

static void uniform_jitter_has_the_moments_and_the_range_of_theory(void **state)
{
    const struct impair_settings settings = {.delay_ns = 50 * MS, .jitter_ns = 20 * MS};
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct moments moments = moments_of(&settings, seed);
        double deviation = 20 * MS / sqrt(3);
        assert_near(moments.mean, 50 * MS, 6 * deviation / sqrt(COUNT));
        assert_near(moments.deviation, deviation, deviation / 100);
        assert_in_range(moments.min, 30 * MS, 30 * MS + MS / 100);
        assert_in_range(moments.max, 70 * MS - MS / 100, 70 * MS);
        assert_proportion(count_up_to(&settings, seed, 40 * MS), 0.25);
    }
}

static void normal_jitter_has_the_moments_and_the_quantiles_of_theory(void **state)
{
    const struct impair_settings settings = {
        .delay_ns = 50 * MS, .jitter_ns = 5 * MS, .distribution = IMPAIR_NORMAL};
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct moments moments = moments_of(&settings, seed);
        assert_near(moments.mean, 50 * MS, 6 * 5 * MS / sqrt(COUNT));
        assert_near(moments.deviation, 5 * MS, 5 * MS / 100.0);
        assert_proportion(count_up_to(&settings, seed, 45 * MS), 0.158655);
        assert_proportion(count_up_to(&settings, seed, 60 * MS), 0.977250);
    }
}

static void pareto_jitter_has_the_least_value_and_the_quantiles_of_theory(void **state)
{
    const struct impair_settings settings = {
        .delay_ns = 50 * MS, .jitter_ns = 10 * MS, .distribution = IMPAIR_PARETO};
    (void)state;
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct moments moments = moments_of(&settings, seed);
        assert_near(moments.mean, 65 * MS, 6 * 10 * MS * sqrt(0.75) / sqrt(COUNT));
        assert_in_range(moments.min, 60 * MS, 60 * MS + MS / 100);
        /* P(X > x) = (J / x)^3 */
        assert_proportion(count_up_to(&settings, seed, 70 * MS), 1 - 1.0 / 8);
        assert_proportion(count_up_to(&settings, seed, 150 * MS), 1 - 1.0 / 1000);
    }
}

static void a_delay_is_never_below_0_and_never_above_a_day(void **state)
{
    struct impair_settings settings = {.delay_ns = MS, .jitter_ns = 20 * MS};
    (void)state;
    assert_true(moments_of(&settings, 1).min == 0);
    assert_proportion(count_up_to(&settings, 1, 0), 19.0 / 40);
    settings.distribution = IMPAIR_NORMAL;
    assert_true(moments_of(&settings, 1).min == 0);
    settings = (struct impair_settings){.delay_ns = IMPAIR_MAX_SET_NS,
                                        .jitter_ns = IMPAIR_MAX_SET_NS,
                                        .distribution = IMPAIR_PARETO};
    assert_true(moments_of(&settings, 1).max <= (double)IMPAIR_MAX_DELAY_NS);
    assert_in_range(count_up_to(&settings, 1, IMPAIR_MAX_DELAY_NS - 1), 1, COUNT - 1);
}

static void without_jitter_every_delay_is_the_same(void **state)
{
    static const enum impair_distribution all[] = {IMPAIR_UNIFORM, IMPAIR_NORMAL, IMPAIR_PARETO};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const struct impair_settings settings = {.delay_ns = 7 * MS, .distribution = all[i]};
        struct moments moments = moments_of(&settings, 1);
        assert_true(moments.min == 7 * MS && moments.max == 7 * MS);
    }
}

static void loss_duplicates_and_reordering_are_as_frequent_as_asked(void **state)
{
    static const double fractions[] = {0, 0.001, 0.25, 0.5, 0.999, 1};
    (void)state;
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
        double p = fractions[i];
        const struct impair_settings settings = {
            .delay_ns = MS, .loss = p, .duplicate = p, .reorder = p};
        struct impair_stream stream = stream_of(i, 0, RELAY_DOWN);
        int lost = 0, duplicated = 0, reordered = 0, both = 0;
        for (int j = 0; j < COUNT; j++) {
            struct impair_choice choice = impair_choose(&settings, &stream);
            lost += choice.lost;
            duplicated += choice.duplicated;
            reordered += choice.reordered;
            both += choice.lost && choice.duplicated && choice.reordered;
        }
        assert_proportion(lost, p);
        assert_proportion(duplicated, p);
        assert_proportion(reordered, p);
        assert_proportion(both, p * p * p);
    }
}

static void a_reordered_datagram_skips_the_delay_and_its_copy_does_not(void **state)
{
    const struct impair_settings settings = {
        .delay_ns = 50 * MS, .jitter_ns = 20 * MS, .duplicate = 0.5, .reorder = 0.5};
    struct impair_stream stream = stream_of(1, 0, RELAY_UP);
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct impair_choice choice = impair_choose(&settings, &stream);
        if (choice.reordered)
            assert_int_equal(choice.delay_ns, 0);
        else
            assert_in_range(choice.delay_ns, 30 * MS, 70 * MS);
        assert_in_range(choice.copy_delay_ns, 30 * MS, 70 * MS);
    }
}

/* 0 where two streams choose the same for `count` datagrams. */
static int differences(const struct impair_settings *settings, struct impair_stream a,
                       struct impair_stream b, int count)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        struct impair_choice left = impair_choose(settings, &a);
        struct impair_choice right = impair_choose(settings, &b);
        found += left.delay_ns != right.delay_ns || left.lost != right.lost ||
                 left.duplicated != right.duplicated || left.reordered != right.reordered ||
                 left.copy_delay_ns != right.copy_delay_ns;
    }
    return found;
}

static void the_same_seed_client_and_direction_choose_the_same_and_others_do_not(void **state)
{
    const struct impair_settings settings = {
        .delay_ns = 50 * MS, .jitter_ns = 20 * MS, .loss = 0.5, .duplicate = 0.5, .reorder = 0.5};
    struct impair_stream first = stream_of(7, 3, RELAY_UP);
    (void)state;
    assert_int_equal(differences(&settings, first, stream_of(7, 3, RELAY_UP), 1000), 0);
    assert_in_range(differences(&settings, first, stream_of(8, 3, RELAY_UP), 1000), 950, 1000);
    assert_in_range(differences(&settings, first, stream_of(7, 4, RELAY_UP), 1000), 950, 1000);
    assert_in_range(differences(&settings, first, stream_of(7, 3, RELAY_DOWN), 1000), 950, 1000);
    assert_in_range(
        differences(&settings, stream_of(0, 0, RELAY_UP), stream_of(0, 0, RELAY_DOWN), 1000), 950,
        1000);
}

/* Streams of the n-th clients, whose seeds follow one another, have nothing in common. */
static void first_choices_of_many_clients_are_independent(void **state)
{
    const struct impair_settings settings = {.loss = 0.3};
    int lost = 0, pairs = 0;
    bool before = false;
    (void)state;
    for (uint64_t client = 0; client < COUNT; client++) {
        struct impair_stream stream = stream_of(1, client, RELAY_UP);
        bool is_lost = impair_choose(&settings, &stream).lost;
        lost += is_lost;
        pairs += is_lost && before;
        before = is_lost;
    }
    assert_proportion(lost, 0.3);
    assert_proportion(pairs, 0.09);
}

static void a_higher_loss_loses_the_same_datagrams_and_more(void **state)
{
    const struct impair_settings low = {.loss = 0.1};
    const struct impair_settings high = {.loss = 0.3,
                                         .duplicate = 0.5,
                                         .reorder = 0.2,
                                         .delay_ns = MS,
                                         .jitter_ns = MS,
                                         .distribution = IMPAIR_NORMAL};
    struct impair_stream a = stream_of(5, 0, RELAY_UP), b = a;
    int more = 0;
    (void)state;
    for (int i = 0; i < 10000; i++) {
        bool low_lost = impair_choose(&low, &a).lost, high_lost = impair_choose(&high, &b).lost;
        assert_true(high_lost || !low_lost);
        more += high_lost && !low_lost;
    }
    assert_in_range(more, 1800, 2200);
}

/* Bytes that pass when datagrams of one size come at a steady pace. */
static uint64_t passed_bytes(int64_t rate_bits, size_t bytes, int64_t every_ns, int64_t for_ns)
{
    struct impair_bucket bucket = {0};
    uint64_t passed = 0;
    for (int64_t at_ns = 0; at_ns < for_ns; at_ns += every_ns)
        passed += impair_bucket_take(&bucket, rate_bits, bytes, at_ns) ? bytes : 0;
    return passed;
}

static void the_rate_lets_through_itself_a_burst_and_one_datagram(void **state)
{
    static const struct {
        int64_t rate_bits;
        size_t bytes;
        int64_t every_ns;
    } rows[] = {{1000000, 125, 100000}, {64000, 1500, 1000000}, {1000000000, 45, 100},
                {10000000000, 1, 1},    {3, 28, 10000000},      {999999999999, 65535, 1000}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t length_ns = rows[i].every_ns * 1000000;
        double rate = (double)rows[i].rate_bits / 8 / (double)S;
        double most = rate * (double)(length_ns + IMPAIR_BURST_NS) + (double)rows[i].bytes;
        double offered = (double)rows[i].bytes * 1000000;
        double passed =
            (double)passed_bytes(rows[i].rate_bits, rows[i].bytes, rows[i].every_ns, length_ns);
        assert_true(passed <= most + 1);
        assert_true(passed >= fmin(offered, most - 2 * (double)rows[i].bytes) - 1);
    }
}

static void below_the_rate_nothing_is_dropped(void **state)
{
    (void)state;
    assert_int_equal(passed_bytes(1000000, 125, 1000000, S), 125000);
    assert_int_equal(passed_bytes(0, 65535, 1, 1000), 65535000);
}

static void a_bucket_that_was_empty_is_full_again_after_a_pause(void **state)
{
    struct impair_bucket bucket = {0};
    int first = 0, second = 0;
    (void)state;
    /* 100 ms of 1 Mbit/s are 100 datagrams of 125 bytes, and one. */
    while (impair_bucket_take(&bucket, 1000000, 125, S))
        first++;
    assert_int_equal(first, 101);
    assert_false(impair_bucket_take(&bucket, 1000000, 125, S + 999999));
    assert_true(impair_bucket_take(&bucket, 1000000, 125, S + 1000000));
    while (impair_bucket_take(&bucket, 1000000, 125, 10 * S))
        second++;
    assert_int_equal(second, 101);
    /* A datagram that is read late, and came before the last one. */
    assert_false(impair_bucket_take(&bucket, 1000000, 125, 9 * S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_jitter_has_the_moments_and_the_range_of_theory),
        cmocka_unit_test(normal_jitter_has_the_moments_and_the_quantiles_of_theory),
        cmocka_unit_test(pareto_jitter_has_the_least_value_and_the_quantiles_of_theory),
        cmocka_unit_test(a_delay_is_never_below_0_and_never_above_a_day),
        cmocka_unit_test(without_jitter_every_delay_is_the_same),
        cmocka_unit_test(loss_duplicates_and_reordering_are_as_frequent_as_asked),
        cmocka_unit_test(a_reordered_datagram_skips_the_delay_and_its_copy_does_not),
        cmocka_unit_test(the_same_seed_client_and_direction_choose_the_same_and_others_do_not),
        cmocka_unit_test(first_choices_of_many_clients_are_independent),
        cmocka_unit_test(a_higher_loss_loses_the_same_datagrams_and_more),
        cmocka_unit_test(the_rate_lets_through_itself_a_burst_and_one_datagram),
        cmocka_unit_test(below_the_rate_nothing_is_dropped),
        cmocka_unit_test(a_bucket_that_was_empty_is_full_again_after_a_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <stdlib.h>

#include "latency/ranking.h"

#define MS INT64_C(1000000)
#define PLACES 4
#define MANY 200

static void add(struct window *window, unsigned count, int64_t rtt_ns)
{
    for (unsigned i = 0; i < count; i++)
        window_add(window, &(struct window_sample){.at_ns = 1, .rtt_ns = rtt_ns});
}

static void settle(struct window *window, int64_t rtt_ns)
{
    *window = (struct window){.count = 0};
    add(window, WINDOW_SAMPLES, rtt_ns);
}

/* Places A, B, C and D with bases in ms; the order they come to, and what is shown of them. */
struct bench {
    struct window windows[PLACES];
    struct ranked places[PLACES];
    char order[PLACES + 1];
};

static const char *rank(struct bench *bench)
{
    ranking_update(bench->places, PLACES);
    for (size_t i = 0; i < PLACES; i++)
        bench->order[i] = (char)('A' + (bench->places[i].window - bench->windows));
    return bench->order;
}

static const char *rank_new(struct bench *bench, const int bases_ms[PLACES])
{
    for (size_t i = 0; i < PLACES; i++) {
        settle(&bench->windows[i], bases_ms[i] * MS);
        bench->places[i].window = &bench->windows[i];
    }
    return rank(bench);
}

static void clear_differences_decide(void **state)
{
    struct bench bench = {.order = ""};
    (void)state;
    assert_string_equal(rank_new(&bench, (int[]){100, 50, 75, 10}), "DBCA");
    assert_string_equal(rank_new(&bench, (int[]){10, 20, 30, 40}), "ABCD");
    assert_string_equal(rank_new(&bench, (int[]){40, 30, 20, 10}), "DCBA");
}

static void small_differences_do_not(void **state)
{
    struct bench bench = {.order = ""};
    (void)state;
    assert_string_equal(rank_new(&bench, (int[]){21, 20, 22, 20}), "ABCD");
    for (size_t i = 0; i < PLACES; i++)
        assert_int_equal(bench.places[i].shown_ns, i < 2 ? 21 * MS + (int)i : 22 * MS + (int)i - 2);
    assert_string_equal(rank_new(&bench, (int[]){100, 96, 200, 191}), "ABCD");
}

static void an_order_stays_until_another_is_better_three_windows_running(void **state)
{
    struct bench bench = {.order = ""};
    (void)state;
    assert_string_equal(rank_new(&bench, (int[]){20, 30, 40, 50}), "ABCD");
    for (unsigned i = 0; i < WINDOW_BASES; i++) {
        assert_string_equal(rank(&bench), "ABCD");
        add(&bench.windows[1], 1, 10 * MS);
    }
    assert_string_equal(rank(&bench), "BACD");
    /* Back again by less than the margin: nothing happens. */
    add(&bench.windows[1], WINDOW_SAMPLES + WINDOW_BASES, 12 * MS);
    settle(&bench.windows[0], 10 * MS);
    assert_string_equal(rank(&bench), "BACD");
    assert_int_equal(bench.places[1].shown_ns, 12 * MS + 1);
}

static void a_way_that_becomes_longer_shows_on_no_other_place(void **state)
{
    struct bench bench = {.order = ""};
    (void)state;
    rank_new(&bench, (int[]){20, 30, 40, 50});
    add(&bench.windows[0], WINDOW_SHIFT_SAMPLES, 90 * MS);
    assert_string_equal(rank(&bench), "ABCD");
    assert_int_equal(bench.places[0].shown_ns, 30 * MS);
    assert_int_equal(bench.places[1].shown_ns, 30 * MS + 1);
    assert_int_equal(bench.places[3].shown_ns, 50 * MS);
    add(&bench.windows[0], WINDOW_BASES - 1, 90 * MS);
    assert_string_equal(rank(&bench), "BCDA");
    assert_int_equal(bench.places[3].shown_ns, 90 * MS);
}

static void who_has_to_pass_one_passes_those_between(void **state)
{
    struct bench bench = {.order = ""};
    (void)state;
    assert_string_equal(rank_new(&bench, (int[]){20, 18, 16, 90}), "CABD");
}

static void what_is_new_finds_its_place_at_once(void **state)
{
    struct bench bench = {.order = ""};
    (void)state;
    rank_new(&bench, (int[]){20, 30, 40, 50});
    bench.windows[3] = (struct window){.count = 0};
    add(&bench.windows[3], 1, 29 * MS);
    assert_string_equal(rank(&bench), "ADBC");
}

/* A clear order has no exception, what is shown rises, and no place is lost; whatever the bases
 * are. */
static void any_order_keeps_its_promises(void **state)
{
    static struct window windows[MANY];
    static struct ranked places[MANY];
    (void)state;
    srandom(1);
    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < MANY; i++) {
            settle(&windows[i], random() % 100 * MS);
            windows[i].is_settled = random() % 4 > 0;
            places[i] = (struct ranked){.window = &windows[i]};
        }
        ranking_update(places, MANY);
        bool seen[MANY] = {false};
        for (size_t i = 0; i < MANY; i++) {
            seen[places[i].window - windows] = true;
            assert_true(places[i].shown_ns >= window_base(places[i].window));
            assert_true(i == 0 || places[i].shown_ns > places[i - 1].shown_ns);
            for (size_t j = i + 1; j < MANY; j++)
                assert_false(window_is_better(places[j].window, places[i].window));
        }
        for (size_t i = 0; i < MANY; i++)
            assert_true(seen[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clear_differences_decide),
        cmocka_unit_test(small_differences_do_not),
        cmocka_unit_test(an_order_stays_until_another_is_better_three_windows_running),
        cmocka_unit_test(a_way_that_becomes_longer_shows_on_no_other_place),
        cmocka_unit_test(who_has_to_pass_one_passes_those_between),
        cmocka_unit_test(what_is_new_finds_its_place_at_once),
        cmocka_unit_test(any_order_keeps_its_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

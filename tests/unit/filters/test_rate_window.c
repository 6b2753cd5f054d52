/* SPDX-License-Identifier: Apache-2.0 */
/* What passes is held against a plain list of all times at which something passed. */
#include "filters/rate_window.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "support/cmocka.h"
#include "support/random.h"

#define SECOND_NS UINT64_C(1000000000)
#define TRIES 20000
#define THREADS 4

struct list {
    uint64_t times[TRIES];
    size_t count;
};

/* Whether a datagram may pass, by the words at the head of rate_window.h. */
static bool may_pass(const struct list *list, const struct rate_law *law, uint64_t now_ns)
{
    uint64_t part = now_ns / law->part_ns, recent = 0, oldest = 0, last_ns = 0;
    for (size_t i = list->count; i-- > 0;) {
        uint64_t age = part - list->times[i] / law->part_ns;
        if (age > RATE_PARTS)
            break;
        recent += age < RATE_PARTS;
        oldest += age == RATE_PARTS;
        last_ns = age == RATE_PARTS && list->times[i] > last_ns ? list->times[i] : last_ns;
    }
    bool is_gone = oldest == 0 || now_ns - last_ns >= RATE_PARTS * law->part_ns;
    uint64_t most = law->max_packets;
    return recent < most && recent + (is_gone ? 0 : oldest) < most + most / RATE_PARTS;
}

static enum rate_verdict take(struct rate_window *window, const struct rate_law *law,
                              uint64_t now_ns)
{
    const struct rate_moment moment = rate_moment_of(law, now_ns);
    return rate_window_take(window, law, &moment);
}

static void what_passes_is_what_the_law_says(void **state)
{
    static const struct {
        uint32_t max_packets, period;
    } rows[] = {{0, 1}, {1, 1}, {9, 1}, {50, 1}, {1000, 1}, {25, 7}, {UINT32_MAX, 1}};
    uint64_t random = 18;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct list *list = calloc(1, sizeof *list);
        struct rate_window window = {0};
        const struct rate_law law = rate_law_of(rows[i].max_packets, rows[i].period);
        uint64_t now_ns = random_next(&random) % (1000 * SECOND_NS);
        assert_non_null(list);
        assert_int_equal(law.shift, 0);
        for (unsigned j = 0; j < TRIES; j++) {
            uint64_t step = random_next(&random) % 9, least = random_next(&random) % law.part_ns;
            now_ns += step == 0   ? random_next(&random) % (3 * law.part_ns)
                      : step == 1 ? law.part_ns - now_ns % law.part_ns /* where a part begins */
                      : step == 2 && least % 40 == 0 ? 20 * law.part_ns
                                                     : random_next(&random) % 2000;
            bool passes = may_pass(list, &law, now_ns);
            assert_int_equal(take(&window, &law, now_ns), passes ? RATE_PASSES : RATE_OVER);
            if (passes)
                list->times[list->count++] = now_ns;
        }
        free(list);
    }
}

/* A part of the longest period has more nanoseconds than a word counts. */
static void after_a_silent_period_all_pass_again(void **state)
{
    static const uint32_t periods[] = {1, 42, 43, 3600, 31536000};
    (void)state;
    for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
        const struct rate_law law = rate_law_of(20, periods[i]);
        const uint64_t period_ns = periods[i] * SECOND_NS, unit_ns = UINT64_C(1) << law.shift;
        struct rate_window window = {0};
        uint64_t now_ns = 100 * period_ns + 7 * law.part_ns / 8 + 12345;
        for (unsigned j = 0; j < 20; j++)
            assert_int_equal(take(&window, &law, now_ns), RATE_PASSES);
        assert_int_equal(take(&window, &law, now_ns), RATE_OVER);
        now_ns += period_ns - unit_ns;
        for (unsigned j = 0; j < 2; j++)
            assert_int_equal(take(&window, &law, now_ns), RATE_PASSES);
        assert_int_equal(take(&window, &law, now_ns), RATE_OVER);
        now_ns += 2 * unit_ns;
        for (unsigned j = 0; j < 18; j++)
            assert_int_equal(take(&window, &law, now_ns), RATE_PASSES);
        assert_int_equal(take(&window, &law, now_ns), RATE_OVER);
    }
}

static void who_reads_the_clock_first_may_come_later(void **state)
{
    const struct rate_law law = rate_law_of(10, 1);
    struct rate_window window = {0};
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(&window, &law, 100 * law.part_ns), RATE_PASSES);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(&window, &law, 100 * law.part_ns - 1000), RATE_PASSES);
    assert_int_equal(take(&window, &law, 100 * law.part_ns - 1000), RATE_OVER);
    assert_int_equal(take(&window, &law, 105 * law.part_ns), RATE_OVER);
}

/* Several that take from one window until it is closed, while a clock of their own goes on. */
struct race {
    struct rate_law law;
    struct rate_window *window;
    uint64_t end_ns, step_ns;
    _Atomic uint64_t now_ns;
    _Atomic uint64_t passed;
};

static void *run_race(void *user)
{
    struct race *race = user;
    uint64_t now_ns;
    bool is_closed = false;
    while ((now_ns = atomic_fetch_add(&race->now_ns, race->step_ns)) < race->end_ns && !is_closed) {
        enum rate_verdict verdict = take(race->window, &race->law, now_ns);
        race->passed += verdict == RATE_PASSES;
        is_closed =
            verdict == RATE_UNDECIDED && shared_word_load(&race->window->newest) == RATE_CLOSED;
    }
    return NULL;
}

static void no_race_lets_more_pass_nor_less(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        struct rate_window window = {0};
        struct race race = {.law = rate_law_of(1000 + i, 1), .window = &window};
        pthread_t threads[THREADS];
        race.now_ns = 100 * race.law.part_ns;
        race.end_ns = race.now_ns + RATE_PARTS * race.law.part_ns;
        race.step_ns = race.law.part_ns / 400;
        for (unsigned j = 0; j < THREADS; j++)
            assert_int_equal(pthread_create(&threads[j], NULL, run_race, &race), 0);
        for (unsigned j = 0; j < THREADS; j++)
            pthread_join(threads[j], NULL);
        assert_int_equal(race.passed, race.law.max_packets);
        assert_int_equal(take(&window, &race.law, race.end_ns - 1), RATE_OVER);
    }
}

static void what_was_taken_before_a_window_moved_is_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        struct rate_window window = {0}, next = {0};
        struct race race = {.law = rate_law_of(UINT32_MAX, 100), .window = &window, .step_ns = 1};
        pthread_t threads[2];
        race.end_ns = 96 * race.law.part_ns;
        race.now_ns = 95 * race.law.part_ns - 2000; /* another part begins meanwhile */
        for (unsigned j = 0; j < 2; j++)
            assert_int_equal(pthread_create(&threads[j], NULL, run_race, &race), 0);
        while (race.passed < UINT64_C(100) * i)
            sched_yield();
        rate_window_move(&next, &window);
        for (unsigned j = 0; j < 2; j++)
            pthread_join(threads[j], NULL);
        assert_int_equal(take(&window, &race.law, race.end_ns), RATE_UNDECIDED);
        struct rate_sum sum = rate_window_sum(&next, next.newest, next.newest >> 32);
        assert_int_equal(sum.recent + sum.oldest, race.passed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes_is_what_the_law_says),
        cmocka_unit_test(after_a_silent_period_all_pass_again),
        cmocka_unit_test(who_reads_the_clock_first_may_come_later),
        cmocka_unit_test(no_race_lets_more_pass_nor_less),
        cmocka_unit_test(what_was_taken_before_a_window_moved_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

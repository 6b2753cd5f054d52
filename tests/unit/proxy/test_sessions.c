/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "support/random.h"
#include "support/sessions_model.h"

#define RUNS 50
#define STEPS 3000

static void the_table_does_what_the_naive_model_does(void **state)
{
    uint64_t random = 7;
    uint8_t bytes[3 * STEPS];

    (void)state;
    for (unsigned run = 0; run < RUNS; run++) {
        struct model model;
        struct input input = {bytes, sizeof bytes};
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)random_next(&random);
        model_init(&model, 1 + (uint32_t)(random_next(&random) % 100),
                   (uint32_t)(random_next(&random) % 20), run % 2 == 0 ? 1 : INT64_MAX / 2);
        while (input.size > 0)
            model_step(&model, &input);
        model_fini(&model);
    }
}

/* A table with a system that has as many numbers as it is told, and gives one after the other. */
struct plenty {
    struct upstream upstreams[65536];
    uint16_t next, last; /* the last one; 0: 65535 */
    uint32_t open, ended[SESSION_ENDS], tries;
};

static int open_next(void *user, struct upstream **upstream, uint16_t *number)
{
    struct plenty *plenty = user;
    plenty->tries++;
    if (*number != 0 && plenty->upstreams[*number].number != 0)
        return -EADDRINUSE;
    if (plenty->last != 0 && plenty->open == plenty->last)
        return -EADDRINUSE;
    for (uint16_t wanted = *number; wanted == 0;) {
        plenty->next = plenty->last != 0 && plenty->next >= plenty->last ? 1 : plenty->next + 1;
        if (plenty->next != 0 && plenty->upstreams[plenty->next].number == 0)
            *number = wanted = plenty->next;
    }
    plenty->upstreams[*number].number = *number;
    *upstream = &plenty->upstreams[*number];
    plenty->open++;
    return 0;
}

static void close_one(void *user, struct upstream *upstream)
{
    upstream->number = 0;
    ((struct plenty *)user)->open--;
}

static void ignore_number(void *user, uint16_t number)
{
    (void)user;
    (void)number;
}

static void count_end(void *user, const struct session *session, enum session_end end)
{
    (void)session;
    ((struct plenty *)user)->ended[end]++;
}

static struct sessions *make_table(struct plenty *plenty, uint32_t max)
{
    struct sessions *table;
    const struct sessions_options options = {.max = max,
                                             .max_resting = UINT32_MAX,
                                             .timeout_ns = 60 * MODEL_SECOND,
                                             .key = {{1, 2}},
                                             .open = open_next,
                                             .close = close_one,
                                             .freed = ignore_number,
                                             .ended = count_end,
                                             .user = plenty};
    assert_int_equal(sessions_new(&table, &options), 0);
    return table;
}

static struct endpoint player_at(uint32_t i)
{
    struct endpoint player = {.port = (uint16_t)(i % 60000 + 1)};
    player.address.s6_addr[15] = (uint8_t)(i / 60000);
    player.address.s6_addr[0] = 0xfd;
    return player;
}

static double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void a_session_ends_within_a_second_of_its_time(void **state)
{
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table = make_table(plenty, 10);
    struct endpoint player = player_at(1), server = model_server(0);
    struct session *session;

    (void)state;
    for (int64_t part_ms = 0; part_ms < 1000; part_ms += 37) {
        int64_t start_ns = 5000 * MODEL_SECOND + part_ms * 1000000;
        int64_t end_ns = start_ns + 60 * MODEL_SECOND;
        assert_int_equal(sessions_make(table, &player, &server, start_ns, &session), SESSION_MADE);
        for (int64_t now_ns = start_ns / MODEL_SECOND * MODEL_SECOND + MODEL_SECOND;
             now_ns < end_ns; now_ns += MODEL_SECOND)
            sessions_tick(table, now_ns);
        assert_non_null(sessions_find(table, &player, &server));
        sessions_tick(table, (end_ns / MODEL_SECOND + 1) * MODEL_SECOND);
        assert_null(sessions_find(table, &player, &server));
        assert_int_equal(plenty->open, 0);
        sessions_free(table);
        table = make_table(plenty, 10);
    }
    assert_int_equal(plenty->ended[SESSION_IDLE], 28);
    sessions_free(table);
    free(plenty);
}

/* Also not the one that came first, and is never silent for long. */
static void who_is_active_is_not_evicted(void **state)
{
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table = make_table(plenty, 10);
    struct endpoint server = model_server(0), active = player_at(0);
    struct session *session, *other;
    int64_t now_ns = MODEL_SECOND;

    (void)state;
    assert_int_equal(sessions_make(table, &active, &server, now_ns, &session), SESSION_MADE);
    sessions_touch(table, session, true, now_ns);
    for (uint32_t i = 1; i < 1000; i++) {
        const struct endpoint player = player_at(i);
        now_ns += 2 * SESSIONS_AGE_NS;
        sessions_touch(table, session, false, now_ns);
        assert_int_equal(sessions_make(table, &player, &server, now_ns, &other), SESSION_MADE);
        sessions_touch(table, other, true, now_ns);
    }
    assert_ptr_equal(sessions_find(table, &active, &server), session);
    assert_int_equal(plenty->ended[SESSION_EVICTED], 990);
    sessions_free(table);
    free(plenty);
}

/* What passes a table by: the last datagram of the player with this port. */
static int64_t passed_ns;
static in_port_t passed_port;

static void refresh(void *user, struct session *session)
{
    (void)user;
    if (session->player.port == passed_port)
        session->last_ns = session->answered_ns = passed_ns;
}

static void who_is_active_elsewhere_is_neither_idle_nor_evicted(void **state)
{
    struct plenty *plenty = calloc(1, sizeof *plenty);
    const struct sessions_options options = {.max = 10,
                                             .max_resting = UINT32_MAX,
                                             .timeout_ns = 10 * MODEL_SECOND,
                                             .key = {{1, 2}},
                                             .open = open_next,
                                             .close = close_one,
                                             .freed = ignore_number,
                                             .ended = count_end,
                                             .refresh = refresh,
                                             .user = plenty};
    struct endpoint server = model_server(0), active = player_at(0);
    struct session *session, *other;
    struct sessions *table;
    int64_t now_ns = MODEL_SECOND;

    (void)state;
    assert_int_equal(sessions_new(&table, &options), 0);
    passed_port = active.port;
    assert_int_equal(sessions_make(table, &active, &server, now_ns, &session), SESSION_MADE);
    sessions_touch(table, session, true, now_ns);
    for (uint32_t i = 1; i < 100; i++) {
        const struct endpoint player = player_at(i);
        now_ns += MODEL_SECOND / 10;
        passed_ns = now_ns;
        assert_int_equal(sessions_make(table, &player, &server, now_ns, &other), SESSION_MADE);
        sessions_touch(table, other, true, now_ns);
    }
    assert_int_equal(plenty->ended[SESSION_EVICTED], 90);
    for (unsigned second = 0; second < 30; second++) {
        assert_ptr_equal(sessions_find(table, &active, &server), session);
        now_ns += MODEL_SECOND;
        passed_ns = now_ns;
        sessions_tick(table, now_ns);
    }
    assert_int_equal(sessions_size(table).sessions, 1);
    for (unsigned second = 0; second < 10; second++) {
        assert_int_equal(sessions_size(table).sessions, 1);
        now_ns += MODEL_SECOND;
        sessions_tick(table, now_ns);
    }
    now_ns += MODEL_SECOND;
    sessions_tick(table, now_ns);
    assert_int_equal(sessions_size(table).sessions, 0);
    sessions_free(table);
    free(plenty);
}

/* A shorter time-out holds for the sessions that there are, a longer one as well. */
static void another_timeout_holds_at_once(void **state)
{
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table = make_table(plenty, 10);
    struct endpoint player = player_at(1), server = model_server(0);
    struct session *session;

    (void)state;
    assert_int_equal(sessions_make(table, &player, &server, MODEL_SECOND, &session), SESSION_MADE);
    sessions_set_timeout(table, 2 * MODEL_SECOND);
    sessions_tick(table, 2 * MODEL_SECOND);
    assert_non_null(sessions_find(table, &player, &server));
    sessions_set_timeout(table, 5 * MODEL_SECOND);
    sessions_tick(table, 5 * MODEL_SECOND);
    assert_non_null(sessions_find(table, &player, &server));
    sessions_tick(table, 7 * MODEL_SECOND);
    assert_null(sessions_find(table, &player, &server));
    sessions_free(table);
    free(plenty);
}

static void as_many_sockets_as_the_fullest_server_has_players(void **state)
{
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table = make_table(plenty, 100000);
    struct session *session;

    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        for (unsigned j = 0; j < 4; j++) {
            struct endpoint player = player_at(i), server = model_server(j);
            if (i % (j + 1) == 0)
                assert_int_equal(sessions_make(table, &player, &server, 1, &session), SESSION_MADE);
        }
    }
    assert_int_equal(plenty->open, 10000);
    for (unsigned j = 0; j < 4; j++) {
        struct endpoint server = model_server(j);
        assert_int_equal(plenty->open, j == 0 ? 10000 : plenty->open);
        sessions_end_server(table, &server, SESSION_REMOVED, 2);
    }
    assert_int_equal(plenty->open, 0);
    sessions_free(table);
    free(plenty);
}

static void a_hundred_thousand_sessions_are_small_and_quick(void **state)
{
    enum {
        COUNT = 100000
    };
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table = make_table(plenty, COUNT);
    struct session *session;
    double start = seconds();

    (void)state;
    assert_true(sizeof *session <= 224);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct endpoint player = player_at(i), server = model_server(i % 16);
        assert_int_equal(sessions_make(table, &player, &server, i, &session), SESSION_MADE);
    }
    double made = seconds();
    for (uint32_t i = 0; i < COUNT; i++) {
        struct endpoint player = player_at(i), server = model_server(i % 16);
        session = sessions_find(table, &player, &server);
        assert_non_null(session);
        assert_ptr_equal(sessions_answered(table, &server, session->number, 2), session);
    }
    double found = seconds();
    assert_int_equal(plenty->open, COUNT / 16);
    for (int64_t now = 1; now <= 62; now++)
        sessions_tick(table, now * MODEL_SECOND);
    print_message("%zu bytes a session; making one %.2f us, finding it twice %.2f us, ending it "
                  "%.2f us\n",
                  sizeof *session, (made - start) / COUNT * 1e6, (found - made) / COUNT * 1e6,
                  (seconds() - found) / COUNT * 1e6);
    assert_int_equal(plenty->ended[SESSION_IDLE], COUNT);
    assert_int_equal(plenty->open, 0);
    assert_true(seconds() - start < 10);
    sessions_free(table);
    free(plenty);
}

/* Answered sessions whose pairs rest for a minute: numbers are found again when their rest is over,
 * each of them, and looking for one in vain asks the system seldom. */
static void the_last_number_of_a_server_is_found(void **state)
{
    enum {
        NUMBERS = 1000,
        FEW = 10
    };
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table = make_table(plenty, 2 * NUMBERS);
    struct endpoint server = model_server(0);
    struct session *session;
    int64_t now_ns = MODEL_SECOND;

    (void)state;
    plenty->last = NUMBERS;
    for (uint32_t i = 0; i < NUMBERS; i++) {
        struct endpoint player = player_at(i);
        int64_t at_ns = now_ns + (i % (NUMBERS / FEW) == 0 ? 0 : 30 * MODEL_SECOND);
        assert_int_equal(sessions_make(table, &player, &server, at_ns, &session), SESSION_MADE);
        sessions_touch(table, session, true, at_ns);
    }
    sessions_end_server(table, &server, SESSION_REMOVED, now_ns + 30 * MODEL_SECOND);
    assert_int_equal(sessions_size(table).resting, NUMBERS);
    for (int64_t second = 1; second <= 63; second++)
        sessions_tick(table, now_ns += MODEL_SECOND);
    assert_int_equal(sessions_size(table).resting, NUMBERS - FEW);

    plenty->tries = 0;
    for (uint32_t i = 0; i < NUMBERS; i++) {
        struct endpoint player = player_at(i);
        assert_int_equal(sessions_make(table, &player, &server, now_ns, &session),
                         i < FEW ? SESSION_MADE : SESSION_NO_PORT);
    }
    assert_in_range(plenty->tries, FEW, FEW + 8);
    sessions_free(table);
    free(plenty);
}

static void who_is_not_answered_holds_no_number_for_long(void **state)
{
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table = make_table(plenty, 1000);
    struct endpoint server = model_server(0), other = model_server(1), player;
    struct session *session;
    int64_t now_ns = MODEL_SECOND;

    (void)state;
    plenty->last = 100;
    for (uint32_t i = 0; i < 100; i++) {
        player = player_at(i);
        assert_int_equal(sessions_make(table, &player, &server, now_ns, &session), SESSION_MADE);
        if (i < 50)
            sessions_touch(table, session, true, now_ns);
    }
    player = player_at(1000);
    assert_int_equal(sessions_make(table, &player, &other, now_ns, &session), SESSION_MADE);
    assert_int_equal(sessions_make(table, &player, &server, now_ns, &session), SESSION_NO_PORT);
    assert_int_equal(plenty->ended[SESSION_EVICTED], 0); /* its answer may be on its way */
    now_ns += MODEL_SECOND;
    for (unsigned i = 0; i < 80; i++)
        assert_int_equal(sessions_make(table, &player, &server, now_ns, &session), SESSION_NO_PORT);
    assert_int_equal(plenty->ended[SESSION_EVICTED], 50);
    assert_non_null(sessions_find(table, &player, &other));
    for (unsigned second = 0; second < 4; second++)
        sessions_tick(table, now_ns += MODEL_SECOND);
    for (uint32_t i = 0; i < 51; i++) {
        player = player_at(2000 + i);
        assert_int_equal(sessions_make(table, &player, &server, now_ns, &session),
                         i < 50 ? SESSION_MADE : SESSION_NO_PORT);
    }
    sessions_free(table);
    free(plenty);
}

/* Players who push each other out, all of them answered: each leaves a pair that rests. */
static void pairs_that_rest_are_bounded(void **state)
{
    struct plenty *plenty = calloc(1, sizeof *plenty);
    struct sessions *table;
    const struct sessions_options options = {.max = 10,
                                             .max_resting = 40,
                                             .timeout_ns = 60 * MODEL_SECOND,
                                             .open = open_next,
                                             .close = close_one,
                                             .freed = ignore_number,
                                             .ended = count_end,
                                             .user = plenty};
    struct endpoint server = model_server(0);
    struct session *session;
    int64_t now_ns = MODEL_SECOND;

    (void)state;
    assert_int_equal(sessions_new(&table, &options), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        struct endpoint player = player_at(i);
        enum session_refusal refusal = sessions_make(table, &player, &server, now_ns, &session);
        assert_int_equal(refusal, i < 50 ? SESSION_MADE : SESSION_TOO_MANY_REST);
        if (refusal == SESSION_MADE)
            sessions_touch(table, session, true, now_ns);
        assert_in_range(sessions_size(table).resting, 0, 40);
    }
    assert_int_equal(sessions_size(table).sessions, 10); /* those that were there go on */
    for (unsigned second = 0; second < 63; second++)
        sessions_tick(table, now_ns += MODEL_SECOND);
    struct endpoint player = player_at(2000);
    assert_int_equal(sessions_make(table, &player, &server, now_ns, &session), SESSION_MADE);
    sessions_free(table);
    free(plenty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_does_what_the_naive_model_does),
        cmocka_unit_test(a_session_ends_within_a_second_of_its_time),
        cmocka_unit_test(who_is_active_is_not_evicted),
        cmocka_unit_test(who_is_active_elsewhere_is_neither_idle_nor_evicted),
        cmocka_unit_test(another_timeout_holds_at_once),
        cmocka_unit_test(as_many_sockets_as_the_fullest_server_has_players),
        cmocka_unit_test(a_hundred_thousand_sessions_are_small_and_quick),
        cmocka_unit_test(the_last_number_of_a_server_is_found),
        cmocka_unit_test(who_is_not_answered_holds_no_number_for_long),
        cmocka_unit_test(pairs_that_rest_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

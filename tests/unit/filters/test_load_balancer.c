/* SPDX-License-Identifier: Apache-2.0 */
#include "test_filters.h"

#define BALANCE(policy) "{name: " BALANCER ", config: {policy: " policy "}}"

static uint32_t choose(struct chain_run *run, const char *text)
{
    assert_int_equal(chain_run_pass(run, false, text, strlen(text)), FILTER_NEXT);
    assert_true(run->call.is_chosen);
    assert_int_equal(run->call.chosen_count, 1);
    assert_true(run->call.chosen[0] < CHAIN_RUN_ENDPOINTS);
    return run->call.chosen[0];
}

static void endpoints_take_turns(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, "[{name: " BALANCER ", config: {}}]");
    uint32_t first = choose(&run, "");
    for (uint32_t i = 1; i < 20; i++)
        assert_int_equal(choose(&run, ""), (first + i) % CHAIN_RUN_ENDPOINTS);
    chain_run_fini(&run);
}

static void chance_is_fair(void **state)
{
    struct chain_run run;
    unsigned counts[CHAIN_RUN_ENDPOINTS] = {0};

    (void)state;
    make(&run, "[" BALANCE("RANDOM") "]");
    for (unsigned i = 0; i < 4000; i++)
        counts[choose(&run, "")]++;
    for (unsigned i = 0; i < CHAIN_RUN_ENDPOINTS; i++)
        assert_in_range(counts[i], 850, 1150);
    chain_run_fini(&run);
}

static void a_player_stays_where_its_hash_says(void **state)
{
    struct chain_run run;
    unsigned counts[CHAIN_RUN_ENDPOINTS] = {0};

    (void)state;
    make(&run, "[" BALANCE("HASH") "]");
    for (unsigned i = 0; i < 4000; i++) {
        run.source.port = (uint16_t)i;
        uint32_t chosen = choose(&run, "a");
        assert_int_equal(choose(&run, "b"), chosen);
        counts[chosen]++;
    }
    for (unsigned i = 0; i < CHAIN_RUN_ENDPOINTS; i++)
        assert_in_range(counts[i], 850, 1150);
    chain_run_fini(&run);
}

static void one_of_those_that_were_chosen_before(void **state)
{
    struct chain_run run;
    unsigned counts[CHAIN_RUN_ENDPOINTS] = {0};

    (void)state;
    make(&run, "[{name: " CAPTURE ", config: {prefix: {size: 1}}}, {name: " ROUTER
               "}, " BALANCE("ROUND_ROBIN") "]");
    for (unsigned i = 0; i < 10; i++)
        counts[choose(&run, "t")]++;
    assert_int_equal(counts[1], 5);
    assert_int_equal(counts[2], 5);
    chain_run_fini(&run);
}

/* Endpoints that weigh 1, 2, 3 and 4. */
static const uint64_t weights[CHAIN_RUN_ENDPOINTS] = {1, 3, 6, 10};

static void weights_share_the_turns_exactly(void **state)
{
    struct chain_run run;
    unsigned counts[CHAIN_RUN_ENDPOINTS] = {0}, in_a_row = 0, most_in_a_row = 0;
    uint32_t before = CHAIN_RUN_ENDPOINTS;

    (void)state;
    make(&run, "[" BALANCE("ROUND_ROBIN") "]");
    run.world.weights = weights;
    for (unsigned i = 0; i < 100; i++) {
        uint32_t chosen = choose(&run, "");
        counts[chosen]++;
        in_a_row = chosen == before ? in_a_row + 1 : 1;
        most_in_a_row = in_a_row > most_in_a_row ? in_a_row : most_in_a_row;
        before = chosen;
    }
    for (unsigned i = 0; i < CHAIN_RUN_ENDPOINTS; i++)
        assert_int_equal(counts[i], 10 * (i + 1));
    assert_in_range(most_in_a_row, 1, 2);
    chain_run_fini(&run);
}

static void weights_share_chance_and_hashes(void **state)
{
    static const char *const lists[] = {"[" BALANCE("RANDOM") "]", "[" BALANCE("HASH") "]"};

    (void)state;
    for (unsigned list = 0; list < 2; list++) {
        struct chain_run run;
        unsigned counts[CHAIN_RUN_ENDPOINTS] = {0};
        make(&run, lists[list]);
        run.world.weights = weights;
        for (unsigned i = 0; i < 10000; i++) {
            run.source.port = (uint16_t)i;
            counts[choose(&run, "")]++;
        }
        for (unsigned i = 0; i < CHAIN_RUN_ENDPOINTS; i++)
            assert_in_range(counts[i], 900 * (i + 1), 1100 * (i + 1));
        chain_run_fini(&run);
    }
}

static void weights_count_among_those_that_were_chosen_before(void **state)
{
    static const char *const policies[] = {"ROUND_ROBIN", "RANDOM", "HASH"};

    (void)state;
    for (unsigned policy = 0; policy < 3; policy++) {
        struct chain_run run;
        unsigned counts[CHAIN_RUN_ENDPOINTS] = {0};
        char list[512];
        snprintf(list, sizeof list,
                 "[{name: " CAPTURE ", config: {prefix: {size: 1}}}, {name: " ROUTER
                 "}, {name: " BALANCER ", config: {policy: %s}}]",
                 policies[policy]);
        make(&run, list);
        run.world.weights = weights;
        for (unsigned i = 0; i < 5000; i++) {
            run.source.port = (uint16_t)i;
            counts[choose(&run, "t")]++; /* the token is of two endpoints, which weigh 2 and 3 */
        }
        assert_in_range(counts[1], 1800, 2200);
        assert_in_range(counts[2], 2800, 3200);
        chain_run_fini(&run);
    }
}

/* Sessions as the test has it. */
struct played {
    struct filter_sessions open;
    uint32_t counts[CHAIN_RUN_ENDPOINTS];
    uint32_t own[2]; /* places of the player, the newest first; or FILTER_NOWHERE */
    unsigned closed; /* places that take no new player, as a sum of powers of two */
};

static uint32_t find_own(const struct filter_sessions *sessions, const struct endpoint *player,
                         unsigned n)
{
    (void)player;
    return n < 2 ? ((const struct played *)sessions)->own[n] : FILTER_NOWHERE;
}

static uint32_t count_own(const struct filter_sessions *sessions, uint32_t place)
{
    return ((const struct played *)sessions)->counts[place];
}

static bool is_not_closed(const struct filter_sessions *sessions, const struct endpoint *player,
                          uint32_t place)
{
    (void)player;
    return (((const struct played *)sessions)->closed >> place & 1) == 0;
}

#define NOBODY                                                                                     \
    {                                                                                              \
        .open = {find_own, count_own, is_not_closed}, .own = { FILTER_NOWHERE, FILTER_NOWHERE }    \
    }

static void a_new_player_goes_where_the_fewest_sessions_are(void **state)
{
    struct played played = NOBODY;
    struct chain_run run;

    (void)state;
    make(&run, "[" BALANCE("LEAST_SESSIONS") "]");
    run.call.sessions = &played.open;
    for (unsigned i = 0; i < 400; i++)
        played.counts[choose(&run, "")]++;
    for (unsigned i = 0; i < CHAIN_RUN_ENDPOINTS; i++)
        assert_int_equal(played.counts[i], 100);
    played.counts[2] -= 3;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(choose(&run, ""), 2);
        played.counts[2]++;
    }
    chain_run_fini(&run);
}

static void no_policy_chooses_a_closed_endpoint_where_there_is_another(void **state)
{
    static const char *const chains[] = {"[" BALANCE("ROUND_ROBIN") "]", "[" BALANCE("RANDOM") "]",
                                         "[" BALANCE("HASH") "]",
                                         "[" BALANCE("LEAST_SESSIONS") "]"};

    (void)state;
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        struct played played = NOBODY;
        struct chain_run run;
        make(&run, chains[i]);
        run.call.sessions = &played.open;
        played.closed = 1U << 1 | 1U << 3;
        for (unsigned port = 0; port < 200; port++) {
            run.source.port = (uint16_t)port;
            played.counts[choose(&run, "")]++;
        }
        assert_int_equal(played.counts[0] + played.counts[2], 200);
        assert_true(played.counts[0] > 20 && played.counts[2] > 20);
        played.closed = 15;
        assert_true(choose(&run, "") < CHAIN_RUN_ENDPOINTS); /* whoever runs the chain refuses */
        chain_run_fini(&run);
    }
}

static void sessions_are_shared_by_weight(void **state)
{
    struct played played = NOBODY;
    struct chain_run run;

    (void)state;
    make(&run, "[" BALANCE("LEAST_SESSIONS") "]");
    run.call.sessions = &played.open;
    run.world.weights = weights;
    for (unsigned i = 0; i < 1000; i++)
        played.counts[choose(&run, "")]++;
    for (unsigned i = 0; i < CHAIN_RUN_ENDPOINTS; i++)
        assert_in_range(played.counts[i], 100 * (i + 1) - 1, 100 * (i + 1) + 1);
    chain_run_fini(&run);
}

static void a_player_stays_where_it_has_a_session(void **state)
{
    struct played played = NOBODY;
    struct chain_run run;

    (void)state;
    make(&run, "[" BALANCE("LEAST_SESSIONS") "]");
    run.call.sessions = &played.open;
    played.counts[3] = 1000;
    played.own[0] = 3;
    assert_int_equal(choose(&run, ""), 3);
    chain_run_fini(&run);

    make(&run, "[{name: " CAPTURE ", config: {prefix: {size: 1}}}, {name: " ROUTER
               "}, " BALANCE("LEAST_SESSIONS") "]");
    run.call.sessions = &played.open;
    played.own[1] = 2; /* the newest session is with a server that the token does not choose */
    played.counts[2] = 1000;
    assert_int_equal(choose(&run, "t"), 2);
    played.own[1] = FILTER_NOWHERE;
    assert_int_equal(choose(&run, "t"), 1);
    chain_run_fini(&run);
}

static void a_configuration_is_needed(void **state)
{
    (void)state;
    assert_refused("[{name: " BALANCER "}]",
                   "1:2: filters[0]: expected the key 'config', found a map without it");
    assert_refused("[" BALANCE("round_robin") "]",
                   "1:79: filters[0].config.policy: expected ROUND_ROBIN, RANDOM, HASH or "
                   "LEAST_SESSIONS, found 'round_robin'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_take_turns),
        cmocka_unit_test(chance_is_fair),
        cmocka_unit_test(a_player_stays_where_its_hash_says),
        cmocka_unit_test(one_of_those_that_were_chosen_before),
        cmocka_unit_test(weights_share_the_turns_exactly),
        cmocka_unit_test(weights_share_chance_and_hashes),
        cmocka_unit_test(weights_count_among_those_that_were_chosen_before),
        cmocka_unit_test(a_new_player_goes_where_the_fewest_sessions_are),
        cmocka_unit_test(no_policy_chooses_a_closed_endpoint_where_there_is_another),
        cmocka_unit_test(sessions_are_shared_by_weight),
        cmocka_unit_test(a_player_stays_where_it_has_a_session),
        cmocka_unit_test(a_configuration_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static void a_configuration_is_needed(void **state)
{
    (void)state;
    assert_refused("[{name: " BALANCER "}]",
                   "1:2: filters[0]: expected the key 'config', found a map without it");
    assert_refused("[" BALANCE("round_robin") "]",
                   "1:79: filters[0].config.policy: expected ROUND_ROBIN, RANDOM or HASH, found "
                   "'round_robin'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_take_turns),
        cmocka_unit_test(chance_is_fair),
        cmocka_unit_test(a_player_stays_where_its_hash_says),
        cmocka_unit_test(one_of_those_that_were_chosen_before),
        cmocka_unit_test(a_configuration_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

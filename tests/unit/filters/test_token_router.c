/* SPDX-License-Identifier: Apache-2.0 */
#include "test_filters.h"

#define NO_TOKEN "filter::token_router::no token found"
#define NO_MATCH "filter::token_router::no endpoint match"
#define TAKE "{name: " CAPTURE ", config: {prefix: {size: 1}}}"

static void owners_of_the_token_are_chosen(void **state)
{
    static const char *const routers[] = {ROUTER, HASHED_ROUTER};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct chain_run run;
        char list[512];
        snprintf(list, sizeof list, "[" TAKE ", {name: %s}]", routers[i]);
        make(&run, list);
        assert_passed(&run, "thing", "thing");
        assert_true(run.call.is_chosen);
        assert_int_equal(run.call.chosen_count, 2);
        assert_int_equal(run.call.chosen[0], 1);
        assert_int_equal(run.call.chosen[1], 2);
        assert_passed(&run, "u", "u");
        assert_int_equal(run.call.chosen_count, 1);
        assert_dropped(&run, "x", NO_MATCH);
        chain_run_fini(&run);
    }
}

/* What an earlier filter chose does not let a datagram pass. */
static void the_router_decides_alone(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, "[" TAKE ", {name: " BALANCER ", config: {}}, {name: " ROUTER "}]");
    assert_dropped(&run, "x", NO_MATCH);
    assert_passed(&run, "t", "t");
    assert_int_equal(run.call.chosen_count, 2);
    chain_run_fini(&run);
}

static void metadata_that_is_no_token_is_told_apart(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, "[{name: " ROUTER "}]");
    assert_dropped(&run, "t", NO_TOKEN);
    chain_run_fini(&run);
    make(&run, "[" TAKE ", {name: " ROUTER ", config: {metadataKey: other}}]");
    assert_dropped(&run, "t", NO_TOKEN);
    chain_run_fini(&run);
    make(&run,
         "[" TAKE ", {name: " ROUTER ", config: {metadataKey: quilkin.dev/capture/is_present}}]");
    assert_dropped(&run, "t", NO_MATCH);
    chain_run_fini(&run);
}

/* Metadata of one datagram is nothing to the next. */
static void each_datagram_starts_with_nothing(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, "[{name: " ROUTER "}, " TAKE "]");
    assert_dropped(&run, "t", NO_TOKEN);
    assert_dropped(&run, "t", NO_TOKEN);
    assert_int_equal(chain_run_pass(&run, true, "t", 1), FILTER_NEXT);
    chain_run_fini(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_of_the_token_are_chosen),
        cmocka_unit_test(the_router_decides_alone),
        cmocka_unit_test(metadata_that_is_no_token_is_told_apart),
        cmocka_unit_test(each_datagram_starts_with_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

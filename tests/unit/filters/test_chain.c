/* SPDX-License-Identifier: Apache-2.0 */
#include "test_filters.h"

static void drop_refuses_both_ways_and_pass_none(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, "[{name: " PASS "}, {name: " PASS ", config: null}]");
    assert_passed(&run, "x", "x");
    assert_false(run.call.is_chosen);
    assert_int_equal(chain_run_pass(&run, true, "x", 1), FILTER_NEXT);
    chain_run_fini(&run);
    make(&run, "[{name: " PASS "}, {name: " DROP "}]");
    assert_dropped(&run, "x", "filter::drop::dropped");
    assert_int_equal(chain_run_pass(&run, true, "x", 1), FILTER_DROP);
    assert_string_equal(run.reason, "filter::drop::dropped");
    chain_run_fini(&run);
    make(&run, "[]");
    assert_passed(&run, "x", "x");
    chain_run_fini(&run);
}

static void filters_run_first_to_last_until_one_refuses(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, "[{name: " ROUTER "}, {name: " DROP "}]");
    assert_dropped(&run, "x", "filter::token_router::no token found");
    assert_int_equal(chain_run_pass(&run, true, "x", 1), FILTER_DROP);
    chain_run_fini(&run);
}

static void what_is_shown_makes_the_same_chain(void **state)
{
    static const char *const lists[] = {
        "[]", "[{name: " PASS ", label: a}, {name: " DROP ", config: null, label: null}]",
        "[{name: " CAPTURE ", config: {suffix: {size: 3, remove: true}}}, {name: " ROUTER "}]",
        "[{name: " CAPTURE ", config: {metadataKey: x, prefix: {size: 0}}}]",
        "[{name: " HASHED_ROUTER ", config: {metadataKey: y}}, {name: " BALANCER
        ", config: {policy: HASH}}]"};

    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct chain_run run, again;
        make(&run, lists[i]);
        json_t *shown = chain_show(run.chain);
        char *text = json_dumps(shown, 0);
        make(&again, text);
        json_t *shown_again = chain_show(again.chain);
        assert_true(json_equal(shown, shown_again));
        json_decref(shown);
        json_decref(shown_again);
        free(text);
        chain_run_fini(&run);
        chain_run_fini(&again);
    }
}

static void chains_tell_whether_they_do_the_same_with_all_datagrams(void **state)
{
#define LIMIT(packets, seconds)                                                                    \
    "{name: " RATE_LIMIT ", config: {max_packets: " #packets ", period: " #seconds "}}"
#define SUFFIX "{name: " CAPTURE ", config: {suffix: {size: 3, remove: true}}}"
    static const struct {
        const char *list, *unsteady;
        struct filter_repeat repeat;
    } rows[] = {
        {"[]", NULL, {0}},
        {"[{name: " PASS "}, {name: " BALANCER ", config: {policy: HASH}}]", NULL, {0}},
        {"[" SUFFIX ", {name: " ROUTER "}]",
         NULL,
         {.has_value = true, .is_suffix = true, .is_removed = true, .size = 3}},
        {"[{name: " CAPTURE ", config: {prefix: {size: 7}}}, {name: " HASHED_ROUTER "}]",
         NULL,
         {.has_value = true, .size = 7}},
        {"[" LIMIT(10, 2) ", " SUFFIX "]",
         NULL,
         {.has_value = true,
          .is_suffix = true,
          .is_removed = true,
          .size = 3,
          .is_limited = true,
          .limit = {.part_ns = 200000000, .max_packets = 10}}},
        {"[" LIMIT(10, 2) ", " LIMIT(20, 4) "]",
         RATE_LIMIT,
         {.is_limited = true, .limit = {.part_ns = 200000000, .max_packets = 10}}},
        {"[" SUFFIX ", " SUFFIX "]",
         CAPTURE,
         {.has_value = true, .is_suffix = true, .is_removed = true, .size = 3}},
        {"[{name: " CAPTURE ", config: {regex: {pattern: x}}}]", CAPTURE, {0}},
        {"[{name: " PASS "}, {name: " BALANCER ", config: {}}]", BALANCER, {0}},
        {"[{name: " DROP "}]", DROP, {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chain_run run;
        struct filter_repeat repeat;
        make(&run, rows[i].list);
        const char *unsteady = chain_repeats(run.chain, &repeat);
        if (rows[i].unsteady != NULL)
            assert_string_equal(unsteady, rows[i].unsteady);
        else
            assert_null(unsteady);
        assert_int_equal(repeat.has_value, rows[i].repeat.has_value);
        assert_int_equal(repeat.is_suffix, rows[i].repeat.is_suffix);
        assert_int_equal(repeat.is_removed, rows[i].repeat.is_removed);
        assert_int_equal(repeat.size, rows[i].repeat.size);
        assert_int_equal(repeat.is_limited, rows[i].repeat.is_limited);
        assert_int_equal(repeat.limit.part_ns, rows[i].repeat.limit.part_ns);
        assert_int_equal(repeat.limit.max_packets, rows[i].repeat.limit.max_packets);
        chain_run_fini(&run);
    }
}

static void limits_are_kept(void **state)
{
    char list[64 * 1024];
    struct chain_run run;
    struct error error;
    size_t length = 0;

    (void)state;
    for (unsigned i = 0; i < CHAIN_MAX_FILTERS + 1; i++)
        length += (size_t)snprintf(list + length, sizeof list - length, "%s{name: " PASS "}",
                                   i == 0 ? "[" : ", ");
    snprintf(list + length, sizeof list - length, "]");
    assert_int_not_equal(chain_run_init(&run, list, strlen(list), &error), 0);
    assert_non_null(strstr(error.text, "filters[64]: expected at most 64 filters"));

    /* Two names each: the value and whether it is there. */
    length = 0;
    for (unsigned i = 0; i < FILTER_MAX_NAMES / 2 + 1; i++)
        length +=
            (size_t)snprintf(list + length, sizeof list - length,
                             "%s{name: " CAPTURE ", config: {metadataKey: k%u, prefix: {size: 1}}}",
                             i == 0 ? "[" : ", ", i);
    snprintf(list + length, sizeof list - length, "]");
    assert_int_not_equal(chain_run_init(&run, list, strlen(list), &error), 0);
    assert_non_null(
        strstr(error.text, "filters[32].config: expected at most 64 names of metadata"));
}

static void reasons_and_kinds_are_few_enough_for_counters(void **state)
{
    unsigned reasons = 0, kinds = 0;

    (void)state;
    while (chain_reason(reasons) != NULL)
        reasons++;
    while (chain_filter_id(kinds) != NULL)
        kinds++;
    assert_in_range(reasons, 6, 50); /* beside the proxy's own outcomes, below PORT_MAX_OUTCOMES */
    assert_in_range(kinds, 6, FILTER_MAX_KINDS);
    for (unsigned i = 0; i < kinds; i++) {
        json_t *schema = chain_filter_schema(chain_filter_id(i));
        assert_non_null(schema);
        json_decref(schema);
    }
    assert_null(chain_filter_schema("quilkin.filters.none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drop_refuses_both_ways_and_pass_none),
        cmocka_unit_test(filters_run_first_to_last_until_one_refuses),
        cmocka_unit_test(what_is_shown_makes_the_same_chain),
        cmocka_unit_test(chains_tell_whether_they_do_the_same_with_all_datagrams),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(reasons_and_kinds_are_few_enough_for_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

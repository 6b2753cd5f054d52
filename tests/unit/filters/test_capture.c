/* SPDX-License-Identifier: Apache-2.0 */
#include "test_filters.h"

#define NO_VALUE "filter::capture::no value captured"

/* The router after it shows what was captured: "t" is a token. */
#define CHAIN(config) "[{name: " CAPTURE ", config: " config "}, {name: " ROUTER "}]"

static void a_suffix_is_taken_and_removed_if_asked(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, CHAIN("{suffix: {size: 1}}"));
    assert_passed(&run, "hello t", "hello t");
    assert_int_equal(run.call.chosen_count, 2);
    assert_dropped(&run, "hello x", "filter::token_router::no endpoint match");
    assert_dropped(&run, "", NO_VALUE);
    chain_run_fini(&run);
    make(&run, CHAIN("{suffix: {size: 1, remove: true}}"));
    assert_passed(&run, "hello t", "hello ");
    assert_passed(&run, "t", "");
    chain_run_fini(&run);
}

static void a_prefix_is_taken_and_removed_if_asked(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, CHAIN("{prefix: {size: 1}}"));
    assert_passed(&run, "thello", "thello");
    assert_dropped(&run, "", NO_VALUE);
    chain_run_fini(&run);
    make(&run, CHAIN("{prefix: {size: 1, remove: true}}"));
    assert_passed(&run, "thello", "hello");
    assert_passed(&run, "t", "");
    chain_run_fini(&run);
}

/* What was removed stays what it was, whatever is captured next. */
static void each_capture_has_its_own_bytes(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, "[{name: " CAPTURE ", config: {metadataKey: a, suffix: {size: 1, remove: true}}},"
               "{name: " CAPTURE ", config: {metadataKey: b, suffix: {size: 1, remove: true}}},"
               "{name: " CAPTURE ", config: {metadataKey: c, prefix: {size: 1, remove: true}}},"
               "{name: " ROUTER ", config: {metadataKey: a}}]");
    assert_passed(&run, "cxxbt", "xx");
    assert_dropped(&run, "txxtc", "filter::token_router::no endpoint match");
    assert_dropped(&run, "ct", NO_VALUE);
    chain_run_fini(&run);
    make(&run, CHAIN("{suffix: {size: 0}}"));
    assert_dropped(&run, "", "filter::token_router::no endpoint match");
    chain_run_fini(&run);
}

static void answers_pass_as_they_are(void **state)
{
    struct chain_run run;

    (void)state;
    make(&run, CHAIN("{suffix: {size: 1, remove: true}}"));
    assert_int_equal(chain_run_pass(&run, true, "", 0), FILTER_NEXT);
    assert_int_equal(chain_run_pass(&run, true, "hello t", 7), FILTER_NEXT);
    assert_int_equal(run.packet.bytes, 7);
    chain_run_fini(&run);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    assert_refused("[{name: " CAPTURE "}]",
                   "1:2: filters[0]: expected the key 'config', found a map without it");
    assert_refused("[{name: " CAPTURE ", config: }]",
                   "1:51: filters[0].config: expected a map, found nothing");
    assert_refused("[{name: " CAPTURE ", config: {}}]",
                   "1:59: filters[0].config: expected one of prefix, suffix, regex");
    assert_refused(
        "[{name: " CAPTURE ", config: {suffix: {}}}]",
        "1:68: filters[0].config.suffix: expected the key 'size', found a map without it");
    assert_refused("[{name: " CAPTURE ", config: {suffix: {size: 65528}}}]",
                   "1:75: filters[0].config.suffix.size: expected a number from 0 to 65527, found "
                   "'65528'");
    assert_refused(
        "[{name: " CAPTURE ", config: {metadata_key: a, suffix: {size: 1}}}]",
        "1:60: filters[0].config: unknown key 'metadata_key', expected one of metadataKey, "
        "prefix, suffix, regex");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_suffix_is_taken_and_removed_if_asked),
        cmocka_unit_test(a_prefix_is_taken_and_removed_if_asked),
        cmocka_unit_test(each_capture_has_its_own_bytes),
        cmocka_unit_test(answers_pass_as_they_are),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

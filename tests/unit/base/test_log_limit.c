/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/log_limit.h"

#define SECOND_NS LOG_LIMIT_NS

static void a_warning_passes_once_a_second_and_tells_what_did_not(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed = 99;
    (void)state;
    assert_true(log_limit_pass(&limit, 7, "m", 0, &suppressed));
    assert_int_equal(suppressed, 0);
    for (int64_t i = 1; i <= 5; i++)
        assert_false(log_limit_pass(&limit, 7, "m", i, &suppressed));
    assert_false(log_limit_pass(&limit, 7, "m", SECOND_NS - 1, &suppressed));
    assert_true(log_limit_pass(&limit, 7, "m", SECOND_NS, &suppressed));
    assert_int_equal(suppressed, 6);
    assert_true(log_limit_pass(&limit, 7, "m", 2 * SECOND_NS, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void distinct_warnings_do_not_limit_each_other(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed;
    (void)state;
    for (uint64_t key = 0; key < LOG_LIMIT_ENTRIES; key++)
        assert_true(log_limit_pass(&limit, key * 2, "m", (int64_t)key, &suppressed));
    for (uint64_t key = 1; key < LOG_LIMIT_ENTRIES; key++)
        assert_false(log_limit_pass(&limit, key * 2, "m", LOG_LIMIT_ENTRIES, &suppressed));
}

static void one_too_many_takes_the_place_of_the_oldest(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed;
    (void)state;
    for (uint64_t key = 1; key <= LOG_LIMIT_ENTRIES + 1; key++)
        assert_true(log_limit_pass(&limit, key, "m", (int64_t)key, &suppressed));
    assert_false(log_limit_pass(&limit, 2, "m", LOG_LIMIT_ENTRIES + 1, &suppressed));
    assert_true(log_limit_pass(&limit, 1, "m", LOG_LIMIT_ENTRIES + 1, &suppressed));
}

static void a_clock_that_is_set_back_silences_nobody(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed;
    (void)state;
    assert_true(log_limit_pass(&limit, 7, "m", 3600 * SECOND_NS, &suppressed));
    assert_true(log_limit_pass(&limit, 7, "m", 1, &suppressed));
    assert_false(log_limit_pass(&limit, 7, "m", 2, &suppressed));
}

static void what_does_not_come_again_can_be_taken(void **state)
{
    struct log_limit limit = {0};
    struct log_limit_entry taken;
    uint64_t suppressed;
    (void)state;
    assert_true(log_limit_pass(&limit, 7, NULL, 0, &suppressed));
    assert_true(log_limit_pass(&limit, 8, "eight", 5, &suppressed));
    assert_false(log_limit_take(&limit, INT64_MAX, &taken));
    for (int64_t i = 1; i <= 3; i++)
        assert_false(log_limit_pass(&limit, 8, "eight", 5 + i, &suppressed));
    assert_false(log_limit_take(&limit, SECOND_NS + 4, &taken));
    assert_true(log_limit_take(&limit, SECOND_NS + 5, &taken));
    assert_string_equal(taken.message, "eight");
    assert_int_equal(taken.suppressed, 3);
    assert_false(log_limit_take(&limit, INT64_MAX, &taken));
    assert_true(log_limit_pass(&limit, 8, "eight", SECOND_NS + 6, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(log_limit_pass(&limit, 8, "eight", SECOND_NS + 7, &suppressed));
    assert_true(log_limit_take(&limit, INT64_MAX, &taken));
    assert_int_equal(taken.suppressed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_warning_passes_once_a_second_and_tells_what_did_not),
        cmocka_unit_test(distinct_warnings_do_not_limit_each_other),
        cmocka_unit_test(one_too_many_takes_the_place_of_the_oldest),
        cmocka_unit_test(a_clock_that_is_set_back_silences_nobody),
        cmocka_unit_test(what_does_not_come_again_can_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
    assert_true(log_limit_pass(&limit, 7, 0, &suppressed));
    assert_int_equal(suppressed, 0);
    for (int64_t i = 1; i <= 5; i++)
        assert_false(log_limit_pass(&limit, 7, i, &suppressed));
    assert_false(log_limit_pass(&limit, 7, SECOND_NS - 1, &suppressed));
    assert_true(log_limit_pass(&limit, 7, SECOND_NS, &suppressed));
    assert_int_equal(suppressed, 6);
    assert_true(log_limit_pass(&limit, 7, 2 * SECOND_NS, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void distinct_warnings_do_not_limit_each_other(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed;
    (void)state;
    for (uint64_t key = 0; key < LOG_LIMIT_ENTRIES; key++)
        assert_true(log_limit_pass(&limit, key * 2, (int64_t)key, &suppressed));
    for (uint64_t key = 1; key < LOG_LIMIT_ENTRIES; key++)
        assert_false(log_limit_pass(&limit, key * 2, LOG_LIMIT_ENTRIES, &suppressed));
}

static void one_too_many_takes_the_place_of_the_oldest(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed;
    (void)state;
    for (uint64_t key = 1; key <= LOG_LIMIT_ENTRIES + 1; key++)
        assert_true(log_limit_pass(&limit, key, (int64_t)key, &suppressed));
    assert_false(log_limit_pass(&limit, 2, LOG_LIMIT_ENTRIES + 1, &suppressed));
    assert_true(log_limit_pass(&limit, 1, LOG_LIMIT_ENTRIES + 1, &suppressed));
}

static void a_clock_that_is_set_back_silences_nobody(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed;
    (void)state;
    assert_true(log_limit_pass(&limit, 7, 3600 * SECOND_NS, &suppressed));
    assert_true(log_limit_pass(&limit, 7, 1, &suppressed));
    assert_false(log_limit_pass(&limit, 7, 2, &suppressed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_warning_passes_once_a_second_and_tells_what_did_not),
        cmocka_unit_test(distinct_warnings_do_not_limit_each_other),
        cmocka_unit_test(one_too_many_takes_the_place_of_the_oldest),
        cmocka_unit_test(a_clock_that_is_set_back_silences_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

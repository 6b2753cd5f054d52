/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/number.h"

static void assert_refused(const char *text, uint64_t min, uint64_t max)
{
    uint64_t value = 4711;

    if (number_parse(text, min, max, &value) == 0)
        fail_msg("'%s' was accepted", text);
    assert_int_equal(value, 4711);
}

static void number_takes_both_ends_of_its_range(void **state)
{
    (void)state;
    uint64_t value = 0;

    assert_int_equal(number_parse("1", 1, 65535, &value), 0);
    assert_int_equal(value, 1);
    assert_int_equal(number_parse("65535", 1, 65535, &value), 0);
    assert_int_equal(value, 65535);
    assert_int_equal(number_parse("007600", 1, 65535, &value), 0);
    assert_int_equal(value, 7600);
}

static void number_refuses_what_is_outside_its_range(void **state)
{
    (void)state;
    assert_refused("0", 1, 65535);
    assert_refused("65536", 1, 65535);
    assert_refused("18446744073709551615", 1, 65535);
}

static void number_takes_64_bits_and_no_more(void **state)
{
    (void)state;
    uint64_t value = 0;

    assert_int_equal(number_parse("18446744073709551615", 0, UINT64_MAX, &value), 0);
    assert_true(value == UINT64_MAX);
    assert_refused("18446744073709551616", 0, UINT64_MAX);
    assert_refused("184467440737095516150", 0, UINT64_MAX);
    assert_refused("99999999999999999999999999999999999", 0, UINT64_MAX);
}

static void number_refuses_everything_but_digits(void **state)
{
    (void)state;
    static const char *const texts[] = {"",     " ",  " 1",  "1 ",  "+1",  "-1", "-0",
                                        "0x10", "1.", "1.0", "1e2", "1\n", "a",  "\xb2"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i], 0, UINT64_MAX);
}

static void boolean_knows_true_and_false(void **state)
{
    (void)state;
    bool value = false;

    assert_int_equal(boolean_parse("true", &value), 0);
    assert_true(value);
    assert_int_equal(boolean_parse("false", &value), 0);
    assert_false(value);
}

static void boolean_refuses_all_else(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "1", "0", "yes", "no", "True", "FALSE", "true ", "on"};
    bool value = true;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(boolean_parse(texts[i], &value), -1);
        assert_true(value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_takes_both_ends_of_its_range),
        cmocka_unit_test(number_refuses_what_is_outside_its_range),
        cmocka_unit_test(number_takes_64_bits_and_no_more),
        cmocka_unit_test(number_refuses_everything_but_digits),
        cmocka_unit_test(boolean_knows_true_and_false),
        cmocka_unit_test(boolean_refuses_all_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

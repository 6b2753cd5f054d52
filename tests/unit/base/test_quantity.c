/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/quantity.h"

static const struct quantity_unit units[] = {
    {"", 1}, {"k", 1000}, {"huge", QUANTITY_MAX_UNIT}, {NULL, 0}};

static void assert_parses(const char *text, int64_t expected)
{
    int64_t value = -1;
    if (quantity_parse(text, units, &value) != 0)
        fail_msg("'%s' was refused", text);
    assert_int_equal(value, expected);
}

static void assert_refused(const char *text)
{
    int64_t value = 4711;
    if (quantity_parse(text, units, &value) == 0)
        fail_msg("'%s' was accepted", text);
    assert_int_equal(value, 4711);
}

static void units_of_the_table_are_taken_in_any_capitals(void **state)
{
    (void)state;
    assert_parses("0", 0);
    assert_parses("007", 7);
    assert_parses("7k", 7000);
    assert_parses("7K", 7000);
    assert_parses("1HuGe", QUANTITY_MAX_UNIT);
    assert_refused("7m");
    assert_refused("7kk");
}

static void fractions_are_exact_or_refused(void **state)
{
    (void)state;
    assert_parses("1.5k", 1500);
    assert_parses("0.001k", 1);
    assert_parses("1.50000000000000000000000000000000k", 1500);
    assert_parses("3.0", 3);
    assert_refused("0.0001k");
    assert_refused("1.0001k");
    assert_refused("0.5");
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    assert_parses("9223372036854775807", INT64_MAX);
    assert_parses("9223372036854775.807k", INT64_MAX);
    assert_parses("10huge", QUANTITY_MAX_UNIT * 10);
    assert_refused("9223372036854775808");
    assert_refused("9223372036854775.808k");
    assert_refused("11huge");
}

static void anything_else_is_refused(void **state)
{
    static const char *const texts[] = {"",   "k",  ".5k", "1.",  "1.k", "-1",  "+1",
                                        " 1", "1 ", "1 k", "0x1", "1e3", "nan", "1.2.3"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_of_the_table_are_taken_in_any_capitals),
        cmocka_unit_test(fractions_are_exact_or_refused),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(anything_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/duration.h"

static void assert_parses(const char *text, int64_t expected)
{
    int64_t ns = -1;

    if (duration_parse(text, &ns) != 0)
        fail_msg("'%s' was refused", text);
    assert_int_equal(ns, expected);
}

static void assert_refused(const char *text)
{
    int64_t ns = 4711;

    if (duration_parse(text, &ns) == 0)
        fail_msg("'%s' was accepted", text);
    assert_int_equal(ns, 4711);
}

static void parse_knows_every_unit(void **state)
{
    (void)state;
    assert_parses("7ns", 7);
    assert_parses("7us", 7000);
    assert_parses("7ms", 7000000);
    assert_parses("7s", 7000000000);
    assert_parses("7m", INT64_C(420000000000));
    assert_parses("7h", INT64_C(25200000000000));
    assert_parses("7d", INT64_C(604800000000000));
}

static void parse_takes_a_bare_number_for_seconds(void **state)
{
    (void)state;
    assert_parses("0", 0);
    assert_parses("5", 5000000000);
    assert_parses("0005", 5000000000);
    assert_parses("1.5", 1500000000);
}

static void parse_takes_units_in_any_capitals(void **state)
{
    (void)state;
    assert_parses("1MS", 1000000);
    assert_parses("1Ms", 1000000);
    assert_parses("1mS", 1000000);
    assert_parses("1M", INT64_C(60000000000));
    assert_parses("1D", INT64_C(86400000000000));
}

static void parse_reads_fractions_exactly(void **state)
{
    (void)state;
    assert_parses("0.001ms", 1000);
    assert_parses("0.000000001", 1);
    assert_parses("0.1m", 6000000000);
    assert_parses("1.0000000000000000000000000000000s", 1000000000);
    assert_parses("0.0000000000025h", 9); /* 2.5e-12 * 3.6e12 */
    assert_parses("0.00000000005m", 3);   /* 5e-11 * 6e10 */
    assert_parses("0.0000152587890625d", 1318359375);
}

static void parse_refuses_what_is_finer_than_a_nanosecond(void **state)
{
    (void)state;
    assert_refused("0.5ns");
    assert_refused("1.0000000001s");
    assert_refused("0.00000000001m");
    assert_refused("0.33333333333333333333333333333333333d");
}

static void parse_refuses_what_does_not_fit(void **state)
{
    (void)state;
    assert_parses("9223372036854775807ns", INT64_MAX);
    assert_refused("9223372036854775808ns");
    assert_parses("9223372036.854775807", INT64_MAX);
    assert_refused("9223372036.854775808");
    assert_refused("9223372037s");
    assert_refused("106752d");
    assert_refused("18446744073709551616ns");
    assert_refused("99999999999999999999999999999999999999999999");
}

static void parse_refuses_what_is_no_duration(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",    "s",   "-1",   "+1",    "1 s",   " 1s",   "1s ",   "1.",
        ".5",  "1.s", "1,5s", "1sec",  "1w",    "1.5.",  "1.5.5", "0x10",
        "1e3", "1s1", "1ss",  "inf",   "nan",   "1\n",   "µs",    "1µs",
        "--1", "1-",  "1.-5", "1 000", "1_000", "1\xff", "true",  "1ms,2ms",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i]);
}

static void assert_formats(int64_t ns, const char *expected)
{
    char text[DURATION_TEXT_BYTES];

    assert_int_equal(duration_format(ns, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
}

static void format_chooses_a_unit_that_people_can_read(void **state)
{
    (void)state;
    assert_formats(0, "0 ns");
    assert_formats(999, "999 ns");
    assert_formats(1000, "0.001 ms");
    assert_formats(123456, "0.123 ms");
    assert_formats(20000000, "20.000 ms");
    assert_formats(999999999, "999.999 ms");
    assert_formats(1000000000, "1 s");
    assert_formats(1500000000, "1.5 s");
    assert_formats(1050000000, "1.05 s");
    assert_formats(60001999999, "60.001 s");
}

static void format_keeps_the_sign(void **state)
{
    (void)state;
    assert_formats(-1, "-1 ns");
    assert_formats(-123456, "-0.123 ms");
    assert_formats(-1500000000, "-1.5 s");
}

static void format_takes_the_extremes(void **state)
{
    (void)state;
    assert_formats(INT64_MAX, "9223372036.854 s");
    assert_formats(INT64_MIN, "-9223372036.854 s");
}

static void format_cuts_what_has_no_room(void **state)
{
    (void)state;
    char text[4] = "zzz";

    assert_int_equal(duration_format(123456, text, sizeof text), strlen("0.123 ms"));
    assert_string_equal(text, "0.1");
    assert_int_equal(duration_format(123456, NULL, 0), strlen("0.123 ms"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_knows_every_unit),
        cmocka_unit_test(parse_takes_a_bare_number_for_seconds),
        cmocka_unit_test(parse_takes_units_in_any_capitals),
        cmocka_unit_test(parse_reads_fractions_exactly),
        cmocka_unit_test(parse_refuses_what_is_finer_than_a_nanosecond),
        cmocka_unit_test(parse_refuses_what_does_not_fit),
        cmocka_unit_test(parse_refuses_what_is_no_duration),
        cmocka_unit_test(format_chooses_a_unit_that_people_can_read),
        cmocka_unit_test(format_keeps_the_sign),
        cmocka_unit_test(format_takes_the_extremes),
        cmocka_unit_test(format_cuts_what_has_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

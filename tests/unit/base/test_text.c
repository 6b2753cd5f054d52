/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void assert_decodes(const char *text, size_t bytes, uint32_t expected)
{
    uint32_t code_point = 4711;

    assert_int_equal(text_decode(text, &code_point), bytes);
    assert_int_equal(code_point, expected);
}

static void assert_escapes(const char *text, const char *expected)
{
    char out[64];

    text_escape(text, out, sizeof out);
    assert_string_equal(out, expected);
    assert_int_equal(text_is_plain(text), strcmp(text, expected) == 0);
}

static void decode_takes_both_ends_of_every_length(void **state)
{
    (void)state;
    assert_decodes("", 0, 0);
    assert_decodes("\x01", 1, 1);
    assert_decodes("\x7f", 1, 0x7f);
    assert_decodes("\xc2\x80", 2, 0x80);
    assert_decodes("\xdf\xbf", 2, 0x7ff);
    assert_decodes("\xe0\xa0\x80", 3, 0x800);
    assert_decodes("\xed\x9f\xbf", 3, 0xd7ff);
    assert_decodes("\xee\x80\x80", 3, 0xe000);
    assert_decodes("\xef\xbf\xbf", 3, 0xffff);
    assert_decodes("\xf0\x90\x80\x80", 4, 0x10000);
    assert_decodes("\xf4\x8f\xbf\xbf", 4, 0x10ffff);
}

static void decode_takes_one_byte_of_what_is_no_character(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf", /* overlong */
        "\xe0\x9f\xbf",
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",
        "\xed\xbf\xbf", /* surrogates */
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff", /* too high */
        "\xc3",
        "\xe2\x82",
        "\xf0\x9f\x98", /* cut short */
        "\xc3x",
        "\xe2x\x82",
        "\xe2\x82x",
        "\xf0\x9f\x98x",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_decodes(texts[i], 1, TEXT_INVALID);
}

static void escape_leaves_plain_text_alone(void **state)
{
    (void)state;
    assert_escapes("", "");
    assert_escapes("plain text, 100 %", "plain text, 100 %");
    assert_escapes("h\xc3\xb6he \xe2\x82\xac \xf0\x9f\x98\x80",
                   "h\xc3\xb6he \xe2\x82\xac \xf0\x9f\x98\x80");
}

static void escape_disarms_controls(void **state)
{
    (void)state;
    assert_escapes("a\nb\rc\td", "a\\nb\\rc\\td");
    assert_escapes("\033[31m", "\\u{1b}[31m");
    assert_escapes("\x7f", "\\u{7f}");
    assert_escapes("\xc2\x9b"
                   "31m",
                   "\\u{9b}31m");
    assert_escapes("\"\\", "\\\"\\\\");
}

static void escape_disarms_what_misleads_the_eye(void **state)
{
    /* As bytes, so that this file misleads nobody. */
    static const char RIGHT_TO_LEFT_OVERRIDE[] = {'\xe2', '\x80', '\xae', '\0'};
    static const char LEFT_TO_RIGHT_ISOLATE[] = {'\xe2', '\x81', '\xa6', '\0'};
    (void)state;
    assert_escapes(RIGHT_TO_LEFT_OVERRIDE, "\\u{202e}");
    assert_escapes("\xe2\x80\xa8", "\\u{2028}");
    assert_escapes(LEFT_TO_RIGHT_ISOLATE, "\\u{2066}");
    assert_escapes("\xd8\x9c", "\\u{61c}");
}

static void escape_shows_bytes_that_are_no_text(void **state)
{
    (void)state;
    assert_escapes("a\xff"
                   "b",
                   "a\\xffb");
    assert_escapes("\xe2\x82", "\\xe2\\x82");
}

static void escape_cuts_between_pieces(void **state)
{
    (void)state;
    char out[8];

    text_escape("1234567", out, sizeof out);
    assert_string_equal(out, "1234567");
    text_escape("12345678", out, sizeof out);
    assert_string_equal(out, "1234...");
    text_escape("123\n\n", out, sizeof out);
    assert_string_equal(out, "123\\n\\n");
    text_escape("123\n\n\n", out, sizeof out);
    assert_string_equal(out, "123...");
    text_escape("\033\033", out, 4);
    assert_string_equal(out, "...");
}

static void repair_replaces_bad_bytes_alone(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"plain \"\n", "plain \"\n"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xff", "\xef\xbf\xbd"},
        {"a\xc3", "a\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *clean = text_repair(cases[i][0]);
        assert_non_null(clean);
        assert_string_equal(clean, cases[i][1]);
        free(clean);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_takes_both_ends_of_every_length),
        cmocka_unit_test(decode_takes_one_byte_of_what_is_no_character),
        cmocka_unit_test(escape_leaves_plain_text_alone),
        cmocka_unit_test(escape_disarms_controls),
        cmocka_unit_test(escape_disarms_what_misleads_the_eye),
        cmocka_unit_test(escape_shows_bytes_that_are_no_text),
        cmocka_unit_test(escape_cuts_between_pieces),
        cmocka_unit_test(repair_replaces_bad_bytes_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

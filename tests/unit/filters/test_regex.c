/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "filters/regex.h"

struct row {
    const char *pattern;
    const char *data;
    size_t bytes;
    unsigned found;
    size_t begin, end;
};

#define ROW(pattern_, data_, found_, begin_, end_)                                                 \
    {                                                                                              \
        (pattern_), (data_), sizeof(data_) - 1, (found_), (begin_), (end_)                         \
    }

/* What Rust's regex crate documents, not what PCRE2 does by itself. */
static const struct row rows[] = {
    ROW("abc", "xabcx", 1, 1, 4),
    ROW("abc", "xabx", 0, 0, 0),
    ROW("a", "aba", 2, 0, 1),
    ROW(".*", "abc", 1, 0, 3), /* the empty match behind it does not count */
    ROW("", "abc", 2, 0, 0),   /* but the first of several does */
    ROW("", "", 1, 0, 0),
    ROW("^.{3}", "abcdef", 1, 0, 3),
    ROW("c$", "abc\n", 0, 0, 0), /* the end is the end */
    ROW("(?m)c$", "abc\n", 1, 2, 3),
    ROW("a.b", "a\nb", 0, 0, 0),
    ROW("(?s)a.b", "a\nb", 1, 0, 3),
    ROW("a.b", "a\rb", 1, 0, 3),
    ROW("a.b",
        "a\xff"
        "b",
        0, 0, 0), /* no character */
    ROW("a.b",
        "a\xc3\xbf"
        "b",
        1, 0, 4),
    ROW("\\xff", "\xff", 0, 0, 0), /* a character, and not a byte */
    ROW("\\xff", "\xc3\xbf", 1, 0, 2),
    ROW("\\x{ff}", "\xc3\xbf", 1, 0, 2),
    ROW("\\u00ff", "\xc3\xbf", 1, 0, 2),
    ROW("\\U{ff}", "\xc3\xbf", 1, 0, 2),
    ROW("(?-u)\\xff", "\xff", 1, 0, 1),
    ROW("(?-u)a.b",
        "a\xff"
        "b",
        1, 0, 3),
    ROW("(?-u)a.b", "a\nb", 0, 0, 0),
    ROW("(?s-u)a.b", "a\nb", 1, 0, 3),
    ROW("abc",
        "\xff\xff"
        "abc\xff",
        1, 2, 5),                      /* around what is no text */
    ROW("\\d+", "x\xd9\xa3", 1, 1, 3), /* a digit of Unicode */
    ROW("(?-u)\\d+", "x\xd9\xa3", 0, 0, 0),
    ROW("[[:digit:]]+", "x\xd9\xa3", 0, 0, 0), /* ASCII in Rust */
    ROW("[[:digit:]a]+", "x1a2", 1, 1, 4),
    ROW("[[:^digit:]]+", "12ab", 1, 2, 4),
    ROW("[[:^alpha:]]", "\xc3\xa9", 1, 0, 2),
    ROW("(?-u)[[:^alpha:]]", "a\xff", 1, 1, 2),
    ROW("[^[:^punct:]]+", "ab!?c", 1, 2, 4),
    ROW("\\w+", "\xc3\xa9", 1, 0, 2),
    ROW("[\\w-]+", "a-\xc3\xa9", 1, 0, 4),
    ROW("\\W", "\xc3\xa9", 0, 0, 0),
    ROW("(?i)\xc3\xa9", "\xc3\x89", 1, 0, 2),
    ROW("a\\vb",
        "a\x0b"
        "b",
        1, 0, 3),
    ROW("a\\vb", "a\nb", 0, 0, 0), /* a class in PCRE2 */
    ROW("(?P<name>a+)(?<other>b)", "aab", 1, 0, 3),
    ROW("a{2}", "aaa", 1, 0, 2),
    ROW("a{2,}?", "aaa", 1, 0, 2),
    ROW("[]a]+", "]a", 1, 0, 2),
    ROW("[^a]", "ab", 1, 1, 2),
    ROW("\\p{Greek}", "\xce\xb1", 1, 0, 2),
    ROW("\\pL", "1a", 1, 1, 2),
    ROW("a|b", "b", 1, 0, 1),
    ROW("\\Aab\\z", "ab", 1, 0, 2),
    ROW("\\bab\\b", "x ab", 1, 2, 4),
    ROW("\\.\\*\\[", ".*[", 1, 0, 3),
    ROW("(?U)a+", "aab", 2, 0, 1),
};

static void expressions_find_what_those_of_rust_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct regex *regex;
        struct error error = {0};
        size_t begin = 0, end = 0;
        if (regex_new(&regex, rows[i].pattern, &error) != 0)
            fail_msg("%s: %s", rows[i].pattern, error.text);
        struct regex_memory *memory = regex_memory_new(regex);
        unsigned found =
            regex_find(regex, memory, (const uint8_t *)rows[i].data, rows[i].bytes, &begin, &end);
        if (found != rows[i].found || (found > 0 && (begin != rows[i].begin || end != rows[i].end)))
            fail_msg("%s in row %zu: %u at %zu to %zu", rows[i].pattern, i, found, begin, end);
        regex_memory_free(memory);
        regex_free(regex);
    }
}

static void what_has_no_bound_or_other_meaning_is_refused(void **state)
{
    static const char *const bad[] = {"(?=a)",
                                      "(?!a)",
                                      "(?<=a)b",
                                      "(?<!a)b",
                                      "(?>a)",
                                      "(a)\\1",
                                      "(?P=name)",
                                      "(?R)",
                                      "(?1)",
                                      "(?&name)",
                                      "(?(1)a)",
                                      "(?|a|b)",
                                      "(*FAIL)a",
                                      "(?C1)a",
                                      "(?#note)",
                                      "\\K",
                                      "\\G",
                                      "\\C",
                                      "\\X",
                                      "\\R",
                                      "\\Qa\\E",
                                      "\\h",
                                      "\\Z",
                                      "\\ga",
                                      "\\k<a>",
                                      "\\c@",
                                      "\\0",
                                      "a++",
                                      "a*+",
                                      "a{2}{3}",
                                      "*a",
                                      "+",
                                      "a{",
                                      "a{,2}",
                                      "a{x}",
                                      "[a&&b]",
                                      "[a--b]",
                                      "[a[bc]]",
                                      "[a",
                                      "(a",
                                      "a)",
                                      "\\x",
                                      "\\x{}",
                                      "\\x{110000}",
                                      "\\xd",
                                      "\\ud800",
                                      "\\p{",
                                      "\\p{Nowhere}",
                                      "(?-u)\\pL",
                                      "(?-u)\\x{100}",
                                      "a(?-u)b",
                                      "(?-u:a)",
                                      "(?R)a",
                                      "(?i-)a",
                                      "\\",
                                      "[\\W]",
                                      "[[:nothing:]]",
                                      "(?-u)[\xc3\xa9]",
                                      "(?<name",
                                      "(?<>a)",
                                      "(?<1a>a)",
                                      "(?<a>a)(?P<a>b)",
                                      "[z-a]",
                                      "\\b{start}",
                                      "((a{100}b){100}c){100}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct regex *regex = NULL;
        struct error error = {0};
        if (regex_new(&regex, bad[i], &error) == 0)
            fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(error.text, "expected a regular expression: "));
        assert_null(regex);
    }
}

static void a_search_that_would_take_long_finds_nothing(void **state)
{
    static const char *const slow[] = {"^(a+)+$", "(a|aa)+$",      "(.*)*x",
                                       "(a*)*b",  "[a-z]+[a-z]+1", "[a-z]+[a-z]+[a-z]+[a-z]+1"};
    static char data[65507];
    (void)state;
    memset(data, 'a', sizeof data);
    data[sizeof data - 2] = '!';
    data[sizeof data - 1] = '1';
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        struct regex *regex;
        struct error error;
        size_t begin, end;
        assert_int_equal(regex_new(&regex, slow[i], &error), 0);
        struct regex_memory *memory = regex_memory_new(regex);
        assert_int_equal(
            regex_find(regex, memory, (const uint8_t *)data, sizeof data, &begin, &end), 0);
        regex_memory_free(memory);
        regex_free(regex);
    }
}

static void a_long_datagram_is_searched_to_its_end(void **state)
{
    static const char *const honest[] = {"^(a|b)+c$", "(?-u)^(?:a|b)*c", "[ab]+c", "^.*c$",
                                         "(?:(?:a|b){1,3})+c"};
    static char data[65507];
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = i % 3 == 0 ? 'a' : 'b';
    data[sizeof data - 1] = 'c';
    for (size_t i = 0; i < sizeof honest / sizeof honest[0]; i++) {
        struct regex *regex;
        struct error error;
        size_t begin, end;
        assert_int_equal(regex_new(&regex, honest[i], &error), 0);
        struct regex_memory *memory = regex_memory_new(regex);
        if (regex_find(regex, memory, (const uint8_t *)data, sizeof data, &begin, &end) != 1)
            fail_msg("%s is not found", honest[i]);
        assert_int_equal(end, sizeof data);
        regex_memory_free(memory);
        regex_free(regex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_find_what_those_of_rust_find),
        cmocka_unit_test(what_has_no_bound_or_other_meaning_is_refused),
        cmocka_unit_test(a_search_that_would_take_long_finds_nothing),
        cmocka_unit_test(a_long_datagram_is_searched_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

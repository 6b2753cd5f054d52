/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/flags.h"

struct settings {
    bool quiet, help, secret;
    uint32_t amount, amount_max;
};

#define AT(member) FIELD_AT(struct settings, member)

static const struct field fields[] = {
    {.flag = "quiet", .letter = 'q', .help = "no output", .variable = "QUIET", AT(quiet)},
    {.flag = "amount",
     .letter = 'a',
     .kind = FIELD_NUMBER,
     .max = 100,
     .placeholder = "N",
     .help = "how many",
     .default_text = "5",
     AT(amount)},
    {.key = "only.in.files", .kind = FIELD_NUMBER, .max = 100, AT(amount_max)},
    {.flag = "amount.max",
     .kind = FIELD_NUMBER,
     .max = 100,
     .placeholder = "N",
     .help = "at most",
     AT(amount_max)},
    {.flag = "help", .letter = 'h', .kind = FIELD_MARK, .help = "print this help", AT(help)},
    {.flag = "secret", .kind = FIELD_MARK, .flags = FIELD_HIDDEN, AT(secret)},
    {0},
};

/* What a parse saw, as text: "--name=value", "--name", "word"; an error as "! text"; at the end "|
 * index". */
struct transcript {
    char text[1024];
};

static void append(struct transcript *transcript, const char *prefix, const char *text)
{
    size_t length = strlen(transcript->text);

    snprintf(transcript->text + length, sizeof transcript->text - length, "%s%s%s",
             length > 0 ? " " : "", prefix, text);
}

static void append_value(struct transcript *transcript, const char *value)
{
    size_t length = strlen(transcript->text);

    snprintf(transcript->text + length, sizeof transcript->text - length, "=%s", value);
}

static void append_event(struct transcript *transcript, enum flags_event event,
                         const struct flags_reader *reader)
{
    char number[16];

    switch (event) {
    case FLAGS_FLAG:
        append(transcript, "--", reader->field->flag);
        if (reader->field->kind != FIELD_MARK)
            append_value(transcript, reader->value);
        break;
    case FLAGS_WORD:
        append(transcript, "", reader->value);
        break;
    case FLAGS_ERROR:
        append(transcript, "! ", reader->error->text);
        break;
    case FLAGS_END:
        snprintf(number, sizeof number, "%d", reader->index);
        append(transcript, "| ", number);
        break;
    }
}

static const struct field_table table = {.fields = fields};

static struct flags_reader reader_of(bool stops_at_word, int argc, char *const *argv,
                                     struct error *error)
{
    return (struct flags_reader){.tables = &table,
                                 .count = 1,
                                 .argc = argc,
                                 .argv = argv,
                                 .index = 1,
                                 .stops_at_word = stops_at_word,
                                 .error = error};
}

static void parse(struct transcript *transcript, bool stops_at_word, int argc, char *const *argv)
{
    struct error error = {0};
    struct flags_reader reader = reader_of(stops_at_word, argc, argv, &error);
    enum flags_event event;

    transcript->text[0] = '\0';
    do {
        event = flags_next(&reader);
        append_event(transcript, event, &reader);
    } while (event == FLAGS_FLAG || event == FLAGS_WORD);
}

#define ARGUMENTS(...) ((char *[]){"program", __VA_ARGS__, NULL})
#define COUNT(...) ((int)(sizeof ARGUMENTS(__VA_ARGS__) / sizeof(char *)) - 1)
#define ASSERT_PARSES(words, expected, ...)                                                        \
    do {                                                                                           \
        struct transcript transcript_;                                                             \
        parse(&transcript_, (words), COUNT(__VA_ARGS__), ARGUMENTS(__VA_ARGS__));                  \
        assert_string_equal(transcript_.text, (expected));                                         \
    } while (0)
#define ASSERT_MIXED(expected, ...) ASSERT_PARSES(false, expected, __VA_ARGS__)
#define ASSERT_STOPS(expected, ...) ASSERT_PARSES(true, expected, __VA_ARGS__)

static void empty_command_line_ends_at_once(void **state)
{
    (void)state;
    struct transcript transcript;

    parse(&transcript, false, 1, (char *[]){"program", NULL});
    assert_string_equal(transcript.text, "| 1");
    parse(&transcript, false, 0, (char *[]){NULL});
    assert_string_equal(transcript.text, "| 1");
}

static void values_come_in_every_form(void **state)
{
    (void)state;
    ASSERT_MIXED("--amount=3 | 3", "--amount", "3");
    ASSERT_MIXED("--amount=3 | 2", "--amount=3");
    ASSERT_MIXED("--amount=3 | 3", "-a", "3");
    ASSERT_MIXED("--amount=3 | 2", "-a3");
    ASSERT_MIXED("--amount=3 | 2", "-a=3");
    ASSERT_MIXED("--amount= | 2", "--amount=");
    ASSERT_MIXED("--amount= | 3", "--amount", "");
    ASSERT_MIXED("--amount=-3 | 2", "--amount=-3");
    ASSERT_MIXED("--amount==3= | 2", "--amount==3=");
    ASSERT_MIXED("--amount=- | 3", "-a", "-");
}

static void switches_stand_alone_or_take_a_boolean(void **state)
{
    (void)state;
    ASSERT_MIXED("--quiet=true | 2", "--quiet");
    ASSERT_MIXED("--quiet=true | 2", "-q");
    ASSERT_MIXED("--quiet=true | 2", "--quiet=true");
    ASSERT_MIXED("--quiet=false | 2", "--quiet=false");
    ASSERT_MIXED("--quiet=false | 2", "-q=false");
    ASSERT_MIXED("--quiet=true | 3", "--quiet", "true");
    ASSERT_MIXED("--quiet=false | 3", "-q", "false");
    ASSERT_MIXED("--quiet=true --help | 3", "--quiet", "-h");
    ASSERT_MIXED("--quiet=true False | 3", "--quiet", "False");
    ASSERT_MIXED("! option '--quiet' takes true or false, not 'no'", "--quiet=no");
    ASSERT_MIXED("! option '--quiet' takes true or false, not ''", "--quiet=");
}

static void letters_come_in_rows(void **state)
{
    (void)state;
    ASSERT_MIXED("--quiet=true --help --amount=7 | 2", "-qha7");
    ASSERT_MIXED("--quiet=true --help --amount=7 | 3", "-qha", "7");
    ASSERT_MIXED("--help --quiet=false | 3", "-hq", "false");
    ASSERT_MIXED("--quiet=true --help false | 3", "-qh", "false");
}

static void flags_take_no_value(void **state)
{
    (void)state;
    ASSERT_MIXED("--help true | 3", "--help", "true");
    ASSERT_MIXED("! option '--help' takes no value", "--help=true");
    ASSERT_MIXED("! option '--help' takes no value", "-h=");
}

static void missing_values_are_errors(void **state)
{
    (void)state;
    ASSERT_MIXED("! option '--amount' needs a value", "--amount");
    ASSERT_MIXED("! option '--amount' needs a value", "-a");
    ASSERT_MIXED("! option '--amount' needs a value", "--amount", "--quiet");
    ASSERT_MIXED("--quiet=true ! option '--amount' needs a value; one that begins with '-' needs "
                 "'--amount=-5'",
                 "-qa", "-5");
    ASSERT_MIXED("! option '--amount' needs a value", "--amount", "--");
}

static void unknown_options_are_errors(void **state)
{
    (void)state;
    ASSERT_MIXED("! unknown option '--nope'", "--nope");
    ASSERT_MIXED("! unknown option '--nope=1'", "--nope=1");
    ASSERT_MIXED("! unknown option '-x'", "-x");
    ASSERT_MIXED("--quiet=true ! unknown option '-qx'", "-qx");
    ASSERT_MIXED("! unknown option '--='", "--=");
    ASSERT_MIXED("! unknown option '---'", "---");
    ASSERT_MIXED("! unknown option '--Quiet'", "--Quiet");
}

static void long_names_are_not_abbreviated(void **state)
{
    (void)state;
    ASSERT_MIXED("! unknown option '--qui'", "--qui");
    ASSERT_MIXED("! unknown option '--amoun=3'", "--amoun=3");
    ASSERT_MIXED("! unknown option '--amount.m'", "--amount.m", "3");
    ASSERT_MIXED("! unknown option '--quiets'", "--quiets");
    ASSERT_MIXED("--amount.max=3 | 3", "--amount.max", "3");
}

static void hostile_words_cannot_forge_error_lines(void **state)
{
    (void)state;
    ASSERT_MIXED("! unknown option '--a\\nb\\u{1b}[1m'", "--a\nb\033[1m");
    ASSERT_MIXED("! unknown option '-\\xff'", "-\xff");
    ASSERT_MIXED("! option '--quiet' takes true or false, not '\\r'", "--quiet=\r");

    static char huge[100000] = "--";
    struct transcript transcript;
    memset(huge + 2, 'x', sizeof huge - 3);
    parse(&transcript, false, 2, (char *[]){"program", huge, NULL});
    assert_true(strlen(transcript.text) < 256);
    assert_non_null(strstr(transcript.text, "xxx...'"));
}

static void words_and_options_mix_where_they_may(void **state)
{
    (void)state;
    ASSERT_MIXED("host --amount=3 other --quiet=true | 6", "host", "-a", "3", "other", "-q");
    ASSERT_MIXED("- | 2", "-");
    ASSERT_MIXED("x  y | 4", "x", "", "y");
}

static void words_end_the_options_where_a_command_follows(void **state)
{
    (void)state;
    ASSERT_STOPS("--quiet=true | 2", "-q", "ping", "-a", "3");
    ASSERT_STOPS("| 1", "ping", "--quiet");
    ASSERT_STOPS("--quiet=true | 3", "-q", "true", "ping");
    ASSERT_STOPS("--amount=3 | 3", "-a", "3");
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    ASSERT_MIXED("--quiet=true -q -- --help | 6", "-q", "--", "-q", "--", "--help");
    ASSERT_MIXED("| 2", "--");
    ASSERT_STOPS("--quiet=true | 3", "-q", "--", "-q");
    ASSERT_STOPS("| 2", "--");
}

static void parses_do_not_disturb_each_other(void **state)
{
    (void)state;
    struct transcript inner;
    struct error error = {0};
    char *const *argv = ARGUMENTS("-qh", "word", "-a3");
    struct flags_reader outer = reader_of(false, 4, argv, &error);

    assert_int_equal(flags_next(&outer), FLAGS_FLAG);
    parse(&inner, false, 4, argv);
    assert_string_equal(inner.text, "--quiet=true --help word --amount=3 | 4");
    assert_int_equal(flags_next(&outer), FLAGS_FLAG);
    assert_string_equal(outer.field->flag, "help");
    parse(&inner, true, 4, argv);
    assert_string_equal(inner.text, "--quiet=true --help | 2");
    assert_int_equal(flags_next(&outer), FLAGS_WORD);
    assert_string_equal(outer.value, "word");
}

static void the_line_of_a_command_sets_what_its_table_describes(void **state)
{
    (void)state;
    struct settings settings = {.amount = 5};
    const struct field_table settings_table = {fields, &settings};
    const char *items[8];
    struct flags_words words = {.items = items}, none = {.items = NULL};
    struct error error = {0};

    assert_int_equal(
        flags_parse(&settings_table, 5, ARGUMENTS("one", "-qa7", "--help", "two"), &words, &error),
        0);
    assert_true(settings.quiet && settings.help && !settings.secret);
    assert_int_equal(settings.amount, 7);
    assert_int_equal(words.count, 2);
    assert_string_equal(items[0], "one");
    assert_string_equal(items[1], "two");
    assert_int_equal(flags_parse(&settings_table, 2, ARGUMENTS("one\n"), &none, &error), -EINVAL);
    assert_string_equal(error.text, "'one\\n' is not an option");
}

static void a_refused_value_is_shown_without_its_controls(void **state)
{
    (void)state;
    struct settings settings = {.amount = 5};
    const struct field_table settings_table = {fields, &settings};
    struct flags_words words = {.items = NULL};
    struct error error = {0};

    assert_int_equal(flags_parse(&settings_table, 3, ARGUMENTS("-a", "\033[31m5"), &words, &error),
                     -EINVAL);
    assert_string_equal(error.text,
                        "option '--amount': '\\u{1b}[31m5' is not a number from 0 to 100");
    assert_int_equal(settings.amount, 5);
}

static void help_is_aligned_and_complete(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    assert_non_null(stream);
    flags_print_help(stream, &table, 1);
    fclose(stream);
    assert_string_equal(text, "  -q, --quiet [BOOL]  no output [environment: QUIET]\n"
                              "  -a, --amount N      how many [default: 5]\n"
                              "      --amount.max N  at most\n"
                              "  -h, --help          print this help\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_command_line_ends_at_once),
        cmocka_unit_test(values_come_in_every_form),
        cmocka_unit_test(switches_stand_alone_or_take_a_boolean),
        cmocka_unit_test(letters_come_in_rows),
        cmocka_unit_test(flags_take_no_value),
        cmocka_unit_test(missing_values_are_errors),
        cmocka_unit_test(unknown_options_are_errors),
        cmocka_unit_test(long_names_are_not_abbreviated),
        cmocka_unit_test(hostile_words_cannot_forge_error_lines),
        cmocka_unit_test(words_and_options_mix_where_they_may),
        cmocka_unit_test(words_end_the_options_where_a_command_follows),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(parses_do_not_disturb_each_other),
        cmocka_unit_test(the_line_of_a_command_sets_what_its_table_describes),
        cmocka_unit_test(a_refused_value_is_shown_without_its_controls),
        cmocka_unit_test(help_is_aligned_and_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

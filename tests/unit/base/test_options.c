/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"

static const struct option_spec specs[] = {
    {.name = "quiet",
     .letter = 'q',
     .kind = OPTION_SWITCH,
     .help = "no output",
     .environment = "QUIET"},
    {.name = "amount",
     .letter = 'a',
     .kind = OPTION_VALUE,
     .placeholder = "N",
     .help = "how many",
     .default_text = "5"},
    {.name = "amount.max", .kind = OPTION_VALUE, .placeholder = "N", .help = "at most"},
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG, .help = "print this help"},
    {.name = "secret", .kind = OPTION_FLAG, .hidden = true},
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

static void append_event(struct transcript *transcript, enum options_event event,
                         const struct options *options)
{
    char number[16];

    switch (event) {
    case OPTIONS_OPTION:
        append(transcript, "--", options->spec->name);
        if (options->value != NULL)
            append_value(transcript, options->value);
        break;
    case OPTIONS_WORD:
        append(transcript, "", options->value);
        break;
    case OPTIONS_ERROR:
        append(transcript, "! ", options->error);
        break;
    case OPTIONS_END:
        snprintf(number, sizeof number, "%d", options->index);
        append(transcript, "| ", number);
        break;
    }
}

static void parse(struct transcript *transcript, enum options_words words, int argc,
                  char *const *argv)
{
    struct options options;
    enum options_event event;

    transcript->text[0] = '\0';
    options_init(&options, specs, words, argc, argv);
    do {
        event = options_next(&options);
        append_event(transcript, event, &options);
    } while (event == OPTIONS_OPTION || event == OPTIONS_WORD);
}

#define ARGUMENTS(...) ((char *[]){"program", __VA_ARGS__, NULL})
#define COUNT(...) ((int)(sizeof ARGUMENTS(__VA_ARGS__) / sizeof(char *)) - 1)
#define ASSERT_PARSES(words, expected, ...)                                                        \
    do {                                                                                           \
        struct transcript transcript_;                                                             \
        parse(&transcript_, (words), COUNT(__VA_ARGS__), ARGUMENTS(__VA_ARGS__));                  \
        assert_string_equal(transcript_.text, (expected));                                         \
    } while (0)
#define ASSERT_MIXED(expected, ...) ASSERT_PARSES(OPTIONS_MIX_WORDS, expected, __VA_ARGS__)
#define ASSERT_STOPS(expected, ...) ASSERT_PARSES(OPTIONS_STOP_AT_WORD, expected, __VA_ARGS__)

static void empty_command_line_ends_at_once(void **state)
{
    (void)state;
    struct transcript transcript;

    parse(&transcript, OPTIONS_MIX_WORDS, 1, (char *[]){"program", NULL});
    assert_string_equal(transcript.text, "| 1");
    parse(&transcript, OPTIONS_MIX_WORDS, 0, (char *[]){NULL});
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
    parse(&transcript, OPTIONS_MIX_WORDS, 2, (char *[]){"program", huge, NULL});
    assert_true(strlen(transcript.text) < OPTIONS_ERROR_BYTES);
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
    struct options outer;
    struct transcript inner;
    char *const *argv = ARGUMENTS("-qh", "word", "-a3");

    options_init(&outer, specs, OPTIONS_MIX_WORDS, 4, argv);
    assert_int_equal(options_next(&outer), OPTIONS_OPTION);
    parse(&inner, OPTIONS_MIX_WORDS, 4, argv);
    assert_string_equal(inner.text, "--quiet=true --help word --amount=3 | 4");
    assert_int_equal(options_next(&outer), OPTIONS_OPTION);
    assert_string_equal(outer.spec->name, "help");
    parse(&inner, OPTIONS_STOP_AT_WORD, 4, argv);
    assert_string_equal(inner.text, "--quiet=true --help | 2");
    assert_int_equal(options_next(&outer), OPTIONS_WORD);
    assert_string_equal(outer.value, "word");
}

static void a_refused_value_is_shown_without_its_controls(void **state)
{
    (void)state;
    char message[64];

    assert_int_equal(options_refuse("amount", "\033[31m5", "a number", message, sizeof message),
                     -1);
    assert_string_equal(message, "option '--amount': '\\u{1b}[31m5' is not a number");
    assert_int_equal(options_refuse("amount", "five", "a number", message, 10), -1);
    assert_string_equal(message, "option '-");
}

static void help_is_aligned_and_complete(void **state)
{
    (void)state;
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    assert_non_null(stream);
    options_print_help(stream, specs);
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
        cmocka_unit_test(a_refused_value_is_shown_without_its_controls),
        cmocka_unit_test(help_is_aligned_and_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

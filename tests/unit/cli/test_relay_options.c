/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cli/relay_options.h"

#define WORDS 32
#define MS INT64_C(1000000)

static struct relay_arguments arguments;
static struct error error;

/* Parses words with blanks between them, behind the two addresses. */
static int parse(const char *words)
{
    static char text[512];
    char *argv[WORDS + 1] = {NULL};
    int argc = 0;
    snprintf(text, sizeof text, "relay --listen 127.0.0.1:0 --to [::1]:9 %s", words);
    error = (struct error){0};
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;) {
        if (*word != '\0')
            argv[argc++] = word;
    }
    return relay_arguments_parse(&arguments, argc, argv, &error);
}

static void assert_parses(const char *words)
{
    if (parse(words) != 0)
        fail_msg("'%s': %s", words, error.text);
}

static void without_options_nothing_is_impaired(void **state)
{
    static const struct impair_settings nothing;
    (void)state;
    assert_parses("");
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++)
        assert_memory_equal(&arguments.options.settings[i], &nothing, sizeof nothing);
    assert_int_equal(arguments.options.idle_ns, 60000 * MS);
    assert_int_equal(arguments.options.max_clients, RELAY_MAX_CLIENTS);
    assert_int_equal(arguments.options.listen_port, 0);
    assert_int_equal(arguments.options.to.ss_family, AF_INET6);
    assert_false(arguments.seed_given || arguments.json || arguments.help);
}

static void every_impairment_holds_for_both_directions(void **state)
{
    (void)state;
    assert_parses("--delay 20ms --jitter 3ms --distribution pareto --loss 0.25 --duplicate 1 "
                  "--reorder 0.5 --rate 2.5M");
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++) {
        const struct impair_settings *settings = &arguments.options.settings[i];
        assert_int_equal(settings->delay_ns, 20 * MS);
        assert_int_equal(settings->jitter_ns, 3 * MS);
        assert_int_equal(settings->distribution, IMPAIR_PARETO);
        assert_true(settings->loss == 0.25 && settings->duplicate == 1 && settings->reorder == 0.5);
        assert_int_equal(settings->rate_bits, 2500000);
    }
}

static void one_direction_overrides_both_wherever_it_stands(void **state)
{
    static const char *const orders[] = {"--delay 1ms --up-delay 2ms --down-loss 0 --loss 1",
                                         "--loss 1 --down-loss 0 --up-delay 2ms --delay 1ms"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_parses(orders[i]);
        const struct impair_settings *up = &arguments.options.settings[RELAY_UP];
        const struct impair_settings *down = &arguments.options.settings[RELAY_DOWN];
        assert_int_equal(up->delay_ns, 2 * MS);
        assert_int_equal(down->delay_ns, MS);
        assert_true(up->loss == 1 && down->loss == 0);
    }
}

static void each_option_of_one_direction_reaches_that_direction_alone(void **state)
{
    static const struct impair_settings nothing;
    static const char *const options[] = {"delay 1ms", "jitter 1ms",  "distribution normal",
                                          "loss 0.5",  "duplicate 1", "reorder 0.1",
                                          "rate 1"};
    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        char words[64];
        snprintf(words, sizeof words, "--up-%s", options[i]);
        assert_parses(words);
        assert_memory_not_equal(&arguments.options.settings[RELAY_UP], &nothing, sizeof nothing);
        assert_memory_equal(&arguments.options.settings[RELAY_DOWN], &nothing, sizeof nothing);
        snprintf(words, sizeof words, "--down-%s", options[i]);
        assert_parses(words);
        assert_memory_equal(&arguments.options.settings[RELAY_UP], &nothing, sizeof nothing);
        assert_memory_not_equal(&arguments.options.settings[RELAY_DOWN], &nothing, sizeof nothing);
    }
}

static void the_last_of_an_option_counts(void **state)
{
    (void)state;
    assert_parses("--loss 1 --loss 0.5 --seed 1 --seed 2 --report json --report human");
    assert_true(arguments.options.settings[RELAY_UP].loss == 0.5);
    assert_int_equal(arguments.options.seed, 2);
    assert_true(arguments.seed_given && !arguments.json);
}

static void listening_addresses_are_read_with_port_0_or_without_a_port(void **state)
{
    static const struct {
        const char *text, *address;
        uint16_t port;
    } rows[] = {{"--listen [::]:0", "::", 0},
                {"--listen ::", "::", 0},
                {"--listen [::1]", "::1", 0},
                {"--listen ::1", "::1", 0},
                {"--listen 127.0.0.1", "::ffff:127.0.0.1", 0},
                {"--listen [::1]:7", "::1", 7},
                {"--listen 1::0", "1::", 0},
                {"--listen 127.0.0.1:7", "::ffff:127.0.0.1", 7}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct in6_addr expected;
        assert_parses(rows[i].text);
        assert_int_equal(inet_pton(AF_INET6, rows[i].address, &expected), 1);
        assert_memory_equal(&arguments.options.listen, &expected, sizeof expected);
        assert_int_equal(arguments.options.listen_port, rows[i].port);
    }
}

static void the_port_of_the_server_is_7600_if_left_out(void **state)
{
    (void)state;
    assert_parses("--to 127.0.0.1");
    assert_int_equal(ntohs(((struct sockaddr_in *)&arguments.options.to)->sin_port), 7600);
}

static void help_counts_alone(void **state)
{
    char *argv[] = {(char[]){"relay"}, (char[]){"-h"}, NULL};
    (void)state;
    assert_int_equal(relay_arguments_parse(&arguments, 2, argv, &error), 0);
    assert_true(arguments.help);
}

static void rates_and_fractions_out_of_their_range_are_refused(void **state)
{
    static const char *const rates[] = {"", "-1", "1000000000001", "1001G", "0.5", "1T", "1 k"};
    static const char *const fractions[] = {"",   "-0", "1.000000000000001",  "2",  "1e-3",
                                            ".5", "5%", "0.0000000000000001", "inf"};
    int64_t bits = 4711;
    double fraction = 0.75;
    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        assert_int_equal(relay_rate_parse(rates[i], &bits), -1);
    for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++)
        assert_int_equal(relay_fraction_parse(fractions[i], &fraction), -1);
    assert_true(bits == 4711 && fraction == 0.75);
    assert_int_equal(relay_rate_parse("1000G", &bits), 0);
    assert_int_equal(bits, IMPAIR_MAX_RATE_BITS);
    assert_int_equal(relay_fraction_parse("0.000000000000001", &fraction), 0);
    assert_true(fraction == 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_nothing_is_impaired),
        cmocka_unit_test(every_impairment_holds_for_both_directions),
        cmocka_unit_test(one_direction_overrides_both_wherever_it_stands),
        cmocka_unit_test(each_option_of_one_direction_reaches_that_direction_alone),
        cmocka_unit_test(the_last_of_an_option_counts),
        cmocka_unit_test(listening_addresses_are_read_with_port_0_or_without_a_port),
        cmocka_unit_test(the_port_of_the_server_is_7600_if_left_out),
        cmocka_unit_test(help_counts_alone),
        cmocka_unit_test(rates_and_fractions_out_of_their_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

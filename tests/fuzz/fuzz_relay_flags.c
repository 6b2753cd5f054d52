/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The command line of the relay: a list of lines, each an argument. Oracles: what is taken is
 * within its range; the settings, written down for each direction, are read as the same; errors are
 * one plain line. `--to` is left out, because it resolves names.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/relay_options.h"
#include "support/check.h"

#define MAX_WORDS 64
#define SETTINGS 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct words {
    int count;
    char *items[MAX_WORDS + 1];
};

static char program[] = "relay", to[] = "--to=127.0.0.1:9", listen_default[] = "--listen=[::1]:0";

static void add(struct words *words, char *word)
{
    if (words->count < MAX_WORDS)
        words->items[words->count++] = word;
    words->items[words->count] = NULL;
}

static void split(char *text, struct words *words)
{
    add(words, program);
    add(words, to);
    add(words, listen_default);
    for (char *line; (line = strsep(&text, "\n")) != NULL;) {
        if (strcmp(line, "--to") != 0 && strncmp(line, "--to=", strlen("--to=")) != 0)
            add(words, line);
    }
}

static void require_valid(const struct relay_arguments *arguments)
{
    const struct relay_options *options = &arguments->options;
    CHECK(options->idle_ns > 0 && options->max_clients == RELAY_MAX_CLIENTS);
    CHECK(options->seed <= INT64_MAX && options->to.ss_family == AF_INET);
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++) {
        const struct impair_settings *settings = &options->settings[i];
        CHECK(settings->delay_ns >= 0 && settings->delay_ns <= IMPAIR_MAX_SET_NS);
        CHECK(settings->jitter_ns >= 0 && settings->jitter_ns <= IMPAIR_MAX_SET_NS);
        CHECK(settings->distribution <= IMPAIR_PARETO);
        CHECK(settings->loss >= 0 && settings->loss <= 1);
        CHECK(settings->duplicate >= 0 && settings->duplicate <= 1);
        CHECK(settings->reorder >= 0 && settings->reorder <= 1);
        CHECK(settings->rate_bits >= 0 && settings->rate_bits <= IMPAIR_MAX_RATE_BITS);
    }
}

static char *text_of(const char *direction, unsigned setting, const struct impair_settings *from)
{
    static const char *const distributions[] = {"uniform", "normal", "pareto"};
    const char *const names[] = {"delay", "jitter", "rate", "loss", "duplicate", "reorder"};
    const int64_t numbers[] = {from->delay_ns, from->jitter_ns, from->rate_bits};
    const double fractions[] = {from->loss, from->duplicate, from->reorder};
    char *text = NULL;
    int length;
    if (setting < 3)
        length = asprintf(&text, "--%s-%s=%" PRId64 "%s", direction, names[setting],
                          numbers[setting], setting < 2 ? "ns" : "");
    else if (setting < 6)
        length =
            asprintf(&text, "--%s-%s=%.15f", direction, names[setting], fractions[setting - 3]);
    else
        length =
            asprintf(&text, "--%s-distribution=%s", direction, distributions[from->distribution]);
    CHECK(length >= 0);
    return text;
}

static void require_same(const struct impair_settings *a, const struct impair_settings *b)
{
    CHECK(a->delay_ns == b->delay_ns && a->jitter_ns == b->jitter_ns);
    CHECK(a->distribution == b->distribution && a->rate_bits == b->rate_bits);
    CHECK(a->loss == b->loss && a->duplicate == b->duplicate && a->reorder == b->reorder);
}

static void check_round_trip(const struct relay_arguments *arguments)
{
    static const char *const directions[] = {[RELAY_UP] = "up", [RELAY_DOWN] = "down"};
    struct words line = {0};
    struct relay_arguments again;
    struct error error;
    add(&line, program);
    add(&line, to);
    add(&line, listen_default);
    int fixed = line.count;
    for (unsigned direction = 0; direction < RELAY_DIRECTIONS; direction++) {
        for (unsigned i = 0; i < SETTINGS; i++)
            add(&line, text_of(directions[direction], i, &arguments->options.settings[direction]));
    }
    CHECK(relay_arguments_parse(&again, line.count, line.items, &error) == 0);
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++)
        require_same(&again.options.settings[i], &arguments->options.settings[i]);
    while (line.count > fixed)
        free(line.items[--line.count]);
}

/* One line of text that controls nothing. */
static void require_plain(const char *message)
{
    uint32_t code_point;
    CHECK(message[0] != '\0');
    for (size_t bytes; (bytes = text_decode(message, &code_point)) > 0; message += bytes)
        CHECK(code_point >= 0x20 && code_point != 0x7f && code_point != TEXT_INVALID);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct words words = {0};
    struct relay_arguments arguments;
    struct error error = {0};
    char *text = strndup(size > 0 ? (const char *)data : "", size);
    CHECK(text != NULL);
    split(text, &words);
    if (relay_arguments_parse(&arguments, words.count, words.items, &error) != 0) {
        require_plain(error.text);
    } else if (!arguments.help) {
        require_valid(&arguments);
        check_round_trip(&arguments);
    }
    free(text);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Command lines and environments. The input is a list of lines: those that start with `$` are
 * variables (`$NAME=value`), the others arguments. Oracles: a parse written down in one canonical
 * form parses the same; a configuration is within its limits, and the canonical command line gives
 * the same one; errors are one plain line.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/flags.h"
#include "daemon/sections.h"
#include "daemon/settings.h"
#include "qcmp/settings.h"
#include "support/check.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Words that point into one text, or are allocated one by one; ended by NULL. */
struct words {
    int count;
    char *items[MAX_WORDS + 1];
};

static char program[] = "paddock";

static const struct field fields[] = {
    {.flag = "quiet", .letter = 'q', .kind = FIELD_BOOLEAN},
    {.flag = "amount", .letter = 'a', .kind = FIELD_TEXT},
    {.flag = "service.qcmp", .kind = FIELD_BOOLEAN},
    {.flag = "service.qcmp.port", .kind = FIELD_TEXT},
    {.flag = "help", .letter = 'h', .kind = FIELD_MARK},
    {0},
};

static void add(struct words *words, char *word)
{
    if (words->count < MAX_WORDS)
        words->items[words->count++] = word;
    words->items[words->count] = NULL;
}

static void split(char *text, struct words *arguments, struct words *variables)
{
    char *rest = text;

    add(arguments, program);
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (*line == '$')
            add(variables, line + 1);
        else
            add(arguments, line);
    }
}

/* `--name=value`, `--name`, or the word. */
static char *canonical_new(enum flags_event event, const struct flags_reader *reader)
{
    char *text = NULL;
    int length;

    if (event == FLAGS_WORD)
        return strdup(reader->value);
    bool is_mark = reader->field->kind == FIELD_MARK;
    length = asprintf(&text, "--%s%s%s", reader->field->flag, is_mark ? "" : "=",
                      is_mark ? "" : reader->value);
    CHECK(length >= 0);
    return text;
}

/* Options first, then `--` and the words; with letters in rows that can be more words than the
 * input had. */
static enum flags_event rewrite(const struct words *arguments, struct words *flags,
                                struct words *words)
{
    const struct field_table table = {fields, NULL};
    struct error error = {0};
    struct flags_reader reader = {.tables = &table,
                                  .count = 1,
                                  .argc = arguments->count,
                                  .argv = arguments->items,
                                  .index = 1,
                                  .error = &error};
    enum flags_event event;

    while ((event = flags_next(&reader)) == FLAGS_FLAG || event == FLAGS_WORD) {
        struct words *to = event == FLAGS_FLAG ? flags : words;
        char *text = canonical_new(event, &reader);
        CHECK(text != NULL);
        CHECK(event == FLAGS_WORD || reader.field->kind != FIELD_BOOLEAN ||
              strcmp(reader.value, "true") == 0 || strcmp(reader.value, "false") == 0);
        if (to->count == MAX_WORDS)
            free(text);
        else
            add(to, text);
    }
    if (event == FLAGS_ERROR)
        CHECK(error.text[0] != '\0' && strchr(error.text, '\n') == NULL);
    else
        CHECK(reader.index == arguments->count || arguments->count == 0);
    return event;
}

static void release(struct words *words)
{
    for (int i = 0; i < words->count; i++)
        free(words->items[i]);
}

static void require_equal(const struct words *a, const struct words *b)
{
    CHECK(a->count == b->count);
    for (int i = 0; i < a->count; i++)
        CHECK(strcmp(a->items[i], b->items[i]) == 0);
}

static void check_options(const struct words *arguments)
{
    struct words flags = {0};
    struct words words = {0};
    struct words flags_again = {0};
    struct words words_again = {0};
    struct words line = {0};
    static char dashes[] = "--";

    if (rewrite(arguments, &flags, &words) == FLAGS_END &&
        flags.count + words.count + 2 <= MAX_WORDS) {
        add(&line, program);
        for (int i = 0; i < flags.count; i++)
            add(&line, flags.items[i]);
        add(&line, dashes);
        for (int i = 0; i < words.count; i++)
            add(&line, words.items[i]);
        CHECK(rewrite(&line, &flags_again, &words_again) == FLAGS_END);
        require_equal(&flags, &flags_again);
        require_equal(&words, &words_again);
    }
    release(&flags);
    release(&words);
    release(&flags_again);
    release(&words_again);
}

static const char *lookup(const char *name, void *user)
{
    const struct words *variables = user;
    size_t length = strlen(name);

    for (int i = 0; i < variables->count; i++) {
        if (strncmp(variables->items[i], name, length) == 0 && variables->items[i][length] == '=')
            return variables->items[i] + length + 1;
    }
    return NULL;
}

static enum config_result load(struct config **config, const struct words *arguments,
                               struct words *variables, struct config_report *report)
{
    const struct config_environment environment = {
        .get = lookup, .user = variables, .host_name = "host"};
    const struct section_list sections = daemon_sections();
    const struct config_source source = {.sections = sections.items,
                                         .argc = arguments->count,
                                         .argv = arguments->items,
                                         .environment = &environment};

    return config_load(config, &source, report);
}

static void require_valid(const struct process_settings *process)
{
    CHECK(process->workers <= PROCESS_MAX_WORKERS);
    CHECK(process->id[0] != '\0' && text_is_plain(process->id));
    CHECK(process->log.level <= LOG_LEVEL_TRACE && process->log_format <= LOG_FORMAT_PRETTY);
    CHECK(!process->quiet || process->log.level == LOG_LEVEL_OFF);
}

/* The configuration as flags, with the environment left to the log level alone, gives itself. */
static void check_round_trip(const struct config *config, struct words *variables)
{
    static const char *const formats[] = {"auto", "json", "plain", "pretty"};
    const struct process_settings *process = config_settings(config, &process_section);
    const struct qcmp_settings *qcmp = config_settings(config, &qcmp_section);
    struct words line = {0};
    struct config *loaded;
    struct config_report report;
    char text[4][PROCESS_ID_BYTES + 32];
    static char quiet[2][16] = {"--quiet=false", "--quiet=true"};
    static char enabled[2][24] = {"--service.qcmp=false", "--service.qcmp=true"};
    static char word[] = "ping";

    snprintf(text[0], sizeof text[0], "--service.id=%s", process->id);
    snprintf(text[1], sizeof text[1], "--service.qcmp.port=%u", qcmp->port);
    snprintf(text[2], sizeof text[2], "--log-format=%s", formats[process->log_format]);
    snprintf(text[3], sizeof text[3], "--service.udp.workers=%u", process->workers);
    add(&line, program);
    add(&line, quiet[process->quiet]);
    add(&line, enabled[qcmp->enabled]);
    for (int i = 0; i < (process->workers > 0 ? 4 : 3); i++)
        add(&line, text[i]);
    add(&line, word);
    CHECK(load(&loaded, &line, variables, &report) == CONFIG_COMMAND);
    CHECK(report.command == line.count - 1);
    const struct process_settings *again = config_settings(loaded, &process_section);
    const struct qcmp_settings *qcmp_again = config_settings(loaded, &qcmp_section);
    CHECK(again->quiet == process->quiet && qcmp_again->enabled == qcmp->enabled);
    CHECK(qcmp_again->port == qcmp->port && again->workers == process->workers);
    CHECK(again->log_format == process->log_format && again->log.level == process->log.level);
    CHECK(again->log.has_ignored == process->log.has_ignored);
    CHECK(strcmp(again->id, process->id) == 0);
    config_free(loaded);
}

static void check_config(const struct words *arguments, struct words *variables)
{
    struct config *config = NULL;
    struct config_report report = {.command = -1};
    enum config_result result = load(&config, arguments, variables, &report);
    const struct qcmp_settings *qcmp =
        config != NULL ? config_settings(config, &qcmp_section) : NULL;

    switch (result) {
    case CONFIG_COMMAND:
        CHECK(report.command > 0 && report.command < arguments->count);
        break;
    case CONFIG_SERVE:
        CHECK(qcmp != NULL && qcmp->enabled);
        break;
    case CONFIG_NOTHING:
        CHECK(qcmp != NULL && !qcmp->enabled);
        break;
    case CONFIG_BAD_FILE:
    case CONFIG_USAGE:
        CHECK(config == NULL);
        CHECK(report.error.text[0] != '\0' && strchr(report.error.text, '\n') == NULL);
        CHECK(strlen(report.error.text) < ERROR_TEXT_BYTES - 1);
        return;
    case CONFIG_HELP:
    case CONFIG_VERSION:
        return;
    }
    require_valid(config_settings(config, &process_section));
    check_round_trip(config, variables);
    config_free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct words arguments = {0};
    struct words variables = {0};
    char *text = strndup(size > 0 ? (const char *)data : "", size);

    CHECK(text != NULL);
    split(text, &arguments, &variables);
    check_options(&arguments);
    check_config(&arguments, &variables);
    free(text);
    return 0;
}

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

#include "base/options.h"
#include "base/text.h"
#include "config/config.h"
#include "support/check.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Words that point into one text, or are allocated one by one; ended by NULL. */
struct words {
    int count;
    char *items[MAX_WORDS + 1];
};

static char program[] = "paddock";

static const struct option_spec specs[] = {
    {.name = "quiet", .letter = 'q', .kind = OPTION_SWITCH},
    {.name = "amount", .letter = 'a', .kind = OPTION_VALUE},
    {.name = "service.qcmp", .kind = OPTION_SWITCH},
    {.name = "service.qcmp.port", .kind = OPTION_VALUE},
    {.name = "help", .letter = 'h', .kind = OPTION_FLAG},
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
static char *canonical_new(enum options_event event, const struct options *options)
{
    char *text = NULL;
    int length;

    if (event == OPTIONS_WORD)
        return strdup(options->value);
    length = asprintf(&text, "--%s%s%s", options->spec->name, options->value != NULL ? "=" : "",
                      options->value != NULL ? options->value : "");
    CHECK(length >= 0);
    return text;
}

/* Options first, then `--` and the words; with letters in rows that can be more words than the
 * input had. */
static enum options_event rewrite(const struct words *arguments, struct words *flags,
                                  struct words *words)
{
    struct options options;
    enum options_event event;

    options_init(&options, specs, OPTIONS_MIX_WORDS, arguments->count, arguments->items);
    while ((event = options_next(&options)) == OPTIONS_OPTION || event == OPTIONS_WORD) {
        struct words *to = event == OPTIONS_OPTION ? flags : words;
        char *text = canonical_new(event, &options);
        CHECK(text != NULL);
        CHECK(event == OPTIONS_WORD || options.spec->kind != OPTION_SWITCH ||
              strcmp(options.value, "true") == 0 || strcmp(options.value, "false") == 0);
        if (to->count == MAX_WORDS)
            free(text);
        else
            add(to, text);
    }
    if (event == OPTIONS_ERROR)
        CHECK(options.error[0] != '\0' && strchr(options.error, '\n') == NULL);
    else
        CHECK(options.index == arguments->count || arguments->count == 0);
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

    if (rewrite(arguments, &flags, &words) == OPTIONS_END &&
        flags.count + words.count + 2 <= MAX_WORDS) {
        add(&line, program);
        for (int i = 0; i < flags.count; i++)
            add(&line, flags.items[i]);
        add(&line, dashes);
        for (int i = 0; i < words.count; i++)
            add(&line, words.items[i]);
        CHECK(rewrite(&line, &flags_again, &words_again) == OPTIONS_END);
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

static enum config_result load(struct config *config, const struct words *arguments,
                               struct words *variables, struct config_report *report)
{
    struct config_environment environment = {.get = lookup, .user = variables, .host_name = "host"};

    return config_load(config, arguments->count, arguments->items, &environment, report);
}

static void require_valid(const struct config *config)
{
    CHECK(config->workers <= CONFIG_MAX_WORKERS);
    CHECK(config->service_id[0] != '\0' && text_is_plain(config->service_id));
    CHECK(config->log_level <= LOG_LEVEL_TRACE && config->log_format <= LOG_FORMAT_PRETTY);
    CHECK(!config->quiet || config->log_level == LOG_LEVEL_OFF);
}

/* The configuration as flags, with the environment left to the log level alone, gives itself. */
static void check_round_trip(const struct config *config, struct words *variables)
{
    static const char *const formats[] = {"auto", "json", "plain", "pretty"};
    struct words line = {0};
    struct config again;
    struct config_report report;
    char text[5][CONFIG_ID_BYTES + 32];
    static char quiet[2][16] = {"--quiet=false", "--quiet=true"};
    static char qcmp[2][24] = {"--service.qcmp=false", "--service.qcmp=true"};
    static char word[] = "ping";

    snprintf(text[0], sizeof text[0], "--service.id=%s", config->service_id);
    snprintf(text[1], sizeof text[1], "--service.qcmp.port=%u", config->qcmp_port);
    snprintf(text[2], sizeof text[2], "--service.udp.workers=%u", config->workers);
    snprintf(text[3], sizeof text[3], "--log-format=%s", formats[config->log_format]);
    add(&line, program);
    add(&line, quiet[config->quiet]);
    add(&line, qcmp[config->qcmp_enabled]);
    for (int i = 0; i < 4; i++)
        add(&line, text[i]);
    add(&line, word);
    CHECK(load(&again, &line, variables, &report) == CONFIG_COMMAND);
    CHECK(report.command == line.count - 1);
    CHECK(again.quiet == config->quiet && again.qcmp_enabled == config->qcmp_enabled);
    CHECK(again.qcmp_port == config->qcmp_port && again.workers == config->workers);
    CHECK(again.log_format == config->log_format && again.log_level == config->log_level);
    CHECK(again.log_directives_ignored == config->log_directives_ignored);
    CHECK(strcmp(again.service_id, config->service_id) == 0);
}

static void check_config(const struct words *arguments, struct words *variables)
{
    struct config config;
    struct config_report report = {.command = -1};

    switch (load(&config, arguments, variables, &report)) {
    case CONFIG_COMMAND:
        CHECK(report.command > 0 && report.command < arguments->count);
        break;
    case CONFIG_SERVE:
        CHECK(config.qcmp_enabled);
        break;
    case CONFIG_NOTHING:
        CHECK(!config.qcmp_enabled);
        break;
    case CONFIG_BAD_FILE:
    case CONFIG_USAGE:
        CHECK(report.error[0] != '\0' && strchr(report.error, '\n') == NULL);
        CHECK(strlen(report.error) < CONFIG_ERROR_BYTES - 1);
        return;
    case CONFIG_HELP:
    case CONFIG_VERSION:
        return;
    }
    require_valid(&config);
    check_round_trip(&config, variables);
    config_fini(&config);
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

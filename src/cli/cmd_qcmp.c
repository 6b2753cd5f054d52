/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/ping.h"
#include "cli/ping_report.h"

#define MESSAGE_BYTES 512
#define SHOWN_BYTES 200
#define NUMBER_BYTES 32

struct arguments {
    struct ping_run run;
    bool help;
};

static const struct field fields[] = {
    OPTION_AMOUNT(struct arguments, run.amount),
    OPTION_INTERVAL(struct arguments, run.interval_ns,
                    "between the pings, instead of the next as soon as the last was answered",
                    NULL),
    OPTION_TIMEOUT(struct arguments, run.timeout_ns, "how long to wait for an answer",
                   PING_MAX_INTERVAL_NS),
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "qcmp",
    .help_name = "qcmp ping",
    .about = "Usage: paddock qcmp ping [OPTION...] ENDPOINT\n"
             "\n"
             "Pings one QCMP responder and logs each delay, then median, average and attempts; as "
             "Quilkin does.\n"
             "See 'paddock ping --help' for the command that is made for people and programs.\n",
    .exit_status = "0 if at least one ping was answered, 255 if none was, 2 for wrong usage.",
    .fields = fields};

/* Milliseconds with two decimals, as text, is the reference's form. */
static void format_ms(int64_t ns, char text[NUMBER_BYTES])
{
    snprintf(text, NUMBER_BYTES, "%.2f", (double)ns / 1e6);
}

static void log_failure(struct log *log, const struct ping *ping, const char *address)
{
    char text[MESSAGE_BYTES];

    qcmp_error_format(ping->status == PING_TIMEOUT ? QCMP_ERROR_TIMED_OUT : ping->error, text,
                      sizeof text);
    ping_await_output(STDOUT_FILENO);
    LOG_EVENT(log, LOG_LEVEL_ERROR, log_text("message", "ping failed"),
              log_text("endpoint", address), log_text("error", text));
}

static void log_ended(const struct ping *ping, size_t seq, void *user)
{
    struct log *log = user;
    char text[NUMBER_BYTES];

    (void)seq;
    if (ping->status != PING_OK) {
        log_failure(log, ping, ping->target->endpoint_text);
        return;
    }
    format_ms(ping->sample.rtt_ns, text);
    ping_await_output(STDOUT_FILENO);
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "successful ping"),
              log_text("delay_millis", text));
}

static void log_moved(const struct ping *ping, const char *address, void *user)
{
    log_failure(user, ping, address);
}

static int log_results(struct log *log, const struct ping_target *target)
{
    struct stats_summary rtt;
    char median[NUMBER_BYTES], mean[NUMBER_BYTES], attempts[NUMBER_BYTES], successes[NUMBER_BYTES];

    if (!ping_summarise(target, false, &rtt)) {
        LOG_EVENT(log, LOG_LEVEL_ERROR, log_text("message", "fatal error"),
                  log_text("error", "no successful results"));
        return EXIT_FAILED;
    }
    format_ms(rtt.median, median);
    format_ms(rtt.mean, mean);
    snprintf(attempts, sizeof attempts, "%zu", target->ended);
    snprintf(successes, sizeof successes, "%zu", target->received);
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "final results"),
              log_text("median_millis", median), log_text("average_millis", mean),
              log_text("attempts", attempts), log_text("successful_attempts", successes));
    return 0;
}

static int fatal(struct log *log, const char *error)
{
    LOG_EVENT(log, LOG_LEVEL_ERROR, log_text("message", "fatal error"), log_text("error", error));
    fprintf(stderr, "paddock: %s\n", error);
    return EXIT_FAILED;
}

static int ping_endpoint(struct ping_run *run, const char *endpoint, struct log *log)
{
    char shown[SHOWN_BYTES], message[MESSAGE_BYTES];
    struct error error;

    if (ping_targets_init(run, &endpoint, 1, QCMP_FAMILY_ANY, &error) != 0)
        return command_usage(&command, error.text);
    const struct ping_target *target = &run->targets[0];
    int status = 0;
    int failure = ping_run(run);
    if (target->error != NULL) {
        text_escape(endpoint, shown, sizeof shown);
        snprintf(message, sizeof message, "%s: %s", shown, target->error);
        status = fatal(log, message);
    } else {
        status = log_results(log, target);
    }
    if (failure != 0) {
        qcmp_error_format(failure, message, sizeof message);
        status = fatal(log, message);
    }
    ping_targets_fini(run);

    /* The log is the result here: a line of it that could not be written must not pass for
     * success. */
    if (status == 0 && log_lost(log) != 0) {
        fputs("paddock: cannot write the results\n", stderr);
        status = EXIT_FAILED;
    }
    return status;
}

static int qcmp_ping(int argc, char *const *argv, struct log *log)
{
    struct arguments arguments = {
        .run = {.ping_ended = log_ended, .moved = log_moved, .user = log}};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = calloc((size_t)argc, sizeof(char *))};
    char shown[SHOWN_BYTES];
    struct error error;

    field_defaults(fields, &arguments);
    int result = words.items == NULL ? error_system(&error, -ENOMEM, "cannot read the options")
                                     : flags_parse(&table, argc, argv, &words, &error);
    if (result == 0 && words.count > 1) {
        text_escape(words.items[1], shown, sizeof shown);
        result = error_set(&error, -EINVAL, "one endpoint only: '%s' is too many", shown);
    }
    const char *endpoint = words.count > 0 ? words.items[0] : NULL;
    free(words.items);
    if (result != 0)
        return command_usage(&command, error.text);
    if (arguments.help)
        return command_help(&command);
    if (endpoint == NULL)
        return command_usage(&command, "no endpoint given");
    return ping_endpoint(&arguments.run, endpoint, log);
}

int cmd_qcmp(int argc, char *const *argv, struct log *log)
{
    if (argc < 2)
        return command_usage(&command, "a command is missing: ping");
    if (strcmp(argv[1], "ping") == 0)
        return qcmp_ping(argc - 1, argv + 1, log);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help(&command);
    return command_usage(&command, "the only command is ping");
}

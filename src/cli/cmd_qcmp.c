#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/ping.h"
#include "cli/ping_options.h"
#include "cli/ping_report.h"

#define MESSAGE_BYTES 512
#define SHOWN_BYTES 200
#define NUMBER_BYTES 32

static const struct option_spec SPECS[] = {
    PING_OPTION_AMOUNT,
    PING_OPTION_INTERVAL("between the pings, instead of the next as soon as the last was answered",
                         NULL),
    PING_OPTION_TIMEOUT,
    PING_OPTION_HELP,
    {.name = NULL},
};

static int print_help(void)
{
    puts("Usage: paddock qcmp ping [OPTION...] ENDPOINT\n"
         "\n"
         "Pings one QCMP responder and logs each delay, then median, average and attempts; as "
         "Quilkin does.\n"
         "See 'paddock ping --help' for the command that is made for people and programs.\n"
         "\n"
         "Options:");
    options_print_help(stdout, SPECS);
    puts("\nExit status: 0 if at least one ping was answered, 255 if none was, 2 for wrong usage.");
    return output_finish();
}

static int usage_error(const char *message)
{
    fprintf(stderr, "paddock qcmp: %s (see 'paddock qcmp ping --help')\n", message);
    return EXIT_USAGE;
}

/* The reference's form: milliseconds with two decimals, as text. */
static void format_ms(int64_t ns, char text[NUMBER_BYTES])
{
    snprintf(text, NUMBER_BYTES, "%.2f", (double)ns / 1e6);
}

static void log_ended(const struct ping *ping, size_t seq, void *user)
{
    struct log *log = user;
    char text[MESSAGE_BYTES];
    (void)seq;
    ping_await_output(STDOUT_FILENO);
    if (ping->status == PING_OK) {
        format_ms(ping->sample.rtt_ns, text);
        LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "successful ping"),
                  log_text("delay_millis", text));
        return;
    }
    qcmp_error_format(ping->status == PING_TIMEOUT ? QCMP_ERROR_TIMED_OUT : ping->error, text,
                      sizeof text);
    LOG_EVENT(log, LOG_LEVEL_ERROR, log_text("message", "ping failed"),
              log_text("endpoint", ping->target->endpoint_text), log_text("error", text));
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

static int ping_endpoint(struct ping_run *run, char *endpoint, struct log *log)
{
    char message[MESSAGE_BYTES];
    if (ping_targets_init(run, &endpoint, 1, QCMP_FAMILY_ANY, message, sizeof message) != 0)
        return usage_error(message);
    int status;
    int error = ping_run(run);
    if (run->targets[0].error != NULL) {
        snprintf(message, sizeof message, "%s: %s", endpoint, run->targets[0].error);
        status = fatal(log, message);
    } else if (error != 0) {
        log_results(log, &run->targets[0]);
        qcmp_error_format(error, message, sizeof message);
        status = fatal(log, message);
    } else {
        status = log_results(log, &run->targets[0]);
    }
    ping_targets_fini(run);
    return status;
}

/* The log is the result here: a line of it that could not be written must not pass for success. */
static int finish(const struct log *log, int status)
{
    if (status != 0 || log_lost(log) == 0)
        return status;
    fputs("paddock: cannot write the results\n", stderr);
    return EXIT_FAILED;
}

static int parse(struct ping_run *run, int argc, char *const *argv, char **endpoint, bool *help,
                 char *message)
{
    struct options options;
    options_init(&options, SPECS, OPTIONS_MIX_WORDS, argc, argv);
    enum options_event event;
    while ((event = options_next(&options)) != OPTIONS_END) {
        if (event == OPTIONS_ERROR) {
            snprintf(message, MESSAGE_BYTES, "%s", options.error);
            return -1;
        }
        if (event == OPTIONS_WORD && *endpoint != NULL) {
            char shown[SHOWN_BYTES];
            text_escape(options.value, shown, sizeof shown);
            snprintf(message, MESSAGE_BYTES, "one endpoint only: '%s' is too many", shown);
            return -1;
        }
        if (event == OPTIONS_WORD)
            *endpoint = argv[options.index - 1];
        else if (strcmp(options.spec->name, "help") == 0)
            *help = true;
        else if (ping_option_apply(run, options.spec->name, options.value, message,
                                   MESSAGE_BYTES) != 0)
            return -1;
    }
    if (*endpoint == NULL && options.index < argc)
        *endpoint = argv[options.index];
    return 0;
}

static int qcmp_ping(int argc, char *const *argv, struct log *log)
{
    struct ping_run run = {.amount = 5, .timeout_ns = 1000000000, .ping_ended = log_ended};
    char message[MESSAGE_BYTES];
    char *endpoint = NULL;
    bool help = false;
    run.user = log;
    if (parse(&run, argc, argv, &endpoint, &help, message) != 0)
        return usage_error(message);
    if (help)
        return print_help();
    if (endpoint == NULL)
        return usage_error("no endpoint given");
    return finish(log, ping_endpoint(&run, endpoint, log));
}

int cmd_qcmp(int argc, char *const *argv, struct log *log)
{
    if (argc < 2)
        return usage_error("a command is missing: ping");
    if (strcmp(argv[1], "ping") == 0)
        return qcmp_ping(argc - 1, argv + 1, log);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    return usage_error("the only command is ping");
}

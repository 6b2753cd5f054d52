#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/ping.h"
#include "cli/ping_options.h"
#include "cli/ping_report.h"

#define MESSAGE_BYTES 512

/* For a target, and for elsewhere; the summary counts the rest. A stranger must not bury the
 * answers.
 */
#define NOTICED_LINES 10

/* What the command line says. */
struct arguments {
    struct ping_run run;
    enum qcmp_family family;
    bool json;
    bool help;
    char **targets; /* words of argv */
    size_t targets_count;
};

static const struct option_spec SPECS[] = {
    PING_OPTION_AMOUNT,
    PING_OPTION_INTERVAL("between the pings to one target; 0: as soon as the last was answered",
                         "100ms"),
    PING_OPTION_TIMEOUT,
    PING_OPTION_IPV4,
    PING_OPTION_IPV6,
    PING_OPTION_FORMAT,
    PING_OPTION_HELP,
    {.name = NULL},
};

static int print_help(void)
{
    puts("Usage: paddock ping [OPTION...] TARGET...\n"
         "\n"
         "Measures the round trip to QCMP responders, to many at once.\n"
         "TARGET is a host name, an address, host:port or [v6]:port, with a scope where it needs "
         "one\n"
         "(fe80::1%eth0). The port is 7600 if left out.\n"
         "\n"
         "Options:");
    options_print_help(stdout, SPECS);
    puts("\n"
         "Exit status: 0 if every target answered at least once, 1 if one did not, 2 for wrong "
         "usage or\n"
         "a name that does not resolve, 255 if the system or the output fails.");
    return output_finish();
}

static int usage_error(const char *message)
{
    fprintf(stderr, "paddock ping: %s (see 'paddock ping --help')\n", message);
    return EXIT_USAGE;
}

static int apply_option(struct arguments *arguments, const struct options *options, char *message)
{
    const char *name = options->spec->name;
    if (strcmp(name, "help") == 0)
        arguments->help = true;
    if (strcmp(name, "ipv4") == 0 || strcmp(name, "ipv6") == 0)
        return ping_option_family(&arguments->family, name, message, MESSAGE_BYTES);
    if (strcmp(name, "format") == 0)
        return ping_option_format(&arguments->json, options->value, message, MESSAGE_BYTES);
    return ping_option_apply(&arguments->run, name, options->value, message, MESSAGE_BYTES);
}

/* Returns 0, or -1 with a message. `targets` of the arguments has room for argc words. */
static int parse(struct arguments *arguments, int argc, char *const *argv, char *message)
{
    struct options options;
    options_init(&options, SPECS, OPTIONS_MIX_WORDS, argc, argv);
    for (;;) {
        switch (options_next(&options)) {
        case OPTIONS_ERROR:
            snprintf(message, MESSAGE_BYTES, "%s", options.error);
            return -1;
        case OPTIONS_WORD:
            arguments->targets[arguments->targets_count++] = argv[options.index - 1];
            break;
        case OPTIONS_OPTION:
            if (apply_option(arguments, &options, message) != 0)
                return -1;
            break;
        case OPTIONS_END:
            for (int i = options.index; i < argc; i++)
                arguments->targets[arguments->targets_count++] = argv[i];
            return 0;
        }
    }
}

static void print_ended(const struct ping *ping, size_t seq, void *user)
{
    const struct arguments *arguments = user;
    ping_await_output(STDOUT_FILENO);
    ping_print_ended(stdout, &arguments->run, ping, seq);
}

static void print_noticed(const struct ping_target *target, const struct qcmp_client_event *event,
                          void *user)
{
    const struct arguments *arguments = user;
    size_t noticed = target != NULL ? target->late + target->duplicates + target->rejected
                                    : arguments->run.rejected_elsewhere;
    if (noticed > NOTICED_LINES)
        return;
    ping_await_output(STDOUT_FILENO);
    ping_print_noticed(stdout, event);
}

static void print_summaries(const struct ping_run *run)
{
    for (size_t i = 0; i < run->targets_count; i++)
        ping_print_summary(stdout, &run->targets[i]);
    if (run->rejected_elsewhere != 0)
        printf("\n%zu datagrams from elsewhere rejected\n", run->rejected_elsewhere);
}

static int exit_status(const struct ping_run *run)
{
    int status = 0;
    for (size_t i = 0; i < run->targets_count; i++) {
        if (run->targets[i].error != NULL)
            return EXIT_USAGE;
        if (run->targets[i].received == 0)
            status = 1;
    }
    return status;
}

static int fail(const char *what)
{
    fprintf(stderr, "paddock ping: %s\n", what);
    return EXIT_FAILED;
}

static void print_socket_errors(const struct ping_run *run)
{
    char message[MESSAGE_BYTES];
    if (run->socket_errors == 0)
        return;
    qcmp_error_format(run->last_socket_error, message, sizeof message);
    fprintf(stderr, "paddock ping: errors of the socket: %zu, the last: %s\n", run->socket_errors,
            message);
}

static int print_results(const struct ping_run *run, bool json)
{
    if (!json)
        print_summaries(run);
    else if (ping_write_json(stdout, run) != 0)
        return -1;
    return fflush(stdout) != 0 || ferror(stdout) ? -1 : 0;
}

static int run_and_print(struct arguments *arguments)
{
    struct ping_run *run = &arguments->run;
    char message[MESSAGE_BYTES];
    if (!arguments->json) {
        run->ping_ended = print_ended;
        run->noticed = print_noticed;
        run->user = arguments;
        /* A line is for whoever looks on, also through a pipe. */
        setvbuf(stdout, NULL, _IOLBF, 0);
    }
    int error = ping_run(run);
    if (print_results(run, arguments->json) != 0)
        return fail("cannot write the results");
    print_socket_errors(run);
    if (error == 0)
        return exit_status(run);
    qcmp_error_format(error, message, sizeof message);
    return fail(message);
}

static int ping_targets(struct arguments *arguments)
{
    char message[MESSAGE_BYTES];
    if (arguments->targets_count == 0)
        return usage_error("no target given");
    if (arguments->targets_count > PING_MAX_TARGETS)
        return usage_error("too many targets");
    if (ping_targets_init(&arguments->run, arguments->targets, arguments->targets_count,
                          arguments->family, message, sizeof message) != 0)
        return usage_error(message);
    int status = run_and_print(arguments);
    ping_targets_fini(&arguments->run);
    return status;
}

int cmd_ping(int argc, char *const *argv)
{
    char message[MESSAGE_BYTES];
    struct arguments arguments = {
        .run = {.amount = 5, .interval_ns = 100000000, .timeout_ns = 1000000000}};
    arguments.targets = calloc((size_t)argc, sizeof(char *));
    if (arguments.targets == NULL)
        return fail(strerror(ENOMEM));
    int status = 0;
    if (parse(&arguments, argc, argv, message) != 0)
        status = usage_error(message);
    else if (arguments.help)
        status = print_help();
    else
        status = ping_targets(&arguments);
    free(arguments.targets);
    return status;
}

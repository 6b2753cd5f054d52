/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/base64.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "cli/ping.h"
#include "cli/ping_report.h"
#include "cli/ping_through.h"

#define MESSAGE_BYTES 512

/* Where a proxy has players, unless it is told otherwise. */
#define PLAYERS_PORT 7777

/* For a target, and for elsewhere; the summary counts the rest. A stranger must not bury the
 * answers. */
#define NOTICED_LINES 10

/* What the command line says. */
struct arguments {
    struct ping_run run;
    struct family_options family;
    bool json;
    bool help;
    struct target through; /* an empty host: straight to the targets */
    struct token {
        uint8_t data[PING_THROUGH_TOKEN_BYTES];
        size_t bytes;
    } token;
    bool is_token_first;
};

static int parse_through(const char *text, void *value)
{
    return target_parse(text, PLAYERS_PORT, value) == TARGET_OK ? 0 : -1;
}

static int parse_token(const char *text, void *value)
{
    struct token token = {.bytes = 0};
    if (strlen(text) > PING_THROUGH_TOKEN_BYTES ||
        base64_decode(text, token.data, &token.bytes) != 0)
        return -1;
    memcpy(value, &token, sizeof token);
    return 0;
}

static const struct field_type through_type = {.parse = parse_through,
                                               .expected = "an address or a name, and a port"};
static const struct field_type token_type = {
    .parse = parse_token, .expected = "base64 text of at most 192 bytes, as a file has it"};

static const struct field fields[] = {
    OPTION_AMOUNT(struct arguments, run.amount),
    OPTION_INTERVAL(struct arguments, run.interval_ns,
                    "between the pings to one target; 0: as soon as the last was answered",
                    "100ms"),
    OPTION_TIMEOUT(struct arguments, run.timeout_ns, "how long to wait for an answer",
                   PING_MAX_INTERVAL_NS),
    OPTION_FAMILIES(struct arguments, family),
    OPTION_FORMAT(struct arguments, json, "format", "how to print the results"),
    {.flag = "through",
     .help = "a proxy's port for players: pings go to a responder behind it, and back",
     .placeholder = "PROXY",
     .kind = FIELD_CUSTOM,
     .type = &through_type,
     FIELD_AT(struct arguments, through)},
    {.flag = "token",
     .help = "with --through: behind each ping, so that the proxy knows where to, as base64",
     .placeholder = "BASE64",
     .kind = FIELD_CUSTOM,
     .type = &token_type,
     FIELD_AT(struct arguments, token)},
    OPTION_MARK(struct arguments, is_token_first, "token-first", 0,
                "the token goes before the ping"),
    OPTION_MARK(struct arguments, help, "help", 'h', "print this help"),
    {0},
};

static const struct command command = {
    .name = "ping",
    .help_name = "ping",
    .about =
        "Usage: paddock ping [OPTION...] TARGET...\n"
        "       paddock ping --through PROXY [--token BASE64] [OPTION...] [TARGET]\n"
        "\n"
        "Measures the round trip to QCMP responders, to many at once.\n"
        "TARGET is a host name, an address, host:port or [v6]:port, with a scope where it "
        "needs one\n"
        "(fe80::1%eth0). The port is 7600 if left out.\n"
        "With --through it is the proxy's own responder, by default that of the same host, and "
        "tells\n"
        "how much of the way is before the proxy, and how much behind it.\n",
    .exit_status = "0 if every target answered at least once, 1 if one did not, 2 for wrong "
                   "usage or\n"
                   "a name that does not resolve, 255 if the system or the output fails.",
    .fields = fields};

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

static void print_moved(const struct ping *ping, const char *address, void *user)
{
    const struct arguments *arguments = user;

    ping_await_output(STDOUT_FILENO);
    ping_print_moved(stdout, &arguments->run, ping, address);
}

static void print_summaries(FILE *out, const struct ping_run *run)
{
    for (size_t i = 0; i < run->targets_count; i++)
        ping_print_summary(out, &run->targets[i]);
    if (run->rejected_elsewhere != 0)
        fprintf(out, "\n%zu datagrams from elsewhere rejected\n", run->rejected_elsewhere);
}

/* On stderr, so that stdout has the results and nothing else. */
static void print_interim(void *user)
{
    const struct arguments *arguments = user;

    ping_await_output(STDERR_FILENO);
    print_summaries(stderr, &arguments->run);
}

static int run_and_print(struct arguments *arguments)
{
    struct ping_run *run = &arguments->run;
    char message[MESSAGE_BYTES];
    int status = 0;

    run->user = arguments;
    run->asked = print_interim;
    if (!arguments->json) {
        run->ping_ended = print_ended;
        run->noticed = print_noticed;
        run->moved = print_moved;
        setvbuf(stdout, NULL, _IOLBF, 0); /* a line is to be seen at once, also through a pipe */
    }
    for (size_t i = 0; i < run->targets_count; i++) {
        const struct ping_target *target = &run->targets[i];
        char shown[MESSAGE_BYTES];
        if (target->error == NULL)
            continue;
        text_escape(target->text, shown, sizeof shown);
        fprintf(stderr, "paddock ping: '%s': %s\n", shown, target->error);
    }

    int error = ping_run(run);
    if (!arguments->json)
        print_summaries(stdout, run);
    else if (ping_write_json(stdout, run) != 0)
        return command_fail(&command, "cannot write the results");
    if (fflush(stdout) != 0 || ferror(stdout))
        return command_fail(&command, "cannot write the results");
    if (run->socket_errors != 0) {
        qcmp_error_format(run->last_socket_error, message, sizeof message);
        fprintf(stderr, "paddock ping: errors of the socket: %zu, the last: %s\n",
                run->socket_errors, message);
    }
    if (error != 0) {
        qcmp_error_format(error, message, sizeof message);
        return command_fail(&command, message);
    }
    for (size_t i = 0; i < run->targets_count; i++) {
        if (run->targets[i].error != NULL)
            return EXIT_USAGE;
        if (run->targets[i].received == 0)
            status = 1;
    }
    return status;
}

/* The one target, if any, is the proxy's own responder. */
static int run_through(const struct arguments *arguments, const struct flags_words *words)
{
    struct ping_through through = {.proxy = arguments->through,
                                   .responder = arguments->through,
                                   .token_bytes = arguments->token.bytes,
                                   .is_token_first = arguments->is_token_first,
                                   .family = arguments->family.ipv4   ? AF_INET
                                             : arguments->family.ipv6 ? AF_INET6
                                                                      : AF_UNSPEC,
                                   .amount = arguments->run.amount,
                                   .interval_ns = arguments->run.interval_ns,
                                   .timeout_ns = arguments->run.timeout_ns,
                                   .is_json = arguments->json};
    struct error error;

    memcpy(through.token, arguments->token.data, arguments->token.bytes);
    through.responder.port = QCMP_PORT;
    if (words->count > 1 || (words->count == 1 && target_parse(words->items[0], QCMP_PORT,
                                                               &through.responder) != TARGET_OK))
        return command_usage(&command, "expected one target at most, the proxy's own responder");
    long received = ping_through_run(&through, &error);
    if (received < 0)
        return command_fail(&command, error.text);
    int status = output_finish();
    return status != 0 ? status : received == 0;
}

int cmd_ping(int argc, char *const *argv)
{
    struct arguments arguments = {.json = false};
    const struct field_table table = {fields, &arguments};
    struct flags_words words = {.items = calloc((size_t)argc, sizeof(char *))};
    struct error error;
    int status = 0;

    field_defaults(fields, &arguments);
    if (words.items == NULL)
        status = command_fail(&command, strerror(ENOMEM));
    else if (flags_parse(&table, argc, argv, &words, &error) != 0)
        status = command_usage(&command, error.text); /* NOLINT(bugprone-branch-clone) */
    else if (arguments.help)
        status = command_help(&command);
    else if (arguments.family.ipv4 && arguments.family.ipv6)
        status = command_usage(&command, "-4 and -6 exclude each other");
    else if (arguments.through.port != 0)
        status = run_through(&arguments, &words);
    else if (arguments.token.bytes > 0 || arguments.is_token_first)
        status = command_usage(&command, "--token and --token-first need --through");
    else if (words.count == 0)
        status = command_usage(&command, "no target given");
    else if (words.count > PING_MAX_TARGETS)
        status = command_usage(&command, "too many targets");
    else if (ping_targets_init(&arguments.run, words.items, words.count,
                               command_family(&arguments.family), &error) != 0)
        status = command_usage(&command, error.text);
    else
        status = run_and_print(&arguments);
    ping_targets_fini(&arguments.run);
    free(words.items);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/load_options.h"
#include "cli/load_report.h"
#include "cli/ping.h"
#include "load/own_address.h"
#include "loop/signals.h"

#define SHOWN_BYTES 300

/* How long each address of a name has for an answer. */
#define CHOICE_NS INT64_C(1000000000)

/* Runs the load and prints what came of it. SIGINT, SIGTERM and SIGHUP end the run, not the
 * program. */
static int run_and_print(struct load_arguments *arguments, struct load_report *report)
{
    struct load_result *result = calloc(1, sizeof *result);
    struct error error;
    sigset_t signals, before;
    int status;

    if (result == NULL)
        return command_fail(&load_command, strerror(ENOMEM));
    signals_end_set(&signals);
    arguments->options.stop_fd = signals_open(&signals, &before);
    if (arguments->options.stop_fd < 0) {
        free(result);
        return command_fail(&load_command, strerror(-arguments->options.stop_fd));
    }

    report->result = result;
    int code = arguments->xdp ? load_run_xdp(&arguments->options, result, &error)
                              : load_run_sockets(&arguments->options, result);
    if (code != 0 && !arguments->xdp)
        error_system(&error, code, "cannot load %s", report->address);
    if (code == 0 && !arguments->json)
        load_print(stdout, report);
    if (code != 0)
        status = command_fail(&load_command, error.text);
    else if (arguments->json && load_write_json(stdout, report) != 0)
        status = command_fail(&load_command, "cannot write the results");
    else if (output_finish() != 0)
        status = EXIT_FAILED;
    else
        status = result->counts.answered > 0 ? 0 : 1;
    signals_close(arguments->options.stop_fd, &before);
    free(result);
    return status;
}

static void stop_at_answer(const struct ping *ping, size_t seq, void *user)
{
    struct ping_run *run = user;

    (void)seq;
    run->interrupted |= ping->status == PING_OK;
}

/* Of several addresses the first that answers a ping is loaded; the last, if none does. Returns
 * false when a signal came. */
static bool choose_address(struct ping_run *run)
{
    struct ping_target *target = &run->targets[0];

    for (const struct addrinfo *at = target->found; at != NULL; at = at->ai_next)
        run->amount++;
    if (target->next == NULL)
        return true;
    run->timeout_ns = CHOICE_NS;
    run->ping_ended = stop_at_answer;
    run->user = run;
    (void)ping_run(run); /* what keeps it from pinging keeps the load from it, too, and says why */
    return !run->interrupted || target->received > 0;
}

static bool is_permitted(const struct load_arguments *arguments, const struct ping_target *target)
{
    return arguments->owned || own_address_is(target->address->ai_addr);
}

static int load_target(struct load_arguments *arguments, struct ping_run *run)
{
    const struct ping_target *target = &run->targets[0];
    struct load_options *options = &arguments->options;
    struct load_report report = {.target = target->text,
                                 .address = target->endpoint_text,
                                 .via = arguments->xdp ? "xdp" : "sockets",
                                 .options = options};
    char shown[SHOWN_BYTES];
    struct error error;

    if (target->error != NULL) {
        text_escape(target->text, shown, sizeof shown);
        error_set(&error, -EINVAL, "'%s': %s", shown, target->error);
        return command_usage(&load_command, error.text);
    }
    if (is_permitted(arguments, target) && !choose_address(run))
        return 1;
    if (!is_permitted(arguments, target)) {
        error_set(&error, -EINVAL,
                  "%s is not this host: loading what is not yours is an attack; if it is yours, "
                  "say so with --yes-i-own-this-target",
                  target->endpoint_text);
        return command_usage(&load_command, error.text);
    }
    memcpy(&options->target, target->address->ai_addr, target->address->ai_addrlen);
    options->target_bytes = target->address->ai_addrlen;
    if (getrandom(&options->seed, sizeof options->seed, 0) != (ssize_t)sizeof options->seed)
        return command_fail(&load_command, strerror(errno));
    return run_and_print(arguments, &report);
}

int cmd_load(int argc, char *const *argv)
{
    struct error error;
    struct load_arguments arguments;
    struct ping_run resolved = {.amount = 0};

    if (load_options_parse(&arguments, argc, argv, &error) != 0)
        return command_usage(&load_command, error.text);
    if (arguments.help)
        return command_help(&load_command);
    if (ping_targets_init(&resolved, &arguments.target, 1, command_family(&arguments.family),
                          &error) != 0)
        return command_usage(&load_command, error.text);
    int status = load_target(&arguments, &resolved);
    ping_targets_fini(&resolved);
    return status;
}

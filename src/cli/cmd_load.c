#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/load_options.h"
#include "cli/load_report.h"
#include "cli/output.h"
#include "cli/ping.h"
#include "load/own_address.h"

#define MESSAGE_BYTES 512

static int print_help(void)
{
    puts("Usage: paddock load [OPTION...] TARGET\n"
         "\n"
         "Loads a QCMP responder with pings, and reports how it did: counts, percentiles, CPU "
         "time.\n"
         "TARGET is as for 'paddock ping'. It has to be this host, or yours.\n"
         "\n"
         "Options:");
    load_options_print_help(stdout);
    puts("\n"
         "Exit status: 0 if there were answers, 1 if there was none, 2 for wrong usage, a target "
         "that is\n"
         "refused or a name that does not resolve, 255 if the system or the output fails.");
    return output_finish();
}

static int usage_error(const char *message)
{
    fprintf(stderr, "paddock load: %s (see 'paddock load --help')\n", message);
    return EXIT_USAGE;
}

static int fail(const char *what)
{
    fprintf(stderr, "paddock load: %s\n", what);
    return EXIT_FAILED;
}

static int print_results(const struct load_report *report, bool json)
{
    if (json && load_write_json(stdout, report) != 0)
        return fail("cannot write the results");
    if (!json)
        load_print(stdout, report);
    if (output_finish() != 0)
        return EXIT_FAILED;
    return report->result->counts.answered > 0 ? 0 : 1;
}

static int run(const struct load_arguments *arguments, const char *address,
               struct load_result *result, char error[LOAD_ERROR_BYTES])
{
    if (arguments->xdp)
        return load_run_xdp(&arguments->options, result, error);
    int code = load_run_sockets(&arguments->options, result);
    if (code != 0)
        snprintf(error, LOAD_ERROR_BYTES, "cannot load %s: %s", address, strerror(-code));
    return code;
}

static int run_and_print(const struct load_arguments *arguments, const struct load_report *about)
{
    char message[LOAD_ERROR_BYTES];
    struct load_report report = *about;
    struct load_result *result = calloc(1, sizeof *result);
    if (result == NULL)
        return fail(strerror(ENOMEM));
    report.result = result;
    int error = run(arguments, about->address, result, message);
    int status = error == 0 ? print_results(&report, arguments->json) : fail(message);
    free(result);
    return status;
}

/* SIGINT and SIGTERM end the run, not the program. */
static int run_with_signals(struct load_arguments *arguments, const struct load_report *about)
{
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    arguments->options.stop_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    int status;
    if (arguments->options.stop_fd >= 0) {
        status = run_and_print(arguments, about);
        close(arguments->options.stop_fd);
    } else {
        status = fail(strerror(errno));
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}

static int load_target(struct load_arguments *arguments, const struct ping_target *target)
{
    char message[MESSAGE_BYTES];
    struct load_options *options = &arguments->options;
    const struct load_report about = {.target = target->text,
                                      .address = target->endpoint_text,
                                      .via = arguments->xdp ? "xdp" : "sockets",
                                      .options = options};
    if (target->error != NULL) {
        snprintf(message, sizeof message, "'%s': %s", target->text, target->error);
        return usage_error(message);
    }
    if (!arguments->owned && !own_address_is((const struct sockaddr *)&target->address)) {
        snprintf(message, sizeof message,
                 "%s is not this host: loading what is not yours is an attack; if it is yours, say "
                 "so with --yes-i-own-this-target",
                 target->endpoint_text);
        return usage_error(message);
    }
    options->target = target->address;
    options->target_bytes = target->address_bytes;
    if (getrandom(&options->seed, sizeof options->seed, 0) != (ssize_t)sizeof options->seed)
        return fail(strerror(errno));
    return run_with_signals(arguments, &about);
}

int cmd_load(int argc, char *const *argv)
{
    char message[MESSAGE_BYTES];
    struct load_arguments arguments;
    struct ping_run resolved = {.amount = 0};
    if (load_options_parse(&arguments, argc, argv, message, sizeof message) != 0)
        return usage_error(message);
    if (arguments.help)
        return print_help();
    if (ping_targets_init(&resolved, &arguments.target, 1, arguments.family, message,
                          sizeof message) != 0)
        return usage_error(message);
    int status = load_target(&arguments, &resolved.targets[0]);
    ping_targets_fini(&resolved);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qcmp/version.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/commands.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/sections.h"
#include "daemon/services.h"
#include "daemon/settings.h"

#define SHOWN_BYTES 200

/* Where a standard stream is closed, the first socket or eventfd would get its number, and the
 * log's lines with it. Writing to a closed output stays an error. */
static void standard_streams_open(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR);
    }
}

/* https://no-color.org */
static bool is_colourless(void)
{
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return (no_color != NULL && *no_color != '\0') ||
           (terminal != NULL && strcmp(terminal, "dumb") == 0);
}

static const char *environment_get(const char *name, void *user)
{
    (void)user;
    return getenv(name);
}

static int print_help(void)
{
    const struct section_list sections = daemon_sections();
    config_print_help(stdout, sections.items);
    puts(
        "\n"
        "Commands:\n"
        "  ping TARGET...      measure the round trip to QCMP responders ('paddock ping --help')\n"
        "  qcmp ping ENDPOINT  the same, with Quilkin's arguments and log events\n"
        "  load TARGET         load a QCMP responder of yours ('paddock load --help')\n"
        "  relay OPTION...     relay UDP as badly as a network can ('paddock relay --help')\n"
        "  sessions [OPTION...]\n"
        "                      list the sessions of a proxy on this host\n"
        "  sites URL|FILE      rank data centres by the way over proxies ('paddock sites --help')\n"
        "  trace WHAT [OPTION...]\n"
        "                      what a proxy on this host drops, who sends the most, a session's\n"
        "                      datagrams as a file\n"
        "  check [-c FILE]     check a configuration file\n"
        "  generate-config-schema [-o DIR] [ID...]\n"
        "                      print the JSON Schema of the configuration file, or of filters");
    return output_finish();
}

static int usage_error(const char *error)
{
    fprintf(stderr, "paddock: %s (see 'paddock --help')\n", error);
    return EXIT_USAGE;
}

/* A log and its files. */
struct logging {
    struct log log;
    struct log_file *file;
};

static int logging_open(struct logging *logging, const struct config *config, bool may_block)
{
    const struct process_settings *process = config_settings(config, &process_section);
    const struct log_file_options files = {.folder = process->log_folder,
                                           .prefix = process->log_prefix};
    struct error error;

    logging->file = NULL;
    if (process->log_folder[0] != '\0' && log_file_open(&logging->file, &files, &error) != 0) {
        fprintf(stderr, "paddock: %s\n", error.text);
        return EXIT_FAILED;
    }
    log_init(&logging->log, &(struct log_options){.fd = STDOUT_FILENO,
                                                  .format = process->log_format,
                                                  .level = process->log.level,
                                                  .is_colourless = is_colourless(),
                                                  .may_block = may_block,
                                                  .file = logging->file});
    if (process->log.has_ignored)
        LOG_EVENT(&logging->log, LOG_LEVEL_WARN,
                  log_text("message", "RUST_LOG has directives for other programs: ignored"));
    return 0;
}

/* What a command is called with. */
struct invocation {
    const struct config *config;
    const struct config_environment *environment;
    int argc;
    char *const *argv;
};

static int run_ping(const struct invocation *call)
{
    return cmd_ping(call->argc, call->argv);
}

static int run_load(const struct invocation *call)
{
    return cmd_load(call->argc, call->argv);
}

static int run_qcmp(const struct invocation *call)
{
    struct logging logging;
    int status = logging_open(&logging, call->config, true);

    if (status == 0)
        status = cmd_qcmp(call->argc, call->argv, &logging.log);
    log_file_close(logging.file);
    return status;
}

static int run_relay(const struct invocation *call)
{
    return cmd_relay(call->argc, call->argv);
}

static int run_check(const struct invocation *call)
{
    return cmd_check(call->argc, call->argv, config_file(call->config), call->environment);
}

static int run_sessions(const struct invocation *call)
{
    return cmd_sessions(call->argc, call->argv);
}

static int run_control(const struct invocation *call)
{
    return cmd_control(call->argc, call->argv);
}

static int run_sites(const struct invocation *call)
{
    return cmd_sites(call->argc, call->argv);
}

static int run_trace(const struct invocation *call)
{
    return cmd_trace(call->argc, call->argv);
}

static int run_schema(const struct invocation *call)
{
    return cmd_schema(call->argc, call->argv);
}

static int run_command(const struct invocation *call, bool service_asked)
{
    static const struct {
        const char *name;
        int (*run)(const struct invocation *call);
    } commands[] = {{"ping", run_ping},         {"load", run_load},
                    {"qcmp", run_qcmp},         {"relay", run_relay},
                    {"sessions", run_sessions}, {"control", run_control},
                    {"sites", run_sites},       {"trace", run_trace},
                    {"check", run_check},       {"generate-config-schema", run_schema}};
    char error[SHOWN_BYTES + 32];
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(call->argv[0], commands[i].name) != 0)
            continue;
        if (service_asked)
            return usage_error("--service.qcmp and a command exclude each other");
        return commands[i].run(call);
    }
    char shown[SHOWN_BYTES];
    text_escape(call->argv[0], shown, sizeof shown);
    snprintf(error, sizeof error, "'%s' is not a command", shown);
    return usage_error(error);
}

int main(int argc, char **argv)
{
    standard_streams_open();
    char host_name[PROCESS_ID_BYTES] = "";
    gethostname(host_name, sizeof host_name - 1);
    struct config_environment environment = {.get = environment_get, .host_name = host_name};
    struct config_report report;
    struct config *config = NULL;
    const struct section_list sections = daemon_sections();
    const struct daemon_start start = {
        .services = services,
        .source = {
            .sections = sections.items, .argc = argc, .argv = argv, .environment = &environment}};
    struct invocation call = {.environment = &environment};
    struct logging logging;
    int status;

    signal(SIGXFSZ, SIG_IGN); /* a write beyond a limit is an error like another */
    switch (config_load(&config, &start.source, &report)) {
    case CONFIG_SERVE:
        status = logging_open(&logging, config, false);
        if (status == 0)
            status = daemon_run(config, &start, &logging.log);
        else
            config_free(config);
        log_file_close(logging.file);
        return status;
    case CONFIG_COMMAND:
        call.config = config;
        call.argc = argc - report.command;
        call.argv = argv + report.command;
        status = run_command(&call, report.service_asked);
        config_free(config);
        return status;
    case CONFIG_HELP:
        return print_help();
    case CONFIG_VERSION:
        printf("paddock %s\n", qcmp_version());
        return output_finish();
    case CONFIG_USAGE:
        return usage_error(report.error.text);
    case CONFIG_BAD_FILE:
        fprintf(stderr, "paddock: %s\n", report.error.text);
        return EXIT_FAILED;
    case CONFIG_NOTHING:
        config_free(config);
        break;
    }
    fputs("paddock: no service, provider, or command specified (see 'paddock --help')\n", stderr);
    return EXIT_FAILED;
}

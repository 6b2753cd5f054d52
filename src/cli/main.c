#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <qcmp/version.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "config/config.h"
#include "daemon/daemon.h"

/* Where a standard stream is closed, the first socket or eventfd would get its number, and the
 * log's lines with it. */
static void standard_streams_open(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static const char *environment_get(const char *name, void *user)
{
    (void)user;
    return getenv(name);
}

static int print_help(void)
{
    config_print_help(stdout);
    puts("\n"
         "Commands:\n"
         "  ping TARGET...      measure the round trip to QCMP responders ('paddock ping --help')\n"
         "  qcmp ping ENDPOINT  the same, with Quilkin's arguments and log events");
    return output_finish();
}

static int usage_error(const char *error)
{
    fprintf(stderr, "paddock: %s (see 'paddock --help')\n", error);
    return EXIT_USAGE;
}

static void log_open(struct log *log, const struct config *config, bool may_block)
{
    struct log_options options = {.fd = STDOUT_FILENO,
                                  .format = config->log_format,
                                  .level = config->log_level,
                                  .may_block = may_block};
    log_init(log, &options);
    if (config->log_directives_ignored)
        LOG_EVENT(log, LOG_LEVEL_WARN,
                  log_text("message", "RUST_LOG has directives for other programs: ignored"));
}

static int run_command(const struct config *config, const struct config_report *report, int argc,
                       char *const *argv)
{
    struct log log;
    bool is_ping = strcmp(argv[0], "ping") == 0;
    if (!is_ping && strcmp(argv[0], "qcmp") != 0) {
        char error[CONFIG_ERROR_BYTES];
        snprintf(error, sizeof error, "'%s' is not a command", argv[0]);
        return usage_error(error);
    }
    if (report->service_asked)
        return usage_error("--service.qcmp and a command exclude each other");
    if (is_ping)
        return cmd_ping(argc, argv);
    log_open(&log, config, true);
    return cmd_qcmp(argc, argv, &log);
}

static int serve(const struct config *config)
{
    struct log log;
    log_open(&log, config, false);
    return daemon_run(config, &log);
}

int main(int argc, char **argv)
{
    standard_streams_open();
    char host_name[CONFIG_ID_BYTES] = "";
    gethostname(host_name, sizeof host_name - 1);
    struct config_environment environment = {.get = environment_get, .host_name = host_name};
    struct config_report report;
    struct config config;
    switch (config_load(&config, argc, argv, &environment, &report)) {
    case CONFIG_SERVE:
        return serve(&config);
    case CONFIG_COMMAND:
        return run_command(&config, &report, argc - report.command, argv + report.command);
    case CONFIG_HELP:
        return print_help();
    case CONFIG_VERSION:
        printf("paddock %s\n", qcmp_version());
        return output_finish();
    case CONFIG_USAGE:
        return usage_error(report.error);
    case CONFIG_NOTHING:
        break;
    }
    fputs("paddock: no service, provider, or command specified (see 'paddock --help')\n", stderr);
    return EXIT_FAILED;
}

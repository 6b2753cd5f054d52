/** @file
 * What the operator wants: flags over environment over defaults, as one validated struct. Names of
 * flags and variables are those of Quilkin 0.10.0.
 */
#ifndef PADDOCK_CONFIG_CONFIG_H
#define PADDOCK_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"

/** Room for a service's id and its terminator. */
#define CONFIG_ID_BYTES 256
/** Room for a line about what is wrong. */
#define CONFIG_ERROR_BYTES 512
#define CONFIG_MAX_WORKERS 1024
#define CONFIG_DEFAULT_QCMP_PORT 7600

/** Plain values; nobody changes them after config_load(). */
struct config {
    bool quiet; /**< no log output; log_level is LOG_LEVEL_OFF then */
    enum log_format log_format;
    enum log_level log_level;
    bool log_directives_ignored; /**< RUST_LOG has directives that say nothing to this program: warn
                                    once */
    char service_id[CONFIG_ID_BYTES]; /**< valid UTF-8 without controls, quotes and backslashes; not
                                         empty */
    bool qcmp_enabled;
    uint16_t qcmp_port; /**< 0: any free port */
    unsigned workers;   /**< 1 to #CONFIG_MAX_WORKERS, or 0: as many as there are CPUs */
};

/** The value of an environment variable, or NULL; as getenv(3). It need only last until the next
 * call. */
typedef const char *(*config_getenv_fn)(const char *name, void *user);

/** What config_load() knows of the world besides the command line. */
struct config_environment {
    config_getenv_fn get;
    void *user;
    const char *host_name; /**< the default service id; borrowed during the load */
};

enum config_result {
    CONFIG_SERVE,   /**< run the services */
    CONFIG_COMMAND, /**< argv[report.command] is a command word; its arguments follow */
    CONFIG_NOTHING, /**< neither a service nor a command: an error, but none of usage (exit 255) */
    CONFIG_HELP,    /**< print the help, exit 0 */
    CONFIG_VERSION, /**< print the version, exit 0 */
    CONFIG_USAGE    /**< report.error says what is wrong, exit 2 */
};

struct config_report {
    int command;        /**< of #CONFIG_COMMAND: index into argv */
    bool service_asked; /**< of #CONFIG_COMMAND: a flag, not a variable, turns a service on */
    char error[CONFIG_ERROR_BYTES]; /**< of #CONFIG_USAGE: one line without a full stop, fit to be
                                       shown */
};

/**
 * Reads the command line up to the first word that is no flag, then the environment.
 *
 * Of a flag given twice the last counts. A variable is looked at only if its flag is not given; an
 * empty one is unset. What the reference has and this program does not is refused (`not supported
 * yet`), save a switch that is turned off. With a command word the variables of what is not
 * supported are not looked at: they are meant for the service beside it.
 *
 * @param[out] config set with #CONFIG_SERVE, #CONFIG_COMMAND and #CONFIG_NOTHING, otherwise
 * untouched.
 * @param argv   borrowed during the call, neither changed nor reordered.
 * @param[out] report set where its members say so.
 */
enum config_result config_load(struct config *config, int argc, char *const *argv,
                               const struct config_environment *environment,
                               struct config_report *report);

/** Prints the usage line and the flags that are supported. */
void config_print_help(FILE *stream);

#endif

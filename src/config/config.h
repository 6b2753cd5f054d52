/** @file
 * What the operator wants: flags over environment over file over defaults, as one validated struct.
 * Names of flags, variables and keys are those of Quilkin 0.10.0; what is this project's own in a
 * file lives under `paddock:`.
 */
#ifndef PADDOCK_CONFIG_CONFIG_H
#define PADDOCK_CONFIG_CONFIG_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/file_identity.h"
#include "base/log.h"
#include "guard/guard.h"
#include "net/prefix.h"
#include "net/target.h"

/** Room for a service's id, or a part of a locality, and its terminator. */
#define CONFIG_ID_BYTES 256
#define CONFIG_ICAO_BYTES 5
#define CONFIG_USER_BYTES 33
#define CONFIG_INTERFACE_BYTES 16
#define CONFIG_ADDRESS_BYTES 64
#define CONFIG_PATH_BYTES 4096
/** Room for a line about what is wrong. */
#define CONFIG_ERROR_BYTES 1024
#define CONFIG_MAX_WORKERS 1024
#define CONFIG_MAX_LISTEN 16
/** Prefixes of one access list. */
#define CONFIG_MAX_PREFIXES 131072
#define CONFIG_DEFAULT_QCMP_PORT 7600

/** How packets move. */
enum config_engine {
    CONFIG_ENGINE_MMSG = 0, /**< by sockets */
    CONFIG_ENGINE_XDP,      /**< by XDP before the sockets, or not at all */
    CONFIG_ENGINE_AUTO      /**< by XDP where that is sure to be better, otherwise by sockets */
};

/** Where the service is; each empty if not told, otherwise like an id. */
struct config_locality {
    char region[CONFIG_ID_BYTES];
    char zone[CONFIG_ID_BYTES];
    char sub_zone[CONFIG_ID_BYTES];
};

/** Nobody changes it after config_load(); released by config_fini(). */
struct config {
    bool quiet; /**< no log output; log_level is LOG_LEVEL_OFF then */
    enum log_format log_format;
    enum log_level log_level;
    bool log_directives_ignored; /**< RUST_LOG has directives that say nothing to this program: warn
                                    once */
    char service_id[CONFIG_ID_BYTES]; /**< valid UTF-8 without controls, quotes and backslashes; not
                                         empty */
    char icao_code[CONFIG_ICAO_BYTES]; /**< four letters A-Z */
    struct config_locality locality;
    bool qcmp_enabled;
    uint16_t qcmp_port; /**< 0: any free port */

    bool admin_enabled;
    char admin_address[CONFIG_ADDRESS_BYTES]; /**< as written */
    struct target admin;                      /**< the same: a numeric address without brackets,
                                                 and a port; 0: any free one */
    int64_t termination_timeout_ns;           /**< 0: stop at once */

    enum config_engine engine;
    bool pin;                                   /**< each worker to a CPU of its own */
    bool realtime;                              /**< workers have a real-time priority */
    bool low_latency;                           /**< at the price of CPU time */
    char xdp_interface[CONFIG_INTERFACE_BYTES]; /**< empty: that of the default route */
    bool xdp_generic;                           /**< otherwise native */
    bool xdp_mode_given;                        /**< somebody wrote which of the two */
    bool xdp_zerocopy;   /**< asked for; only with the native mode, which copies nothing */
    unsigned workers;    /**< 1 to #CONFIG_MAX_WORKERS, or 0: as many as there are CPUs */
    size_t listen_count; /**< 1 to #CONFIG_MAX_LISTEN */
    struct in6_addr listen[CONFIG_MAX_LISTEN]; /**< unicast or unspecified, no two alike; IPv4 as
                                                  v4-mapped */
    int64_t receive_buffer_ns;                 /**< at a worker's full rate; 1 ns to 5 s */
    int64_t max_age_ns;           /**< a ping that waited longer is dropped; 0: never */
    char user[CONFIG_USER_BYTES]; /**< whom a service that was started as root becomes */
    bool seccomp;

    struct prefix_list allow, deny; /**< up to #CONFIG_MAX_PREFIXES each */
    bool guard_enabled;
    struct guard_rules guard; /**< also if it is off */

    json_t *filters;     /**< as the file has them; NULL: not in the file */
    json_t *clusters;    /**< the same */
    json_t *datacenters; /**< the same: a list, or a map with the key `map` */

    bool file_loaded;             /**< there was a file */
    bool file_empty;              /**< there was nothing in it but comments */
    bool file_given;              /**< its path came from flag or environment */
    char file[CONFIG_PATH_BYTES]; /**< the path given, or that of the default one that was loaded;
                                     otherwise empty */
    struct file_identity file_identity; /**< of the file when it was read; no file without one */
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
    CONFIG_USAGE,   /**< report.error says what is wrong, exit 2 */
    CONFIG_BAD_FILE /**< report.error says what is wrong with the file (`FILE:LINE:COLUMN: KEY:
                       ...`), exit 255 */
};

struct config_report {
    int command;        /**< of #CONFIG_COMMAND: index into argv */
    bool service_asked; /**< of #CONFIG_COMMAND: a flag, not a variable, turns a service on */
    char error[CONFIG_ERROR_BYTES]; /**< of #CONFIG_USAGE and #CONFIG_BAD_FILE: one line without a
                                       full stop, fit to be shown */
    bool is_passing; /**< of #CONFIG_BAD_FILE: the system had no descriptor for it, so that it is
                        worth another try as it is */
};

/**
 * Reads the command line up to the first word that is no flag, then the environment, then, only if
 * the result is to serve, the configuration file. To reload, call it again with the same arguments
 * and environment: what it gives is a whole new configuration or an error.
 *
 * Of a flag given twice the last counts. A variable is looked at only if its flag is not given; an
 * empty one is unset. What the reference has and this program does not is refused (`not supported
 * yet`), save a switch that is turned off. With a command word the variables of what is not
 * supported are not looked at: they are meant for the service beside it.
 *
 * A file that was named must be there; a default one need not. It is a regular file of at most 16
 * MiB, and applies whole or not at all. It allocates, and blocks as long as reading
 * the file does.
 *
 * @param[out] config set with #CONFIG_SERVE, #CONFIG_COMMAND and #CONFIG_NOTHING, and then to be
 * released by config_fini(); otherwise untouched.
 * @param argv   borrowed during the call, neither changed nor reordered.
 * @param[out] report set where its members say so.
 */
enum config_result config_load(struct config *config, int argc, char *const *argv,
                               const struct config_environment *environment,
                               struct config_report *report);

/** Releases what a configuration owns. A zeroed one is fine. */
void config_fini(struct config *config);

/**
 * The paths at which a change can change the configuration: the file that was given, or the default
 * ones up to the one that was loaded. One that does not exist may come.
 *
 * @return the path number @p index, from 0; NULL behind the last. Lives as long as @p config.
 */
const char *config_watch_path(const struct config *config, unsigned index);

/** How many names config_diff() gives at most. */
#define CONFIG_DIFF_MAX 16

/**
 * Which settings differ that cannot change while the service runs.
 *
 * @param[out] names the first so many are set: keys as the file has them (`paddock.workers`) or
 * names of flags (`--admin.address`), static storage.
 * @return how many.
 */
size_t config_diff(const struct config *running, const struct config *loaded,
                   const char *names[CONFIG_DIFF_MAX]);

/** Gives a loaded configuration the running one's values of all settings that config_diff()
 * compares, so that it says what is in force. */
void config_keep_fixed(struct config *loaded, const struct config *running);

/**
 * The configuration in force, in the shape of the file; what a file cannot say stands beside it
 * under `flags`. Without that member it is a file that gives the same configuration.
 *
 * @param with_access_lists whether to show `paddock.access`, which may be long and is nobody else's
 * business.
 * @return a reference of the caller's, or NULL without memory.
 */
json_t *config_to_json(const struct config *config, bool with_access_lists);

/** JSON Schema (draft 2020-12) of the file, from the table that the parser uses. A reference of the
 * caller's, or NULL without memory. */
json_t *config_schema(void);

/** Prints the usage line and the flags that are supported. */
void config_print_help(FILE *stream);

#endif

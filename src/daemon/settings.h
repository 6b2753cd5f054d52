/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The settings of the process: what no single service owns.
 */
#ifndef PADDOCK_DAEMON_SETTINGS_H
#define PADDOCK_DAEMON_SETTINGS_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "config/config.h"
#include "fastpath/shared.h"
#include "net/target.h"

/** Room for a service's id, or a part of a locality, and its terminator. */
#define PROCESS_ID_BYTES 256
#define PROCESS_ADDRESS_BYTES 64
#define PROCESS_USER_BYTES 33
#define PROCESS_PATH_BYTES 4096
#define PROCESS_LOG_PREFIX_BYTES 201
#define PROCESS_INTERFACES_BYTES (FASTPATH_MAX_INTERFACES * IF_NAMESIZE)
#define PROCESS_MAX_WORKERS 1024

/** Whether packets are handled by XDP before the sockets. */
enum process_xdp {
    PROCESS_XDP_OFF = 0, /**< by sockets alone */
    PROCESS_XDP_AUTO,    /**< where that is sure to be better */
    PROCESS_XDP_ON       /**< or the process does not start */
};

enum process_xdp_attach {
    PROCESS_XDP_NATIVE = 0, /**< in the driver */
    PROCESS_XDP_GENERIC     /**< with any driver */
};

/** Where the admin server listens. */
struct process_address {
    char text[PROCESS_ADDRESS_BYTES]; /**< as written */
    struct target target; /**< a numeric address without brackets, and a port; 0: any free one */
};

/** What RUST_LOG says. */
struct process_log_level {
    enum log_level level;
    bool has_ignored; /**< there are directives for other programs: warn once */
};

struct process_settings {
    bool quiet; /**< no log output; log.level is LOG_LEVEL_OFF then */
    enum log_format log_format;
    struct process_log_level log;
    char log_folder[PROCESS_PATH_BYTES];       /**< for log files; empty: none */
    char log_prefix[PROCESS_LOG_PREFIX_BYTES]; /**< of their names; without a slash */
    char id[PROCESS_ID_BYTES];                 /**< plain text, not empty */
    char icao_code[5];                         /**< four letters A-Z */
    char region[PROCESS_ID_BYTES], zone[PROCESS_ID_BYTES], sub_zone[PROCESS_ID_BYTES];
    bool admin_enabled;
    struct process_address admin;
    bool shows_tokens;              /**< by /config, in place of their fingerprints */
    bool shows_sessions;            /**< to other hosts, too */
    int64_t termination_timeout_ns; /**< 0: stop at once */

    unsigned workers; /**< 1 to #PROCESS_MAX_WORKERS, or 0: as many as CPUs may be used */
    bool pin;         /**< each worker to a CPU of its own */
    bool realtime;    /**< workers have a real-time priority */
    bool low_latency; /**< at the price of CPU time */
    char user[PROCESS_USER_BYTES]; /**< a name or a number: whom root becomes */
    bool seccomp;

    enum process_xdp xdp;
    enum process_xdp_attach xdp_attach;
    bool xdp_attach_given; /**< somebody wrote which of the two */
    bool xdp_zerocopy;     /**< asked for; only with native, which copies nothing */
    /** With commas between them; empty: that of the default route. */
    char xdp_interfaces[PROCESS_INTERFACES_BYTES];
};

/** Its settings are a struct process_settings. */
extern const struct config_section process_section;

#endif

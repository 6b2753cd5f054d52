/** @file
 * The values of the configuration, one by one: how each is read from its text, whether that comes
 * from a flag, a variable or a file, and what is said when it cannot be.
 */
#ifndef PADDOCK_CONFIG_SETTINGS_H
#define PADDOCK_CONFIG_SETTINGS_H

#include <stdint.h>

#include "config/config.h"

/** What a file must write, and the schema says. A duration is a text, or a number of seconds. */
enum setting_kind {
    SETTING_BOOLEAN,
    SETTING_NUMBER,
    SETTING_TEXT,
    SETTING_DURATION,
    SETTING_ADDRESS /**< a text: a numeric IP address */
};

struct setting {
    /** 0, or -1 when @p text is not what is expected; the configuration is untouched then. */
    int (*apply)(struct config *config, const char *text);
    const char *expected; /**< for "expected ..., found ..." */
    enum setting_kind kind;
    uint64_t min, max;   /**< of a number */
    const char *pattern; /**< of a text, for the schema: ECMA-262 */
};

extern const struct setting setting_quiet;
extern const struct setting setting_log_format;
extern const struct setting setting_config_path;
extern const struct setting setting_service_id;
extern const struct setting setting_icao_code;
extern const struct setting setting_region;
extern const struct setting setting_zone;
extern const struct setting setting_sub_zone;
extern const struct setting setting_qcmp;
extern const struct setting setting_qcmp_port;
extern const struct setting setting_admin;
extern const struct setting setting_admin_address;
extern const struct setting setting_termination_timeout;
extern const struct setting setting_engine;
extern const struct setting setting_xdp; /**< only checked: flags_apply() has to decide */
extern const struct setting setting_xdp_interface;
extern const struct setting setting_xdp_mode;
extern const struct setting setting_xdp_zerocopy;
extern const struct setting setting_xdp_tco;          /**< off is all there is; only checked */
extern const struct setting setting_xdp_memory_limit; /**< only checked: no memory is used */
extern const struct setting setting_workers;
extern const struct setting setting_pin;
extern const struct setting setting_realtime;
extern const struct setting setting_low_latency;
extern const struct setting setting_listen; /**< one address; adds it */
extern const struct setting setting_receive_buffer;
extern const struct setting setting_max_age;
extern const struct setting setting_user;
extern const struct setting setting_seccomp;
extern const struct setting setting_version; /**< of the file's format; only checked */
extern const struct setting setting_allow;   /**< one prefix; adds it */
extern const struct setting setting_deny;    /**< the same */
extern const struct setting setting_guard;
extern const struct setting setting_guard_loopback;
extern const struct setting setting_guard_replies;
extern const struct setting setting_guard_leak;

/** Of the last rule of the guard's list; there must be one. */
extern const struct setting setting_guard_ipv4_prefix;
extern const struct setting setting_guard_ipv4_rate;
extern const struct setting setting_guard_ipv4_burst;
extern const struct setting setting_guard_ipv6_prefix;
extern const struct setting setting_guard_ipv6_rate;
extern const struct setting setting_guard_ipv6_burst;

/** Of an item of `datacenters`; only checked. */
extern const struct setting setting_datacenter_host;
extern const struct setting setting_datacenter_address;
extern const struct setting setting_datacenter_port;
extern const struct setting setting_datacenter_icao;

/** What there is without flags, variables and a file. A host name that is no fit id is no reason to
 * refuse the start. */
void settings_defaults(struct config *config, const char *host_name);

#endif

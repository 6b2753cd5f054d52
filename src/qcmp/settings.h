/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The settings of the QCMP responder.
 */
#ifndef PADDOCK_QCMP_SETTINGS_H
#define PADDOCK_QCMP_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "guard/guard.h"
#include "net/address.h"
#include "net/prefix.h"

/** Prefixes of one access list. */
#define QCMP_MAX_PREFIXES 131072

struct qcmp_settings {
    bool enabled;
    uint16_t port;                             /**< 0: any free port */
    size_t listen_count;                       /**< 1 to #NET_MAX_ADDRESSES */
    struct in6_addr listen[NET_MAX_ADDRESSES]; /**< unicast or unspecified, no two alike; IPv4 as
                                                  v4-mapped */
    int64_t receive_buffer_ns;                 /**< at a worker's full rate; 1 ns to 5 s */
    int64_t max_age_ns;             /**< a ping that waited longer is dropped; 0: never */
    struct prefix_list allow, deny; /**< up to #QCMP_MAX_PREFIXES each */
    bool guard_enabled;
    struct guard_rules guard; /**< set also while it is off */
};

/** Its settings are a struct qcmp_settings. */
extern const struct config_section qcmp_section;

#endif

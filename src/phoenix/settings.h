/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The settings of Phoenix.
 */
#ifndef PADDOCK_PHOENIX_SETTINGS_H
#define PADDOCK_PHOENIX_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "latency/pace.h"
#include "net/address.h"

struct phoenix_settings {
    bool enabled;
    uint16_t port;                             /**< 0: any free port */
    size_t listen_count;                       /**< 1 to #NET_MAX_ADDRESSES */
    struct in6_addr listen[NET_MAX_ADDRESSES]; /**< as in struct qcmp_settings */
    struct pace_bounds interval;               /**< between two pings to one node */
    bool cors;                                 /**< whether any web page may read the answers */
    uint32_t requests_per_second;              /**< of one client's address; at least 1 */
    bool loopback;                             /**< whether clients on this host are limited, too */
};

/** Its settings are a struct phoenix_settings. */
extern const struct config_section phoenix_section;

#endif

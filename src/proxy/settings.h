/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The settings of the UDP proxy.
 */
#ifndef PADDOCK_PROXY_SETTINGS_H
#define PADDOCK_PROXY_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "geo/geo.h"
#include "net/address.h"
#include "proxy/policies.h"

/** What becomes of sessions whose endpoint is gone. */
enum proxy_removed {
    PROXY_KEEP, /**< answers reach the player until the session is idle */
    PROXY_DROP, /**< they end at once */
    PROXY_MOVE  /**< each ends when the player's next datagram went elsewhere */
};

/** By what a player is known again who comes from a new address. */
enum proxy_migration {
    PROXY_NO_MIGRATION,
    PROXY_BY_TOKEN /**< by which the router chose the server */
};

/** A further port for players, whose datagrams go through a chain of its own. */
struct proxy_listener {
    uint16_t port;                      /**< 0: any free port */
    char locality[LOCALITY_TEXT_BYTES]; /**< of the servers, as locality_format(); "": all */
    json_t *filters;                    /**< the chain */
};

#define PROXY_MAX_LISTENERS 64

struct proxy_listeners {
    struct proxy_listener *items;
    size_t count, capacity;
};

/** @param[out] copy its chains are shared; untouched on failure. @return 0 or -ENOMEM. */
int proxy_listeners_copy(struct proxy_listeners *copy, const struct proxy_listeners *listeners);

/** Frees a copy, and empties it. */
void proxy_listeners_fini(struct proxy_listeners *copy);

/** Whether two lists of the same length say the same, whatever the ports. */
bool proxy_listeners_alike(const struct proxy_listeners *a, const struct proxy_listeners *b);

struct proxy_settings {
    bool enabled;
    uint16_t port;                             /**< 0: any free port */
    size_t listen_count;                       /**< 1 to #NET_MAX_ADDRESSES */
    struct in6_addr listen[NET_MAX_ADDRESSES]; /**< as in struct qcmp_settings */
    int64_t receive_buffer_ns;                 /**< at a worker's full rate */
    bool gro;                                  /**< whether the kernel gathers bursts */
    bool dscp;                                 /**< DSCP and ECN are carried through */
    bool loopback;                             /**< whether players may be on this host */
    int64_t session_timeout_ns;
    uint32_t max_sessions;                                 /**< 0: from the limits of the process */
    uint32_t max_per_address;                              /**< 0: as many as there may be in all */
    uint32_t max_packets_per_second, max_bytes_per_second; /**< of a session each way; 0: any */
    enum proxy_removed removed_endpoint;
    enum proxy_migration migrate_by;
    uint32_t log_rate;         /**< lines a second for sessions that ended; 0: none */
    struct policies *policies; /**< for clusters; NULL: none */
    struct proxy_listeners listeners;
    char places[GEO_TEXT_BYTES]; /**< databases, as in struct geo_options; "": none */
};

/** Its settings are a struct proxy_settings. */
extern const struct config_section proxy_section;

#endif

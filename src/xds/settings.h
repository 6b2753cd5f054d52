/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The settings of the control plane, of both ends.
 */
#ifndef PADDOCK_XDS_SETTINGS_H
#define PADDOCK_XDS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "net/prefix.h"
#include "net/target.h"

#define XDS_MAX_URLS 16
#define XDS_MAX_PREFIXES 4096

/** Where a peer is. */
struct xds_url {
    char host[TARGET_HOST_BYTES]; /**< an address, or a name */
    uint16_t port;                /**< host order */
    bool is_tls;
};

/** Peers of one kind, of which one at a time is used. */
struct xds_urls {
    struct xds_url items[XDS_MAX_URLS];
    size_t count;
};

struct xds_settings {
    bool serves_xds, serves_mds, serves_both; /**< check() makes two of the third */
    uint16_t xds_port, mds_port;              /**< 0: any free port */
    struct xds_urls servers, relays;
    char certificates[CONFIG_PATH_BYTES], key[CONFIG_PATH_BYTES], authorities[CONFIG_PATH_BYTES];
    char client_certificates[CONFIG_PATH_BYTES], client_key[CONFIG_PATH_BYTES],
        client_authorities[CONFIG_PATH_BYTES];
    uint64_t response_bytes, request_bytes; /**< the most of one message, to each end */
    uint32_t per_address;                   /**< the most connections of one address to a port */
    int64_t ping_ns;                        /**< the least between two PINGs to a server */
    struct prefix_list agents, trusted_proxies; /**< empty: any agent; no proxy */
};

/** Its settings are a struct xds_settings. */
extern const struct config_section xds_section;

#endif

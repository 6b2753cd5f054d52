/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Tells the catalog to peers, by the delta protocol: a server to its subscribers, an agent to its
 * relay. A peer is sent what differs from what it has acknowledged, when that changes; what it
 * refused comes again with the next change, and not before.
 */
#ifndef PADDOCK_XDS_PUBLISHER_H
#define PADDOCK_XDS_PUBLISHER_H

#include <jansson.h>

#include "base/log.h"
#include "loop/loop.h"
#include "xds/grpc.h"
#include "xds/metrics.h"
#include "xds/snapshot.h"

/** What all peers share: the catalog as messages. */
struct publications;

/** One peer. */
struct publisher;

struct publications_options {
    struct loop *loop;
    struct log *log;
    struct catalog *catalog; /**< outlives it */
    struct xds_metrics *metrics;
    /** Until then, monotonic, what a peer says that it has, and the catalog does not, is not
     * removed: those who told it may not be back yet. 0: not at all. */
    int64_t settled_ns;
};

/** Makes them, and follows the catalog.
 * @param[out] publications untouched on failure; freed with publications_free().
 * @return 0 or a negative errno value. */
int publications_new(struct publications **publications,
                     const struct publications_options *options);

/** Frees it; its publishers are gone before. NULL is fine. */
void publications_free(struct publications *all);

/** Looks, each second, whether somebody is to be sent something that could not be sent before. */
void publications_tick(struct publications *all, int64_t now_ns);

/** Peers as they are listed for people: an array of the caller's, or NULL without memory. */
json_t *publications_show(const struct publications *all);

/** Begins with a peer.
 * @param call of either end; borrowed until publisher_free().
 * @param role "subscriber" or "relay", for people; static storage.
 * @param is_agent whether a request is answered also where there is nothing, and needs no hello.
 * @return NULL without memory. */
struct publisher *publisher_new(struct publications *publications, struct grpc_call *call,
                                const char *role, bool is_agent);

/** NULL is fine. */
void publisher_free(struct publisher *publisher);

/** Handles a request of the peer.
 * @return #GRPC_OK, or the status with which the stream is to end, with @p error. */
enum grpc_status publisher_take(struct publisher *publisher, const uint8_t *data, size_t bytes,
                                struct error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Asks a peer for resources by the delta protocol, takes what it tells, and acknowledges it: a
 * client of its server, a relay of an agent.
 */
#ifndef PADDOCK_XDS_SUBSCRIBER_H
#define PADDOCK_XDS_SUBSCRIBER_H

#include <jansson.h>

#include "base/log.h"
#include "xds/exchange.h"
#include "xds/grpc.h"
#include "xds/learned.h"
#include "xds/metrics.h"

#define SUBSCRIBER_LABEL_BYTES 128

/** One peer, in its owner's memory. The first members are the owner's; the others start as zero. */
struct subscriber {
    struct grpc_call *call;
    struct learned *learned;
    struct learned_owner *owner; /**< NULL: all is the peer's */
    struct xds_metrics *metrics;
    struct log *log;
    const char *node_id; /**< borrowed */

    bool is_wanted[RESOURCE_TYPES], is_told[RESOURCE_TYPES];
    int64_t asked_ns, heard_ns;                    /**< monotonic; 0: not yet */
    struct exchange exchanges[RESOURCE_TYPES + 1]; /**< the last: of types not asked for */
    char control_plane[SUBSCRIBER_LABEL_BYTES];    /**< of the last response */
};

/** Says hello, as the delta protocol of the reference begins. @return 0 or -ENOMEM. */
int subscriber_greet(struct subscriber *subscriber);

/** Asks for the types that are wanted, with the versions that there are. @return 0 or -ENOMEM. */
int subscriber_ask(struct subscriber *subscriber);

/** Handles a response: takes it whole, or refuses it whole.
 * @return 0, or a negative value: it was refused, or there is no memory. */
int subscriber_take(struct subscriber *subscriber, const Xds__DeltaDiscoveryResponse *response,
                    struct arena *arena);

/** Asks again after 30 s of silence; to be called every second.
 * @param now_ns monotonic. */
void subscriber_tick(struct subscriber *subscriber, int64_t now_ns);

/** What it has, for people; a reference of the caller's, or NULL without memory. */
json_t *subscriber_show(const struct subscriber *subscriber);

#endif

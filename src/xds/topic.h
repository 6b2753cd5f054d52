/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What one peer of a publisher wants of one type, has, and was sent: the telling end of the delta
 * protocol, without I/O. What a peer may cost is bounded: names, and the versions that it claims.
 */
#ifndef PADDOCK_XDS_TOPIC_H
#define PADDOCK_XDS_TOPIC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "xds/exchange.h"
#include "xds/grpc.h"
#include "xds/snapshot.h"

/** Room for a nonce, a UUID as text. */
#define TOPIC_NONCE_BYTES 37

/** In its owner's memory, who sets the type; the others start as zero and are only read. */
struct topic {
    enum resource_type type;
    bool is_wanted; /**< the peer has asked */
    bool is_wildcard;
    char **names; /**< sorted; of those that are asked for by name */
    size_t names_count;
    struct snapshot *acknowledged; /**< NULL: nothing */
    struct snapshot *sent;         /**< not answered yet; NULL: nothing is */
    struct snapshot *refused;      /**< the state of the catalog that was */
    char nonce[TOPIC_NONCE_BYTES]; /**< of what was sent */
    size_t claimed_bytes;
    int64_t sent_ns; /**< monotonic */
    struct exchange exchange;
};

/** Frees what it has. @param[in,out] all_claimed bytes that all peers claim. */
void topic_fini(struct topic *topic, size_t *all_claimed);

/** Takes which names a request adds and drops. Names are of clusters; other types are always whole.
 * @return #GRPC_OK, or the status with which the stream is to end, with @p error. */
enum grpc_status topic_take_names(struct topic *topic, const Xds__DeltaDiscoveryRequest *request,
                                  struct error *error);

/** Takes what a peer says that it has; what was sent before is of no interest any more.
 * @param now the catalog's, or NULL; stands for itself where the peer has the same.
 * @param[in,out] all_claimed bytes that all peers claim.
 * @return as topic_take_names(). */
enum grpc_status topic_take_versions(struct topic *topic, struct snapshot *now,
                                     const Xds__DeltaDiscoveryRequest *request, size_t *all_claimed,
                                     struct error *error);

/** What a peer wants of what the catalog has.
 * @param now the catalog's, or NULL.
 * @return a reference of the caller's; NULL: nothing is wanted, or there is no memory. */
struct snapshot *topic_select(const struct topic *topic, struct snapshot *now);

/** Notes that a peer was sent the step to a snapshot.
 * @param nonce of #TOPIC_NONCE_BYTES. */
void topic_send(struct topic *topic, const char *nonce, struct snapshot *step);

/** Takes an answer to what was sent; an answer to something older changes nothing.
 * @param now the catalog's, or NULL: what is not sent again if the peer refuses.
 * @return whether it was refused. */
bool topic_take_answer(struct topic *topic, struct snapshot *now,
                       const Xds__DeltaDiscoveryRequest *request);

/** Shows it as exchange_show(), with `is_waiting`. @return as that. */
json_t *topic_show(const struct topic *topic);

#endif

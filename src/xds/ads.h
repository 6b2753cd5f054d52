/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The aggregated discovery service, of both ends: a server tells its subscribers the catalog; the
 * provider tells the catalog what its server says.
 */
#ifndef PADDOCK_XDS_ADS_H
#define PADDOCK_XDS_ADS_H

#include "xds/dial.h"
#include "xds/publisher.h"
#include "xds/subscriber.h"

/** How a subscriber calls: the first at servers, the second at relays. */
#define ADS_PATH "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
#define ADS_RELAY_PATH                                                                             \
    "/quilkin.relay.v1alpha1.AggregatedControlPlaneDiscoveryService/SubscribeDeltaResources"

/** A stream of a subscriber, by either path. */
extern const struct grpc_events ads_events;

/** Begins to tell a subscriber, as of grpc_method.called. */
void ads_take_subscriber(struct publications *publications, struct grpc_call *call);

/** Ends a call with what publisher_take() says of a message; #GRPC_OK does nothing. */
void ads_judge(struct grpc_call *call, enum grpc_status status, const struct error *error);

/** The provider of --provider.xds.endpoints. */
struct ads_client;

struct ads_client_options {
    struct dialer_options dialer;
    struct catalog *catalog;     /**< outlives it */
    void (*changed)(void *user); /**< it may be ready now, or not any more */
    void *user;
};

/** Makes it. @param[out] client untouched on failure; freed with ads_client_free().
 * @return 0 or a negative errno value. */
int ads_client_new(struct ads_client **client, const struct ads_client_options *options);

/** NULL is fine. */
void ads_client_free(struct ads_client *client);

/** Connects as soon as the loop turns. */
void ads_client_start(struct ads_client *client);

/** To be called every second. */
void ads_client_tick(struct ads_client *client, int64_t now_ns);

/** Whether the stream is up, and each type was told, or 2 s have passed since they were asked for.
 */
bool ads_client_is_ready(const struct ads_client *client, int64_t now_ns);

/** Times that the stream was lost. */
uint64_t ads_client_failures(const struct ads_client *client);

/** Its state for people; a reference of the caller's, or NULL without memory. */
json_t *ads_client_show(const struct ads_client *client);

#endif

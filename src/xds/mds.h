/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The discovery service of relays, of both ends: agents push what they know to a relay, in the
 * direction opposite to that of ADS.
 */
#ifndef PADDOCK_XDS_MDS_H
#define PADDOCK_XDS_MDS_H

#include "net/prefix.h"
#include "xds/ads.h"

#define MDS_PATH                                                                                   \
    "/quilkin.relay.v1alpha1.AggregatedControlPlaneDiscoveryService/DeltaAggregatedResources"

/** A relay: what its agents push. */
struct mds_relay;

struct mds_relay_options {
    struct log *log;
    struct catalog *catalog; /**< outlives it */
    struct xds_metrics *metrics;
};

/** Makes one. @param[out] relay untouched on failure; freed with mds_relay_free().
 * @return 0 or -ENOMEM. */
int mds_relay_new(struct mds_relay **relay, const struct mds_relay_options *options);

/** Its connections are gone before. NULL is fine. */
void mds_relay_free(struct mds_relay *relay);

/** Who may push, and who is believed for whom it forwards. @param agents empty: anybody.
 * @return 0 or -ENOMEM: it is as it was. */
int mds_relay_admit(struct mds_relay *relay, const struct prefix_list *agents,
                    const struct prefix_list *trusted_proxies);

/** A stream of an agent, as grpc_method.called. */
void mds_relay_take_agent(struct mds_relay *relay, struct grpc_call *call,
                          const struct h2_headers *headers);
extern const struct grpc_events mds_relay_events;

/** To be called every second. */
void mds_relay_tick(struct mds_relay *relay, int64_t now_ns);

/** Adds its agents to a list for people. */
void mds_relay_show(const struct mds_relay *relay, json_t *list);

/** The address of who is behind a connection: that of the socket, or what a trusted proxy says.
 * @param trusted whether the peer of the socket is such a proxy. */
struct in6_addr mds_relay_agent_address(const struct in6_addr *peer, bool trusted,
                                        const struct h2_headers *headers);

/** An agent: pushes the catalog to a relay, for --provider.mds.endpoints. */
struct mds_client;

struct mds_client_options {
    struct dialer_options dialer;
    struct catalog *catalog;
    struct publications *publications; /**< outlives it */
    void (*changed)(void *user);       /**< it may be ready now, or not any more */
    void *user;
};

/** Makes it. @param[out] client untouched on failure; freed with mds_client_free().
 * @return 0 or a negative errno value. */
int mds_client_new(struct mds_client **client, const struct mds_client_options *options);

/** NULL is fine. */
void mds_client_free(struct mds_client *client);
void mds_client_start(struct mds_client *client);
/** To be called every second. */
void mds_client_tick(struct mds_client *client, int64_t now_ns);
/** Whether the stream is up. */
bool mds_client_is_ready(const struct mds_client *client);
/** Times that the stream was lost. */
uint64_t mds_client_failures(const struct mds_client *client);
/** Adds itself to a list for people, where publications_show() does not: without a relay. */
void mds_client_show(const struct mds_client *client, json_t *list);

#endif

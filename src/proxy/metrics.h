/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the proxy has counted, for metrics and log.
 */
#ifndef PADDOCK_PROXY_METRICS_H
#define PADDOCK_PROXY_METRICS_H

#include "base/log.h"
#include "catalog/catalog.h"
#include "geo/geo.h"
#include "metrics/metrics.h"
#include "proxy/worker.h"

/** The counts of a proxy's whole life at one moment. */
struct proxy_sum {
    struct port_sum players;  /**< received from players, sent to them */
    struct port_sum upstream; /**< received from servers, sent to them */
    uint64_t kernel_drops[2]; /**< of the ports for players, of upstream sockets */
    uint64_t copies, began, migrations, handovers, sessions, sockets, resting;
    uint64_t max_sessions; /**< at a time */
    uint64_t gap_ns[2];    /**< the mean of the workers' */
    uint64_t refused[PROXY_REFUSED], ended[SESSION_ENDS];
    uint64_t overtakings;
    uint64_t fast_packets[2], fast_sessions; /**< those that the driver carried, and carries */
    uint64_t fast_dropped;                   /**< players' datagrams over their chain's limit */
    bool is_fast;                            /**< whether it may carry any */
    struct places_sum places;
    const struct geo *geo; /**< NULL: nobody knows places */
    uint64_t lines_lost;   /**< of the log for ended sessions */
    const struct health_counters *health;
    struct histogram_sum duration_ns, processing_ns[2];
};

/** Why a datagram was dropped, as metrics have it; "" for one that was sent on. */
const char *proxy_outcome_reason(unsigned outcome);

/** Why a copy was refused, as metrics have it. */
const char *proxy_refusal_reason(enum proxy_refusal refusal);

/** Adds what workers have counted. From any thread. */
void proxy_sum_add(struct proxy_sum *sum, const struct proxy_counters *counters, unsigned workers);

/** Adds what the driver has carried and dropped, and which sessions it may carry where @p sum says
 * that it may any. From any thread. */
void proxy_sum_add_fast(struct proxy_sum *sum, const struct proxy_fast *fast);

/** Writes the families of the proxy. @param clusters that are in force; NULL: none. */
void proxy_metrics_write(struct metrics *out, const struct proxy_sum *sum,
                         const struct clusters *clusters);

/** Warns which limits to raise, where sessions were refused since the last warning.
 * @param[in,out] warned as warned about. @return whether there was anything to warn of. */
bool proxy_log_refused(struct log *log, const struct proxy_sum *sum,
                       uint64_t warned[PROXY_REFUSED]);

/** Logs the counts at the end. */
void proxy_log_stopped(struct log *log, const struct proxy_sum *sum);

#endif

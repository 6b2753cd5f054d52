/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the proxy has counted, for metrics and log.
 */
#ifndef PADDOCK_PROXY_METRICS_H
#define PADDOCK_PROXY_METRICS_H

#include "base/log.h"
#include "catalog/catalog.h"
#include "metrics/metrics.h"
#include "proxy/worker.h"

/** The counts of a proxy's whole life at one moment. */
struct proxy_sum {
    struct port_sum players;  /**< received from players, sent to them */
    struct port_sum upstream; /**< received from servers, sent to them */
    uint64_t kernel_drops;    /**< of the ports for players */
    uint64_t copies, began, sessions, sockets, resting;
    uint64_t refused[PROXY_REFUSED], ended[SESSION_ENDS];
    struct histogram_sum duration_ns, processing_ns[2];
};

/** Adds what workers have counted. From any thread. */
void proxy_sum_add(struct proxy_sum *sum, const struct proxy_counters *counters, unsigned workers);

/** Writes the families of the proxy. @param told what is known of servers. */
void proxy_metrics_write(struct metrics *out, const struct proxy_sum *sum);

/** Logs the counts at the end. */
void proxy_log_stopped(struct log *log, const struct proxy_sum *sum);

#endif

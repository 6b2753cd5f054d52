/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The metrics of the QCMP service.
 */
#ifndef PADDOCK_DAEMON_QCMP_METRICS_H
#define PADDOCK_DAEMON_QCMP_METRICS_H

#include "metrics/counters.h"
#include "metrics/metrics.h"

/** What the service counted. */
struct qcmp_figures {
    struct counters_sum counters; /**< of all workers, for the whole life of the service */
    unsigned active;              /**< how many QCMP services answer */
    uint64_t kernel_drops;        /**< datagrams that found no room in the receive buffer */
    uint64_t failed_port_changes;
};

/** Writes the families of the service. Which series there are depends on the program alone. */
void qcmp_metrics_write(struct metrics *out, const struct qcmp_figures *figures);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the responder has counted, for metrics and log.
 */
#ifndef PADDOCK_QCMP_METRICS_H
#define PADDOCK_QCMP_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "metrics/metrics.h"
#include "net/port.h"
#include "qcmp/outcome.h"

/** The counts of a responder's whole life at one moment, by sockets and in the driver. */
struct qcmp_sum {
    struct port_sum port;   /**< packets and bytes by enum outcome include the driver's */
    uint64_t answered;      /**< replies that the kernel took, and those of the driver */
    uint64_t answered_fast; /**< those of the driver alone */
    uint64_t kernel_drops;  /**< datagrams that found no room in a receive buffer */
    uint64_t failed_port_changes;
};

/** Writes the families of the responder. @param is_active whether it answers. */
void qcmp_metrics_write(struct metrics *out, bool is_active, const struct qcmp_sum *sum);

/** Logs the counts at the end. */
void qcmp_log_stopped(struct log *log, const struct qcmp_sum *sum);

#endif

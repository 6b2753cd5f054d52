/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the control plane counts. Labels that strangers choose take 1,000 values; the others are
 * `other`.
 */
#ifndef PADDOCK_XDS_METRICS_H
#define PADDOCK_XDS_METRICS_H

#include "metrics/metrics.h"

enum xds_family {
    XDS_ACTIVE,    /**< control_plane; a gauge */
    XDS_REQUESTS,  /**< client_id, type */
    XDS_RESPONSES, /**< control_plane, type */
    XDS_ACKS,      /**< control_plane, type */
    XDS_NACKS,     /**< control_plane, type */
    XDS_ERRORS,    /**< kind, reason */
    XDS_ACTIONS,   /**< kind, action */
    XDS_FAMILIES
};

struct xds_metrics;

/** NULL without memory; freed with xds_metrics_free(). */
struct xds_metrics *xds_metrics_new(void);
/** NULL is fine. */
void xds_metrics_free(struct xds_metrics *metrics);

/** Adds to a series, also -1 to a gauge. @param second NULL: the family has one label. */
void xds_metrics_add(struct xds_metrics *metrics, enum xds_family family, const char *first,
                     const char *second, int64_t n);

/** Writes all families. From any thread. */
void xds_metrics_write(struct xds_metrics *metrics, struct metrics *out);

#endif

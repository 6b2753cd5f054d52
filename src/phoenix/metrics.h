/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The metrics of Phoenix.
 */
#ifndef PADDOCK_PHOENIX_METRICS_H
#define PADDOCK_PHOENIX_METRICS_H

#include "metrics/metrics.h"
#include "phoenix/nodes.h"

/** Writes all families. @param others of enum prober_other: how many. */
void phoenix_metrics_write(struct metrics *out, const struct nodes *nodes, const uint64_t *others);

#endif

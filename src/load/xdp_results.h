/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the programs of a run with XDP have counted and measured.
 */
#ifndef PADDOCK_LOAD_XDP_RESULTS_H
#define PADDOCK_LOAD_XDP_RESULTS_H

#include "load/load.h"
#include "load/xdp_setup.h"

/**
 * Takes the counts of pings and datagrams, but for those of what was scheduled, and all times.
 * Allocates; without memory times are missing. Answers may still come.
 *
 * @param setup of a run whose sending is over.
 * @param[out] result its histograms empty.
 */
void xdp_results_take(const struct xdp_setup *setup, struct load_result *result);

#endif

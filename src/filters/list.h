/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The kinds of filters, each in a file of its name.
 */
#ifndef PADDOCK_FILTERS_LIST_H
#define PADDOCK_FILTERS_LIST_H

#include "filters/filter.h"

extern const struct filter_ops filter_capture;
extern const struct filter_ops filter_concatenate;
extern const struct filter_ops filter_debug;
extern const struct filter_ops filter_drop;
extern const struct filter_ops filter_firewall;
extern const struct filter_ops filter_hashed_token_router;
extern const struct filter_ops filter_load_balancer;
extern const struct filter_ops filter_local_rate_limit;
extern const struct filter_ops filter_match;
extern const struct filter_ops filter_pass;
extern const struct filter_ops filter_timestamp;
extern const struct filter_ops filter_token_router;

#endif

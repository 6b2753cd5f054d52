/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/list.h"

const struct filter_ops *const filter_list[] = {
    &filter_capture,
    &filter_concatenate,
    &filter_debug,
    &filter_drop,
    &filter_firewall,
    &filter_hashed_token_router,
    &filter_load_balancer,
    &filter_local_rate_limit,
    &filter_match,
    &filter_pass,
    &filter_timestamp,
    &filter_token_router,
    NULL,
};

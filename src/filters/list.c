/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/list.h"

const struct filter_ops *const filter_list[] = {
    &filter_capture,
    &filter_drop,
    &filter_hashed_token_router,
    &filter_load_balancer,
    &filter_pass,
    &filter_token_router,
    NULL,
};

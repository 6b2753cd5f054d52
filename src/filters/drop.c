/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/list.h"

static const char *const reasons[] = {"filter::drop::dropped", NULL};

static enum filter_result drop(const void *filter, void *mine, struct filter_call *call)
{
    (void)filter;
    (void)mine;
    call->reason = 0;
    return FILTER_DROP;
}

const struct filter_ops filter_drop = {
    .id = "quilkin.filters.drop.v1alpha1.Drop", .reasons = reasons, .read = drop, .write = drop};

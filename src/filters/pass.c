/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/list.h"

const struct filter_ops filter_pass = {.id = "quilkin.filters.pass.v1alpha1.Pass",
                                       .repeats = filter_always_repeats};

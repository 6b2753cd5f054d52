/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "load/load.h"

int load_run_xdp(const struct load_options *options, struct load_result *result,
                 struct error *error)
{
    (void)options;
    (void)result;
    return error_set(error, -EOPNOTSUPP, "this build has no XDP (cmake -DPADDOCK_XDP=ON says why)");
}

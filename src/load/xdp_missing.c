#include <errno.h>
#include <stdio.h>

#include "load/load.h"

int load_run_xdp(const struct load_options *options, struct load_result *result,
                 char error[LOAD_ERROR_BYTES])
{
    (void)options;
    (void)result;
    snprintf(error, LOAD_ERROR_BYTES, "this build has no XDP (cmake -DPADDOCK_XDP=ON says why)");
    return -EOPNOTSUPP;
}

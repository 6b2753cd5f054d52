/* SPDX-License-Identifier: Apache-2.0 */
/* The input is a script for a probe and its model: see support/probe_script.h. */
#include "support/probe_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    /* The model searches from end to end, so its pings are kept few. */
    (void)probe_script_run(data, bytes, 300);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The table of sessions against a naive model: each three bytes are an operation. See
 * support/sessions_model.h for what is checked after each.
 */
#include "support/sessions_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct model model;
    unsigned max = 1 + input_take(&input) % 64, per_address = input_take(&input) % 16;
    int64_t start_ns = input_take(&input) % 2 == 0 ? 1 : INT64_MAX / 2;

    model_init(&model, max, per_address, start_ns);
    while (input.size > 0)
        model_step(&model, &input);
    model_fini(&model);
    return 0;
}

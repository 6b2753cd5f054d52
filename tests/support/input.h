/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The bytes of a fuzzer, taken one by one.
 */
#ifndef PADDOCK_SUPPORT_INPUT_H
#define PADDOCK_SUPPORT_INPUT_H

#include <stddef.h>
#include <stdint.h>

/** What is left of them. */
struct input {
    const uint8_t *data;
    size_t size;
};

/** Takes the next; behind the last they are 0. */
static inline unsigned input_take(struct input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/sized.h"

#include <stdint.h>

/* Byte by byte, because this module is freestanding. */
void qcmp_sized_write(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
    const uint8_t *in = (const uint8_t *)from;
    uint8_t *out = (uint8_t *)to;

    for (size_t i = 0; i < to_bytes; i++)
        out[i] = i < from_bytes ? in[i] : 0;
}

bool qcmp_sized_read(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
    const uint8_t *in = (const uint8_t *)from;
    uint8_t unknown = 0;

    qcmp_sized_write(to, to_bytes, from, from_bytes);
    for (size_t i = to_bytes; i < from_bytes; i++)
        unknown |= in[i];
    return unknown == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Structs that may grow, across the border between a program and a library of different versions;
 * see qcmp/version.h. Byte by byte, because the codec's module is freestanding; compilers make
 * memcpy and memset of it. Not installed.
 */
#ifndef PADDOCK_WIRE_SIZED_H
#define PADDOCK_WIRE_SIZED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Copies the caller's struct: what it lacks is zero. @return false when it has a member that is
 * not known here and not zero; @p to is then of no use. */
static inline bool sized_read(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
    const uint8_t *in = (const uint8_t *)from;
    uint8_t *out = (uint8_t *)to;
    uint8_t unknown = 0;

    for (size_t i = 0; i < to_bytes; i++)
        out[i] = i < from_bytes ? in[i] : 0;
    for (size_t i = to_bytes; i < from_bytes; i++)
        unknown |= in[i];
    return unknown == 0;
}

/** Fills the caller's struct: what is not known here is zero, and nothing is written behind it. */
static inline void sized_write(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
    const uint8_t *in = (const uint8_t *)from;
    uint8_t *out = (uint8_t *)to;

    for (size_t i = 0; i < to_bytes; i++)
        out[i] = i < from_bytes ? in[i] : 0;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the codec and the arithmetic share; not installed.
 */
#ifndef PADDOCK_WIRE_BITS_H
#define PADDOCK_WIRE_BITS_H

#include <stdint.h>

/** The signed number that has these bits in two's complement. */
static inline int64_t bits_to_signed(uint64_t bits)
{
    /* A plain cast is implementation-defined above INT64_MAX; compilers make this one into it. */
    return bits <= INT64_MAX ? (int64_t)bits : -(int64_t)~bits - 1;
}

/** Reads 8 bytes in wire order. One expression, which compilers make into one load. */
static inline uint64_t bits_load64(const uint8_t *in)
{
    return (uint64_t)in[0] << 56 | (uint64_t)in[1] << 48 | (uint64_t)in[2] << 40 |
           (uint64_t)in[3] << 32 | (uint64_t)in[4] << 24 | (uint64_t)in[5] << 16 |
           (uint64_t)in[6] << 8 | (uint64_t)in[7];
}

/** Writes 8 bytes in wire order. */
static inline void bits_store64(uint64_t bits, uint8_t *out)
{
    out[0] = (uint8_t)(bits >> 56);
    out[1] = (uint8_t)(bits >> 48);
    out[2] = (uint8_t)(bits >> 40);
    out[3] = (uint8_t)(bits >> 32);
    out[4] = (uint8_t)(bits >> 24);
    out[5] = (uint8_t)(bits >> 16);
    out[6] = (uint8_t)(bits >> 8);
    out[7] = (uint8_t)bits;
}

#endif

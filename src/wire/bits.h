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

#endif

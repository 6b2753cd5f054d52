/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Repeatable random numbers for tests (splitmix64).
 */
#ifndef PADDOCK_SUPPORT_RANDOM_H
#define PADDOCK_SUPPORT_RANDOM_H

#include <stdint.h>

/** The next number; @p state is any seed at first. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

#endif

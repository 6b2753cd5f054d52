/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Which IPv4 addresses one host can have; by itself, because the program that runs in the kernel
 * asks it as well.
 */
#ifndef PADDOCK_NET_UNICAST_H
#define PADDOCK_NET_UNICAST_H

#include <stdbool.h>
#include <stdint.h>

/** Whether one host can have this address (in host order): not in 0.0.0.0/8, no multicast, not the
 * limited broadcast. */
static inline bool unicast_is_ipv4(uint32_t address)
{
    uint32_t first = address >> 24;
    return first - 1 < 0xdf || (first >= 0xf0 && address != UINT32_MAX);
}

#endif

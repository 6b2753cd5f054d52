/** @file
 * Which IPv4 addresses one host can have; by itself, because the program that runs in the kernel
 * asks it as well.
 */
#ifndef PADDOCK_BASE_UNICAST_H
#define PADDOCK_BASE_UNICAST_H

#include <stdbool.h>
#include <stdint.h>

/** Whether one host can have this address (in host order): not in 0.0.0.0/8, no multicast, not the
 * limited broadcast. */
static inline bool unicast_is_ipv4(uint32_t address)
{
    return address >> 24 != 0 && address >> 28 != 0xe && address != UINT32_MAX;
}

#endif

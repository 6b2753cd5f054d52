/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the kernel tells of a network interface, as far as XDP has to know it.
 */
#ifndef PADDOCK_FASTPATH_DEVICE_H
#define PADDOCK_FASTPATH_DEVICE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A network interface. */
struct fastpath_device {
    char name[IF_NAMESIZE];
    uint64_t mac;      /**< as fastpath_mac() */
    uint32_t mtu;      /**< bytes of the longest IP packet that it sends */
    bool has_ethernet; /**< its frames have an Ethernet header */
    bool is_loopback;
    bool is_up; /**< somebody has set it up; whether anything is at its other end does not matter */
    bool is_veth;     /**< one of a pair, as containers have */
    bool is_hardware; /**< there is a device on a bus behind it, also one of a virtual machine */
};

/**
 * Asks for an interface.
 * @param[out] device untouched on failure.
 * @return 0 or a negative errno value; -ENODEV: there is none of this index.
 */
int fastpath_device_read(unsigned interface, struct fastpath_device *device);

/**
 * Frames that XDP programs sent and the interface lost, since it is there, as its driver counts
 * them (`ethtool -S`). Drivers differ: one may not count them at all, which is 0.
 * Allocates for the time of the call.
 * @param[out] errors untouched on failure.
 * @return 0 or a negative errno value: they cannot be read now.
 */
int fastpath_device_transmit_errors(unsigned interface, uint64_t *errors);

/** Whether a driver's counter of this name is about frames that an XDP program sent where they came
 * from and that were lost. Counters of what came from other interfaces are not: every program of
 * the host may send there. virtio_net has one counter for both. */
bool fastpath_device_is_transmit_error(const char *counter);

#endif

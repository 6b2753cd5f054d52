/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A datagram in a worker.
 */
#ifndef PADDOCK_NET_PACKET_H
#define PADDOCK_NET_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "net/endpoint.h"

/** Bytes that may be added in front of a datagram, and behind it, in its buffer. */
#define PACKET_ROOM 256

/** Further bytes in front of that, for what goes before a datagram when it is sent on. */
#define PACKET_HEAD 64

/** The longest payload of UDP, which is that over IPv6. */
#define PACKET_MAX_BYTES 65527

/** Datagrams that one call receives at most. */
#define PACKET_BATCH 32

/** A received datagram. Its bytes are the batch's: they may be changed, and stay until the handler
 * of the batch has returned. */
struct packet {
    /** #PACKET_HEAD and #PACKET_ROOM bytes are writable before it, the latter behind data + bytes
     * as well. */
    uint8_t *data;
    uint32_t bytes; /**< the payload's true size, also where fewer bytes were received */
    bool is_cut;    /**< longer than the port's limit: the first bytes alone are there */
    struct endpoint peer;
    /** Where it was sent to. The limited broadcast address stands for every broadcast address of
     * this host, the loopback address for one that the system does not tell. The scope is the
     * interface's where an answer from this address needs one. */
    struct endpoint local;
    uint8_t hops;        /**< the TTL or hop limit that was left; 0: the port does not tell */
    uint8_t traffic;     /**< DSCP and ECN, as the byte in the header; 0: the port does not tell */
    int64_t received_ns; /**< wall clock, Unix nanoseconds: the kernel's stamp, or user space's
                            where there is none; 0 of an unstamped port */
};

#endif

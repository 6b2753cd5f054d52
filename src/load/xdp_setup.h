/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a run with XDP stands on: the ports, the programs in the kernel and what they share with us,
 * and the frame that is sent.
 */
#ifndef PADDOCK_LOAD_XDP_SETUP_H
#define PADDOCK_LOAD_XDP_SETUP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "load/load.h"
#include "load/xdp_shared.h"

struct load_xdp_bpf;

/** The programs, ready to run. Zeroed but for what the caller sets. */
struct xdp_setup {
    const struct load_options *options; /**< the caller's, until it is closed */
    struct error *error;                /**< the caller's, set by what fails */
    int link;         /**< the attachment of the receiving program; set to -1 by the caller */
    unsigned signals; /**< that told to stop, so far */
    int *flows;       /**< sockets that hold the ports */
    struct sockaddr_storage own;
    unsigned interface;
    struct load_xdp_bpf *bpf;    /**< the skeleton: programs, maps, and memory that they share */
    struct load_xdp_slot *slots; /**< slot_count of them, a power of two; written by both sides */
    uint32_t slot_count;
    uint8_t frame[LOAD_XDP_FRAME_BYTES]; /**< frame_bytes of it are what the programs fill in */
    size_t frame_bytes;
};

/**
 * Opens the sockets, loads and attaches the programs, and makes the frame. Where the options do not
 * give the target's Ethernet address, it sends pings over a socket to learn it, which takes up to a
 * second; signals end that.
 *
 * @return 0, or a negative errno value with the error set; xdp_setup_close() follows either way.
 */
int xdp_setup_open(struct xdp_setup *setup);

/** Detaches and frees what is there. */
void xdp_setup_close(struct xdp_setup *setup);

/** Waits for so long, or until a signal tells to stop, which is counted. */
void xdp_setup_wait(struct xdp_setup *setup, int64_t ns);

#endif

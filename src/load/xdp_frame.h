/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The frame of a ping, for a program that fills in what differs from ping to ping. Pure.
 */
#ifndef PADDOCK_LOAD_XDP_FRAME_H
#define PADDOCK_LOAD_XDP_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "load/xdp_shared.h"

/** From whom to whom. */
struct xdp_frame_ends {
    uint8_t own_mac[6];
    uint8_t target_mac[6];
    struct sockaddr_storage own;    /**< its port does not count */
    struct sockaddr_storage target; /**< its family is that of own, AF_INET or AF_INET6 */
};

/**
 * Writes a ping's frame with source port, UDP checksum, nonce and timestamp 0.
 *
 * @param[out] frame #LOAD_XDP_FRAME_BYTES; zero after the frame.
 * @param[out] sum of the 16-bit words that the UDP checksum covers, in host order, not folded;
 * below 2^22.
 * @return its size, #LOAD_XDP_IPV4_BYTES or #LOAD_XDP_IPV6_BYTES.
 */
size_t xdp_frame_write(const struct xdp_frame_ends *ends, uint8_t *frame, uint32_t *sum);

#endif

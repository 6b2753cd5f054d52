/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Frames for tests: made from fields, and read back, without the code that is tested.
 */
#ifndef PADDOCK_TESTS_XDP_FRAME_H
#define PADDOCK_TESTS_XDP_FRAME_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX_BYTES 1024
#define FRAME_MAX_TAGS 3

/** Bytes of a frame. */
struct frame {
    uint8_t bytes[FRAME_MAX_BYTES];
    size_t length;
};

/** The fields of a UDP datagram in a frame. */
struct fields {
    uint8_t to_mac[6], from_mac[6];
    uint16_t tag_types[FRAME_MAX_TAGS]; /**< 0x8100 or 0x88a8 */
    uint16_t tags[FRAME_MAX_TAGS];
    size_t tags_count;
    struct in6_addr source, destination; /**< both IPv4 as v4-mapped, or both IPv6 */
    uint16_t source_port, port;
    uint8_t data[128];
    size_t data_bytes;
    size_t padding;    /**< bytes behind the datagram */
    bool may_be_cut;   /**< by routers: an IPv4 packet without DF */
    bool is_ipv6;      /**< set by frame_read() */
    uint16_t checksum; /**< the UDP checksum, also as it stands in the frame */
};

/** Makes a frame, with all checksums. */
struct frame frame_make(const struct fields *fields);

/** The sum over bytes of the Internet checksum: 0xffff over what includes a right one. */
uint16_t frame_sum(const uint8_t *bytes, size_t length, uint32_t before);

/** Writes the header checksum of the IPv4 header of 20 bytes at @p ip anew. */
void frame_fix_ipv4(uint8_t *ip);

/**
 * Reads a frame.
 * @param[out] fields set on success.
 * @return whether it is a UDP datagram over IPv4 or IPv6, without options, fragments and headers in
 * between, with right lengths, in at most two tags, and with a right header checksum.
 */
bool frame_read(const struct frame *frame, struct fields *fields);

/** What stands for the UDP checksum where the sender left it to a network interface. */
uint16_t frame_partial_checksum(const struct fields *fields);

/** Whether the UDP checksum of a frame that frame_read() has read is there and right. */
bool frame_udp_checksum_is_right(const struct frame *frame, const struct fields *fields);

#endif

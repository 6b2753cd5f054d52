/** @file
 * The one question that a responder answers, and its answer, without the way over struct
 * qcmp_packet: what a valid ping looks like is eight fixed bytes and a length. Agrees with
 * qcmp_packet_decode() and qcmp_packet_encode(), which tests hold it against.
 */
#ifndef QCMP_WIRE_PING_H
#define QCMP_WIRE_PING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qcmp/wire.h>

#include "wire/bits.h"

/** The header of a ping and of a pong: magic, version, command and length as one number. */
#define WIRE_PING_HEADER UINT64_C(0x514c4b4e00000009)
#define WIRE_PONG_HEADER UINT64_C(0x514c4b4e00010019)

/** Whether a datagram is a valid ping.
 * @param bytes its true size; as many are readable, or QCMP_MAX_BYTES of them. */
static inline bool wire_is_ping(const uint8_t *data, size_t bytes)
{
    return bytes == QCMP_PING_BYTES && bits_load64(data) == WIRE_PING_HEADER;
}

/**
 * Makes the pong for a valid ping, with a transmit timestamp of 0.
 * @param start_ns when the ping was received.
 * @param[out] pong gets QCMP_PONG_BYTES bytes; may not overlap the ping.
 */
static inline void wire_answer(const uint8_t *restrict ping, int64_t start_ns,
                               uint8_t *restrict pong)
{
    bits_store64(WIRE_PONG_HEADER, pong);
    pong[QCMP_HEADER_BYTES] = ping[QCMP_HEADER_BYTES];
    bits_store64(bits_load64(ping + QCMP_HEADER_BYTES + 1), pong + QCMP_HEADER_BYTES + 1);
    bits_store64((uint64_t)start_ns, pong + QCMP_PING_BYTES);
    bits_store64(0, pong + QCMP_TRANSMIT_OFFSET);
}

#endif

/** @file
 * The one question that a responder answers, and its answer, without the way over struct
 * qcmp_packet: what a valid ping looks like is eight fixed bytes and a length. Agrees with
 * qcmp_packet_decode() and qcmp_packet_encode(), which tests hold it against.
 */
#ifndef PADDOCK_RESPONDER_PING_H
#define PADDOCK_RESPONDER_PING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <qcmp/wire.h>

#include "wire/bits.h"
#include "wire/layout.h"

/** Whether a datagram is a valid ping.
 * @param bytes its true size; as many are readable, or QCMP_MAX_BYTES of them. */
static inline bool ping_is_valid(const uint8_t *data, size_t bytes)
{
    return __builtin_expect(bytes == QCMP_PING_BYTES &&
                                bits_load64(data) == LAYOUT_HEADER(LAYOUT_PING, LAYOUT_PING_LENGTH),
                            true);
}

/* By way of an array that nothing else can point to, so that the compiler makes it one store: of
 * eight single ones, each could change what the next one is made of. */
static inline void ping_store64(uint64_t bits, uint8_t *out)
{
    uint8_t bytes[8];
    bits_store64(bits, bytes);
    memcpy(out, bytes, sizeof bytes);
}

/**
 * Makes the pong for a valid ping, with a transmit timestamp of 0.
 * @param start_ns when the ping was received.
 * @param[out] pong gets QCMP_PONG_BYTES bytes; may not overlap the ping.
 */
static inline void ping_answer(const uint8_t *restrict ping, int64_t start_ns,
                               uint8_t *restrict pong)
{
    ping_store64(LAYOUT_HEADER(LAYOUT_PONG, LAYOUT_PONG_LENGTH), pong);
    memcpy(pong + LAYOUT_NONCE_OFFSET, ping + LAYOUT_NONCE_OFFSET,
           QCMP_PING_BYTES - LAYOUT_NONCE_OFFSET); /* and the client's timestamp */
    ping_store64((uint64_t)start_ns, pong + LAYOUT_START_OFFSET);
    ping_store64(0, pong + QCMP_TRANSMIT_OFFSET);
}

#endif

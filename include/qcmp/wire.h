/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * QCMP packets: decode, encode. Pure functions over the caller's bytes: no allocation, no I/O, no
 * state; this part of the library builds freestanding. Source: docs/protocol.md, sections 1 and 2.
 */
#ifndef QCMP_WIRE_H
#define QCMP_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include <qcmp/error.h>
#include <qcmp/export.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QCMP_PORT 7600 /**< default UDP port */
#define QCMP_VERSION_ON_WIRE 0
#define QCMP_HEADER_BYTES 8 /**< magic, version, command, length */
#define QCMP_PING_BYTES 17
#define QCMP_PONG_BYTES 33
#define QCMP_MAX_BYTES QCMP_PONG_BYTES
#define QCMP_TRANSMIT_OFFSET 25 /**< where a pong carries its server transmit timestamp */

/** What a datagram is. The first three are results of qcmp_packet_decode(). */
enum qcmp_kind {
    QCMP_FOREIGN = 0, /**< not QCMP, which is no error */
    QCMP_PING = 1,
    QCMP_PONG = 2
};

/** A packet. Timestamps are Unix nanoseconds, UTC; every value is allowed. */
struct qcmp_packet {
    enum qcmp_kind kind;        /**< QCMP_PING or QCMP_PONG */
    uint8_t nonce;              /**< chosen by the client, echoed by the responder */
    int64_t client_ns;          /**< when the client sent the ping */
    int64_t server_start_ns;    /**< when the responder received the ping; 0 in a ping */
    int64_t server_transmit_ns; /**< when the responder sent the pong; 0 in a ping */
};

/** Why a datagram with the right magic is no packet: which rule, and with which values. */
struct qcmp_wire_fault {
    int error;       /**< QCMP_ERROR_UNKNOWN_VERSION, _INVALID_COMMAND or _LENGTH_MISMATCH */
    uint8_t value;   /**< the version or the command; 0 for a length mismatch */
    uint16_t stated; /**< the length field; 0 where the datagram ends before it, or another error */
    uint16_t expected; /**< the length this command has (9 or 25); 0 in a datagram of less than 17
                          bytes, whose command is not looked at, and for other errors */
    size_t available;  /**< bytes present after the length field; 0 for other errors */
};

/**
 * Decodes one datagram.
 *
 * @param data  the datagram; the first min(@p bytes, QCMP_MAX_BYTES) bytes are readable. May be
 * NULL when @p bytes is 0.
 * @param bytes the true size of the datagram, also where fewer bytes of it were kept (MSG_TRUNC).
 * @param[out] packet set on QCMP_PING and QCMP_PONG, otherwise untouched.
 * @param[out] fault  set on an error, otherwise untouched; may be NULL.
 * @return QCMP_PING, QCMP_PONG, QCMP_FOREIGN, or a negative error: QCMP_ERROR_UNKNOWN_VERSION,
 *         QCMP_ERROR_INVALID_COMMAND, QCMP_ERROR_LENGTH_MISMATCH. Checks are made in the order of
 * docs/protocol.md, section 2.
 */
QCMP_EXPORT int qcmp_packet_decode(const void *data, size_t bytes, struct qcmp_packet *packet,
                                   struct qcmp_wire_fault *fault);

/**
 * Encodes one packet.
 *
 * @param packet what to encode; the server timestamps of a ping are ignored.
 * @param[out] buffer   gets QCMP_PING_BYTES or QCMP_PONG_BYTES bytes; untouched on failure.
 * @param capacity      bytes that @p buffer holds.
 * @return the number of bytes written, or QCMP_ERROR_BUFFER_TOO_SMALL, or
 * QCMP_ERROR_INVALID_ARGUMENT for a kind that is neither ping nor pong.
 */
QCMP_EXPORT int qcmp_packet_encode(const struct qcmp_packet *packet, void *buffer, size_t capacity);

/** Writes a timestamp in wire order, 8 bytes, such as the transmit timestamp of a pong that is
 * already encoded. */
QCMP_EXPORT void qcmp_timestamp_encode(int64_t timestamp_ns, void *buffer);

/**
 * Formats a fault as one line, such as "length mismatch: stated 9, available 10".
 *
 * @param[out] text gets at most @p capacity bytes, always terminated when @p capacity > 0.
 * @return the length of the whole text without its terminator, as snprintf does.
 */
QCMP_EXPORT size_t qcmp_wire_fault_format(const struct qcmp_wire_fault *fault, char *text,
                                          size_t capacity);

#ifdef __cplusplus
}
#endif
#endif

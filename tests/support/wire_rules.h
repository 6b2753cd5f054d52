/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The rules of docs/protocol.md, sections 1 and 2, stated once more, literally and slowly: what the
 * codec is held against.
 */
#ifndef PADDOCK_SUPPORT_WIRE_RULES_H
#define PADDOCK_SUPPORT_WIRE_RULES_H

#include <qcmp/wire.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/** The first @p count bytes, big-endian. */
static inline uint64_t rules_number(const uint8_t *bytes, size_t count)
{
    uint64_t number = 0;

    for (size_t i = 0; i < count; i++)
        number = number * 256 + bytes[i];
    return number;
}

static inline int rules_length_fault(const uint8_t *bytes, size_t size, uint16_t expected,
                                     struct qcmp_wire_fault *fault)
{
    memset(fault, 0, sizeof *fault);
    fault->error = QCMP_ERROR_LENGTH_MISMATCH;
    fault->expected = expected;
    if (size >= 8) {
        fault->stated = (uint16_t)rules_number(bytes + 6, 2);
        fault->available = size - 8;
    }
    return fault->error;
}

static inline int rules_value_fault(int error, uint8_t value, struct qcmp_wire_fault *fault)
{
    memset(fault, 0, sizeof *fault);
    fault->error = error;
    fault->value = value;
    return error;
}

/** What qcmp_packet_decode() has to return for a datagram, with the fault where that is an error.
 */
static inline int rules_judge(const uint8_t *bytes, size_t size, struct qcmp_wire_fault *fault)
{
    static const size_t totals[] = {17, 33};

    if (size < 4 || memcmp(bytes, "QLKN", 4) != 0)
        return QCMP_FOREIGN;
    if (size < 17)
        return rules_length_fault(bytes, size, 0, fault);
    if (bytes[4] != 0)
        return rules_value_fault(QCMP_ERROR_UNKNOWN_VERSION, bytes[4], fault);
    if (bytes[5] != 0 && bytes[5] != 1)
        return rules_value_fault(QCMP_ERROR_INVALID_COMMAND, bytes[5], fault);

    const size_t total = totals[bytes[5]];
    const size_t stated = (size_t)rules_number(bytes + 6, 2);

    if (size != total || stated != total - 8 || size - 8 != stated)
        return rules_length_fault(bytes, size, (uint16_t)(total - 8), fault);
    return bytes[5] == 0 ? QCMP_PING : QCMP_PONG;
}

static inline int64_t rules_timestamp(const uint8_t *bytes)
{
    const uint64_t number = rules_number(bytes, 8);
    int64_t timestamp;

    memcpy(&timestamp, &number, sizeof timestamp);
    return timestamp;
}

/** The packet in a datagram that rules_judge() accepts. */
static inline struct qcmp_packet rules_packet(const uint8_t *bytes)
{
    struct qcmp_packet packet = {.kind = QCMP_PING, .nonce = bytes[8]};

    packet.client_ns = rules_timestamp(bytes + 9);
    if (bytes[5] == 1) {
        packet.kind = QCMP_PONG;
        packet.server_start_ns = rules_timestamp(bytes + 17);
        packet.server_transmit_ns = rules_timestamp(bytes + 25);
    }
    return packet;
}

static inline bool rules_same_packet(const struct qcmp_packet *left,
                                     const struct qcmp_packet *right)
{
    return left->kind == right->kind && left->nonce == right->nonce &&
           left->client_ns == right->client_ns && left->server_start_ns == right->server_start_ns &&
           left->server_transmit_ns == right->server_transmit_ns;
}

static inline bool rules_same_fault(const struct qcmp_wire_fault *left,
                                    const struct qcmp_wire_fault *right)
{
    return left->error == right->error && left->value == right->value &&
           left->stated == right->stated && left->expected == right->expected &&
           left->available == right->available;
}

/** Whether qcmp_packet_decode() says of a datagram what the rules say, and leaves alone what it
 * should. The datagram has @p size bytes, of which @p data holds the first QCMP_MAX_BYTES at most;
 * the codec gets exactly those, so that a sanitizer sees it read beyond. */
static inline bool rules_hold(const uint8_t *data, size_t size)
{
    const size_t kept = size < QCMP_MAX_BYTES ? size : QCMP_MAX_BYTES;
    uint8_t *copy = kept > 0 ? malloc(kept) : NULL;
    struct qcmp_wire_fault expected_fault, fault, old_fault;
    struct qcmp_packet packet, old_packet;

    if (kept > 0 && copy == NULL)
        return false;
    if (kept > 0)
        memcpy(copy, data, kept);
    memset(&old_fault, 0xa5, sizeof old_fault);
    memset(&old_packet, 0xa5, sizeof old_packet);
    fault = expected_fault = old_fault;
    packet = old_packet;

    const int expected = rules_judge(data, size, &expected_fault);
    const int result = qcmp_packet_decode(copy, size, &packet, &fault);
    const struct qcmp_packet expected_packet = expected > 0 ? rules_packet(data) : old_packet;

    free(copy);
    return result == expected && rules_same_packet(&packet, &expected_packet) &&
           rules_same_fault(&fault, &expected_fault) &&
           qcmp_packet_decode(data, size, &packet, NULL) == expected;
}

#endif

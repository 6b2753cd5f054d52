/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A responder that is asked by one datagram.
 */
#ifndef PADDOCK_SUPPORT_ANSWER_ONE_H
#define PADDOCK_SUPPORT_ANSWER_ONE_H

#include <string.h>

#include <qcmp/wire.h>

#include "qcmp/responder.h"
#include "support/check.h"

/** A datagram as tests write it down. */
struct asked {
    const uint8_t *data;
    size_t bytes;
    struct in6_addr source, destination;
    in_port_t source_port;
    int64_t received_ns;
};

/** Asks, and checks that bytes are changed only where an answer stands.
 * @param[out] reply gets the QCMP_PONG_BYTES bytes of an answer; otherwise untouched.
 * @return the outcome. */
static inline enum outcome answer_one(const struct asked *asked,
                                      const struct responder_rules *rules,
                                      struct responder_turn *turn, uint8_t *reply)
{
    uint8_t data[RESPONDER_BYTES + 64], before[sizeof data];
    size_t kept = asked->bytes < RESPONDER_BYTES ? asked->bytes : RESPONDER_BYTES;
    struct packet packet = {.data = data,
                            .bytes = (uint32_t)asked->bytes,
                            .peer = {.address = asked->source, .port = asked->source_port},
                            .local = {.address = asked->destination},
                            .received_ns = asked->received_ns};
    memset(data, 0xaa, sizeof data);
    if (kept > 0)
        memcpy(data, asked->data, kept);
    memcpy(before, data, sizeof data);
    enum outcome outcome = responder_answer(&packet, rules, turn);
    size_t written = outcome_kind(outcome) == OUTCOME_KIND_VALID ? QCMP_PONG_BYTES : 0;
    CHECK(packet.bytes == asked->bytes && packet.data == data);
    CHECK(memcmp(data + written, before + written, sizeof data - written) == 0);
    memcpy(reply, data, written);
    return outcome;
}

#endif

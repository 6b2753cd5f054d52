/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a QCMP responder answers: a decision about each datagram. It knows no socket and no clock,
 * and keeps no state but the guard's table, which the caller provides. Source: docs/protocol.md,
 * section 4.
 */
#ifndef PADDOCK_QCMP_RESPONDER_H
#define PADDOCK_QCMP_RESPONDER_H

#include <stdint.h>

#include "guard/access.h"
#include "guard/guard.h"
#include "net/packet.h"
#include "qcmp/outcome.h"

/** Bytes of a datagram that it looks at. */
#define RESPONDER_BYTES 64

/** Whom to answer. Read by all workers at once; it does not change. */
struct responder_rules {
    const struct access *access;           /**< NULL: everybody may ask */
    const struct guard_parameters *limits; /**< NULL: as often as they like */
    struct guard_set *table;               /**< for the limits: guard_table_new() */
};

/** What one worker knows of its own. */
struct responder_turn {
    int64_t oldest_ns; /**< wall clock: what was received before is too old to be answered */
    uint64_t now_ns;   /**< monotonic; set by the caller, if there are limits */
    bool is_doubtful; /**< of the last answer: its source has not been seen for long, or has had its
                         share; false without limits */
    uint64_t random; /**< any seed that strangers do not know, at first; changed by the responder */
};

/**
 * Decides what becomes of a datagram, and makes the pong of a ping that is to be answered. A valid
 * ping that is not too old, from a unicast address and port that may ask, to a unicast address,
 * within the limits, is answered; nothing else is, and never a pong. What costs least is looked at
 * first, and only valid pings use up what a source may have: a sender of garbage in somebody's name
 * does not silence that source.
 *
 * @param[in,out] packet its first #RESPONDER_BYTES bytes are there. Where the outcome is one of
 * OUTCOME_KIND_VALID its data become QCMP_PONG_BYTES bytes of a pong, with a transmit timestamp of
 * 0 at QCMP_TRANSMIT_OFFSET; otherwise they are untouched. `bytes` is never changed.
 * @param turn of the calling worker.
 */
enum outcome responder_answer(struct packet *packet, const struct responder_rules *rules,
                              struct responder_turn *turn);

#endif

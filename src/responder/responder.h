/** @file
 * What a QCMP responder answers: a decision about each datagram. It knows no socket and no clock,
 * and keeps no state but the guard's table, which the caller provides. Source: docs/protocol.md,
 * section 4.
 */
#ifndef PADDOCK_RESPONDER_RESPONDER_H
#define PADDOCK_RESPONDER_RESPONDER_H

#include <stdint.h>

#include "base/datagram.h"
#include "guard/access.h"
#include "guard/guard.h"
#include "qcmp/outcome.h"

/** Whom to answer. Read by all workers at once; whoever replaces it keeps it until none uses it. */
struct responder_rules {
    const struct access *access;           /**< NULL: everybody may ask */
    const struct guard_parameters *limits; /**< NULL: as often as they like */
    struct guard_set *table;               /**< of the limits: guard_table_new() */
};

/** What one worker knows of its own. */
struct responder_turn {
    int64_t oldest_ns; /**< wall clock: what was received before is too old to be answered */
    uint64_t now_ns;   /**< monotonic; set by the caller, if there are limits */
    uint64_t random; /**< any seed that strangers do not know, at first; changed by the responder */
};

/**
 * Decides what becomes of each datagram of a batch: gives it exactly one outcome, and the reply to
 * go with it, if there is one. A valid ping that is not too old, from a unicast address and
 * port that may ask, to a unicast address, within the limits, is answered; nothing else is, and
 * never a pong. What costs least is looked at first, and only valid pings use up what a source may
 * have: whoever sends garbage in somebody's name does not silence him.
 *
 * @param[in,out] batch gets verdicts, and the QCMP_PONG_BYTES bytes of a reply, with a transmit
 * timestamp of 0 at QCMP_TRANSMIT_OFFSET, where the outcome is one of OUTCOME_KIND_VALID; other
 * replies are untouched.
 * @param turn of the calling worker; not NULL.
 */
void responder_answer(const struct batch *batch, const struct responder_rules *rules,
                      struct responder_turn *turn);

#endif

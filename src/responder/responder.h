/** @file
 * What a QCMP responder answers: a pure decision about one datagram. It knows no socket and keeps
 * no state. Source: docs/protocol.md, section 4.
 */
#ifndef PADDOCK_RESPONDER_RESPONDER_H
#define PADDOCK_RESPONDER_RESPONDER_H

#include <stdint.h>

#include "base/datagram.h"
#include "metrics/outcome.h"

/**
 * Decides what becomes of a datagram. A valid ping from a unicast address and port, to a unicast
 * address, is answered; nothing else is, and never a pong.
 *
 * @param[out] pong gets the QCMP_PONG_BYTES bytes of the answer, with a transmit timestamp of 0 at
 * QCMP_TRANSMIT_OFFSET, if the outcome is OUTCOME_VALID; otherwise untouched.
 * @return exactly one outcome.
 */
enum outcome responder_answer(const struct datagram *question, uint8_t *pong);

#endif

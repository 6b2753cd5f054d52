/** @file
 * A responder that is asked by one datagram alone.
 */
#ifndef PADDOCK_SUPPORT_ANSWER_ONE_H
#define PADDOCK_SUPPORT_ANSWER_ONE_H

#include <string.h>

#include "qcmp/responder.h"
#include "support/check.h"

/** Decides by a batch of one, whose verdict has to agree with itself and whose reply may be changed
 * only where there is one.
 * @param[out] reply gets the bytes of a reply; otherwise untouched.
 * @return the outcome. */
static inline enum outcome answer_one(const struct datagram *question,
                                      const struct responder_rules *rules,
                                      struct responder_turn *turn, uint8_t *reply)
{
    struct exchange exchange = {.question = *question}, untouched;
    memset(exchange.reply, 0xaa, sizeof exchange.reply);
    untouched = exchange;
    responder_answer(&(struct batch){.exchanges = &exchange, .count = 1}, rules, turn);
    enum outcome outcome = exchange.verdict.outcome;
    bool is_answered = outcome_kind(outcome) == OUTCOME_KIND_VALID;
    size_t bytes = exchange.verdict.reply_bytes;
    CHECK(bytes == (is_answered ? QCMP_PONG_BYTES : 0));
    CHECK(!is_answered || exchange.verdict.stamp_offset == QCMP_TRANSMIT_OFFSET);
    CHECK(memcmp(exchange.reply + bytes, untouched.reply + bytes, sizeof untouched.reply - bytes) ==
          0);
    memcpy(reply, exchange.reply, bytes);
    return outcome;
}

#endif

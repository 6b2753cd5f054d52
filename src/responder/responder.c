#include "responder/responder.h"

#include <string.h>

#include <qcmp/wire.h>

#include "net/address.h"
#include "responder/ping.h"

static enum outcome fault_outcome(int error)
{
    if (error == QCMP_ERROR_UNKNOWN_VERSION)
        return OUTCOME_UNKNOWN_VERSION;
    if (error == QCMP_ERROR_INVALID_COMMAND)
        return OUTCOME_INVALID_COMMAND;
    return OUTCOME_LENGTH_MISMATCH;
}

/* What is wrong with the way a datagram came, or OUTCOME_VALID. An answer to these would reach
 * nobody, or too many. */
static inline enum outcome check_addresses(const struct datagram *question)
{
    if (question->source_port == 0)
        return OUTCOME_SOURCE_PORT_ZERO;
    if (!address_is_unicast(question->source))
        return OUTCOME_SOURCE_NOT_UNICAST;
    if (!address_is_unicast(question->destination))
        return OUTCOME_DESTINATION_NOT_UNICAST;
    return OUTCOME_VALID;
}

/* What a datagram that is no valid ping is. Not inline: whoever answers valid ones stays short. */
__attribute__((noinline)) static enum outcome classify(const struct datagram *question)
{
    struct qcmp_packet packet;
    int kind = qcmp_packet_decode(question->data, question->bytes, &packet, NULL);
    if (kind < 0)
        return fault_outcome(kind);
    return kind == QCMP_FOREIGN ? OUTCOME_FOREIGN : OUTCOME_UNSUPPORTED;
}

/* An xorshift of 64 bits, of which the upper half is used. */
static uint32_t next_random(uint64_t *state)
{
    uint64_t x = *state != 0 ? *state : 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return (uint32_t)(x >> 32);
}

/* A valid ping is OUTCOME_VALID or OUTCOME_LEAKED, or why it is not answered. */
static enum outcome check_limits(const struct datagram *question,
                                 const struct responder_rules *rules, struct responder_turn *turn)
{
    struct guard_address source = guard_address(question->source);
    switch (guard_decide(rules->limits, &source, turn->now_ns, guard_table_find, rules->table)) {
    case GUARD_ANSWER:
        return OUTCOME_VALID;
    case GUARD_CAPPED:
        return OUTCOME_PROCESS_CAP;
    case GUARD_LIMITED:
        break;
    }
    return guard_leaks(rules->limits, next_random(&turn->random), turn->now_ns, guard_table_find,
                       rules->table)
               ? OUTCOME_LEAKED
               : OUTCOME_RATE_LIMITED;
}

/* Answers a valid ping; tells what anything else is. */
static inline enum outcome answer(const struct datagram *question, uint8_t *pong)
{
    if (!ping_is_valid(question->data, question->bytes))
        return classify(question);
    ping_answer(question->data, question->received_ns, pong);
    return OUTCOME_VALID;
}

/* Only a valid ping costs its source anything. Not inline: registers would be saved for each ping
 * also where there are no rules. */
__attribute__((noinline)) static enum outcome answer_by_rules(const struct datagram *question,
                                                              const struct responder_rules *rules,
                                                              struct responder_turn *turn,
                                                              uint8_t *pong)
{
    enum outcome outcome = OUTCOME_VALID;
    if (rules->access != NULL && !access_allows(rules->access, question->source))
        return OUTCOME_ACCESS_DENIED;
    if (rules->limits != NULL && ping_is_valid(question->data, question->bytes))
        outcome = check_limits(question, rules, turn);
    if (outcome != OUTCOME_VALID && outcome != OUTCOME_LEAKED)
        return outcome;
    enum outcome answered = answer(question, pong);
    return answered == OUTCOME_VALID ? outcome : answered;
}

static inline enum outcome decide(const struct datagram *question,
                                  const struct responder_rules *rules, bool is_for_all,
                                  struct responder_turn *turn, uint8_t *pong)
{
    if (question->received_ns < turn->oldest_ns)
        return OUTCOME_TOO_OLD;
    enum outcome outcome = check_addresses(question);
    if (outcome != OUTCOME_VALID)
        return outcome;
    return is_for_all ? answer(question, pong) : answer_by_rules(question, rules, turn, pong);
}

static const struct verdict VERDICT_ANSWERED = {OUTCOME_VALID, QCMP_TRANSMIT_OFFSET,
                                                QCMP_PONG_BYTES};

/* Without rules, in a loop of its own. */
static void answer_all_freely(const struct batch *batch, struct responder_turn *turn)
{
    const struct exchange *end = batch->exchanges + batch->count;
    for (struct exchange *exchange = batch->exchanges; exchange < end; exchange++) {
        enum outcome outcome = decide(&exchange->question, NULL, true, turn, exchange->reply);
        if (outcome == OUTCOME_VALID)
            memcpy(&exchange->verdict, &VERDICT_ANSWERED, sizeof VERDICT_ANSWERED); /* one store */
        else
            exchange->verdict = (struct verdict){.outcome = (uint8_t)outcome};
    }
}

static void answer_all_by_rules(const struct batch *batch, const struct responder_rules *rules,
                                struct responder_turn *turn)
{
    const struct exchange *end = batch->exchanges + batch->count;
    for (struct exchange *exchange = batch->exchanges; exchange < end; exchange++) {
        enum outcome outcome = decide(&exchange->question, rules, false, turn, exchange->reply);
        exchange->verdict = VERDICT_ANSWERED;
        exchange->verdict.outcome = (uint8_t)outcome;
        if (outcome != OUTCOME_VALID && outcome != OUTCOME_LEAKED)
            exchange->verdict.reply_bytes = 0;
    }
}

void responder_answer(const struct batch *batch, const struct responder_rules *rules,
                      struct responder_turn *turn)
{
    if (rules->access == NULL && rules->limits == NULL)
        answer_all_freely(batch, turn);
    else
        answer_all_by_rules(batch, rules, turn);
}

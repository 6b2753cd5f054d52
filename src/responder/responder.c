#include "responder/responder.h"

#include <qcmp/wire.h>

#include "base/address.h"

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
static enum outcome check_addresses(const struct datagram *question)
{
    if (question->source_port == 0)
        return OUTCOME_SOURCE_PORT_ZERO;
    if (!address_is_unicast(question->source))
        return OUTCOME_SOURCE_NOT_UNICAST;
    if (question->to_broadcast ||
        (question->destination != NULL && !address_is_unicast(question->destination)))
        return OUTCOME_DESTINATION_NOT_UNICAST;
    return OUTCOME_VALID;
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

enum outcome responder_answer(const struct datagram *question, const struct responder_rules *rules,
                              struct responder_turn *turn, uint8_t *pong)
{
    enum outcome outcome = check_addresses(question);
    if (outcome != OUTCOME_VALID)
        return outcome;
    if (rules->access != NULL && !access_allows(rules->access, question->source))
        return OUTCOME_ACCESS_DENIED;

    struct qcmp_packet packet;
    int kind = qcmp_packet_decode(question->data, question->bytes, &packet, NULL);
    if (kind < 0)
        return fault_outcome(kind);
    if (kind == QCMP_FOREIGN)
        return OUTCOME_FOREIGN;
    if (kind == QCMP_PONG)
        return OUTCOME_UNSUPPORTED;
    if (rules->limits != NULL) {
        outcome = check_limits(question, rules, turn);
        if (outcome_kind(outcome) != OUTCOME_KIND_VALID)
            return outcome;
    }

    packet.kind = QCMP_PONG;
    packet.server_start_ns = question->received_ns;
    packet.server_transmit_ns = 0;
    qcmp_packet_encode(&packet, pong, QCMP_PONG_BYTES);
    return outcome;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "qcmp/responder.h"

#include <qcmp/wire.h>

#include "net/address.h"

/* An xorshift of 64 bits, the upper half of which is used. */
static uint32_t next_random(uint64_t *state)
{
    uint64_t x = *state != 0 ? *state : 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return (uint32_t)(x >> 32);
}

/* The outcome of a valid ping. */
static enum outcome check_limits(const struct packet *packet, const struct responder_rules *rules,
                                 struct responder_turn *turn)
{
    struct guard_address source = guard_address(&packet->peer.address);
    bool is_steady;

    turn->is_doubtful = true;
    switch (guard_decide_steady(rules->limits, &source, turn->now_ns, guard_table_find,
                                rules->table, &is_steady)) {
    case GUARD_ANSWER:
        turn->is_doubtful = !is_steady;
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

enum outcome responder_answer(struct packet *packet, const struct responder_rules *rules,
                              struct responder_turn *turn)
{
    struct qcmp_packet ping;
    enum outcome outcome = OUTCOME_VALID;

    /* An answer to what came in one of these ways would reach nobody, or too many. */
    if (packet->received_ns < turn->oldest_ns)
        return OUTCOME_TOO_OLD;
    if (packet->peer.port == 0)
        return OUTCOME_SOURCE_PORT_ZERO;
    if (!address_is_unicast(&packet->peer.address))
        return OUTCOME_SOURCE_NOT_UNICAST;
    if (!address_is_unicast(&packet->local.address))
        return OUTCOME_DESTINATION_NOT_UNICAST;
    if (rules->access != NULL && !access_allows(rules->access, &packet->peer.address))
        return OUTCOME_ACCESS_DENIED;

    switch (qcmp_packet_decode(packet->data, packet->bytes, &ping, NULL)) {
    case QCMP_PING:
        break;
    case QCMP_PONG:
        return OUTCOME_UNSUPPORTED;
    case QCMP_FOREIGN:
        return OUTCOME_FOREIGN;
    case QCMP_ERROR_UNKNOWN_VERSION:
        return OUTCOME_UNKNOWN_VERSION;
    case QCMP_ERROR_INVALID_COMMAND:
        return OUTCOME_INVALID_COMMAND;
    default:
        return OUTCOME_LENGTH_MISMATCH;
    }

    turn->is_doubtful = false;
    if (rules->limits != NULL)
        outcome = check_limits(packet, rules, turn);
    if (outcome_kind(outcome) == OUTCOME_KIND_VALID) {
        ping.kind = QCMP_PONG;
        ping.server_start_ns = packet->received_ns;
        qcmp_packet_encode(&ping, packet->data, QCMP_PONG_BYTES);
    }
    return outcome;
}

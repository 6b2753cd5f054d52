#include "responder/responder.h"

#include <qcmp/wire.h>

#include "base/address.h"
#include "wire/ping.h"

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

/* What a datagram that is no valid ping is. */
static enum outcome classify(const struct datagram *question)
{
    struct qcmp_packet packet;
    int kind = qcmp_packet_decode(question->data, question->bytes, &packet, NULL);
    if (kind < 0)
        return fault_outcome(kind);
    return kind == QCMP_FOREIGN ? OUTCOME_FOREIGN : OUTCOME_UNSUPPORTED;
}

enum outcome responder_answer(const struct datagram *question, uint8_t *pong)
{
    enum outcome outcome = check_addresses(question);
    if (outcome != OUTCOME_VALID)
        return outcome;
    if (!wire_is_ping(question->data, question->bytes))
        return classify(question);
    wire_answer(question->data, question->received_ns, pong);
    return OUTCOME_VALID;
}

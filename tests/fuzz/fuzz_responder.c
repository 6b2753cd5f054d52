/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The responder, with access lists and limits. The input is a run of datagrams from few sources.
 * Oracles: each has exactly the outcome that a statement of the rules gives, save that the limits
 * may refuse a valid ping, and no more are answered than they allow; an answer is the ping's pong;
 * nothing but a ping is ever answered; what is not answered leaves the reply untouched.
 */
#include <stdlib.h>

#include <qcmp/wire.h>

#include "qcmp/responder.h"
#include "support/access_oracle.h"
#include "support/answer_one.h"
#include "support/check.h"
#include "support/wire_rules.h"

#define BURST 4
#define SOURCES 8
#define HEADER_BYTES 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once: the table is large, and each input starts later than GUARD_KEEP_NS behind the one
 * before. */
struct world {
    struct prefix_list allow, deny;
    struct access *access;
    struct guard_parameters limits;
    struct guard_set *table;
    uint64_t now_ns;
};

static struct world world;

static void world_open(void)
{
    static const struct guard_rules limits = {
        .loopback = true,
        .replies_per_second = 1000,
        .ipv4 = {.items = {{32, 1, BURST}}, .count = 1},
        .ipv6 = {.items = {{64, 1, BURST}}, .count = 1},
        .leak = 4,
    };
    const struct siphash_key key = {{1, 2}};
    struct prefix denied;

    CHECK(prefix_parse("192.0.2.0/30", &denied) == 0);
    CHECK(prefix_list_add(&world.deny, &denied) == 0);
    CHECK(access_new(&world.access, &world.allow, &world.deny) == 0);
    guard_parameters_init(&world.limits, &limits, &key);
    world.table = guard_table_new();
    CHECK(world.table != NULL);
}

/* One of few addresses, some of them odd, so that limits are met. */
static struct in6_addr source_of(uint8_t byte)
{
    struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2}};
    unsigned which = byte % SOURCES;

    if (which < 6)
        address.s6_addr[15] = (uint8_t)which;
    else if (which == 6)
        address = (struct in6_addr){.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
    else
        address = (struct in6_addr){.s6_addr = {0xff, 0x02, [15] = 1}};
    return address;
}

static enum outcome model(const struct asked *question)
{
    struct qcmp_wire_fault fault;

    if (question->source_port == 0)
        return OUTCOME_SOURCE_PORT_ZERO;
    if (question->source.s6_addr[0] == 0xff)
        return OUTCOME_SOURCE_NOT_UNICAST;
    if (!IN6_IS_ADDR_LOOPBACK(&question->destination))
        return OUTCOME_DESTINATION_NOT_UNICAST;
    if (!oracle_allows(&world.allow, &world.deny, &question->source))
        return OUTCOME_ACCESS_DENIED;
    switch (rules_judge(question->data, question->bytes, &fault)) {
    case QCMP_FOREIGN:
        return OUTCOME_FOREIGN;
    case QCMP_PING:
        return OUTCOME_VALID;
    case QCMP_PONG:
        return OUTCOME_UNSUPPORTED;
    case QCMP_ERROR_UNKNOWN_VERSION:
        return OUTCOME_UNKNOWN_VERSION;
    case QCMP_ERROR_INVALID_COMMAND:
        return OUTCOME_INVALID_COMMAND;
    default:
        return OUTCOME_LENGTH_MISMATCH;
    }
}

static void check_pong(const struct asked *question, const uint8_t *reply)
{
    struct qcmp_packet ping, pong;

    CHECK(qcmp_packet_decode(question->data, question->bytes, &ping, NULL) == QCMP_PING);
    CHECK(qcmp_packet_decode(reply, QCMP_PONG_BYTES, &pong, NULL) == QCMP_PONG);
    CHECK(pong.nonce == ping.nonce && pong.client_ns == ping.client_ns);
    CHECK(pong.server_start_ns == question->received_ns && pong.server_transmit_ns == 0);
}

static enum outcome ask(const struct asked *question, struct responder_turn *turn)
{
    const struct responder_rules rules = {world.access, &world.limits, world.table};
    uint8_t reply[QCMP_PONG_BYTES];

    enum outcome outcome = answer_one(question, &rules, turn, reply), expected = model(question);
    bool is_answered = outcome == OUTCOME_VALID || outcome == OUTCOME_LEAKED;
    if (expected == OUTCOME_VALID)
        CHECK(is_answered || outcome == OUTCOME_RATE_LIMITED || outcome == OUTCOME_PROCESS_CAP);
    else
        CHECK(outcome == expected);
    CHECK((outcome_kind(outcome) == OUTCOME_KIND_VALID) == is_answered);
    if (is_answered)
        check_pong(question, reply);
    return outcome;
}

/* Takes one datagram off the input: how long it is, from whom, its bytes. Returns what it took. */
static size_t take(const uint8_t *data, size_t size, struct responder_turn *turn,
                   unsigned *answered)
{
    size_t left = size - HEADER_BYTES, bytes = data[0] % 64;
    const struct in6_addr source = source_of(data[1]);
    const struct in6_addr broadcast = {{{[10] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}};
    struct asked question = {.source = source,
                             .source_port = data[2],
                             .destination = data[3] == 255 ? broadcast : in6addr_loopback,
                             .received_ns = INT64_C(1700000000000000000)};
    bytes = bytes < left ? bytes : left;
    /* An allocation of its own, so that reading past the datagram is seen. */
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
    CHECK(copy != NULL);
    memcpy(copy, data + HEADER_BYTES, bytes);
    question.data = copy;
    question.bytes = bytes;
    answered[data[1] % SOURCES] += ask(&question, turn) == OUTCOME_VALID;
    free(copy);
    return HEADER_BYTES + bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned answered[SOURCES] = {0};

    if (world.table == NULL)
        world_open();
    world.now_ns += 4 * (uint64_t)GUARD_KEEP_NS;
    struct responder_turn turn = {.now_ns = world.now_ns, .random = size + 1};
    for (size_t at = 0; at + HEADER_BYTES <= size;)
        at += take(data + at, size - at, &turn, answered);
    for (unsigned i = 0; i < SOURCES; i++)
        CHECK(answered[i] <= BURST); /* the clock stood */
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/probe.h>

#include "support/cmocka.h"
#include "support/probe_script.h"
#include "support/random.h"

#include <stdlib.h>
#include <string.h>

#define MAX_SLOTS 600
#define WALL INT64_C(1700000000000000000)
#define TIMEOUT 1000

/* What a test has: a probe, its clock, and what the last ping gave. */
struct fixture {
    struct qcmp_probe *probe;
    void *memory;
    struct qcmp_probe_request request;
    uint64_t seed;
    uint64_t id;
    uint8_t ping[QCMP_PING_BYTES];
};

static const struct qcmp_endpoint SITE = {
    .address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}, .port = 7600};

static const struct qcmp_endpoint LINK_LOCAL = {
    .address = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, .scope = 2, .port = 7600};

static void open_probe(struct fixture *fixture, size_t slots)
{
    const size_t bytes = qcmp_probe_bytes(slots);

    *fixture = (struct fixture){
        .memory = malloc(bytes),
        .request = {.to = SITE, .now = {.wall_ns = WALL, .monotonic_ns = 0}, .timeout_ns = TIMEOUT},
    };
    assert_non_null(fixture->memory);
    memset(fixture->memory, 0xa5, bytes);
    assert_int_equal(qcmp_probe_init(&fixture->probe, fixture->memory, bytes, slots), 0);
}

static void close_probe(struct fixture *fixture)
{
    free(fixture->memory);
}

static int try_ping(struct fixture *fixture)
{
    fixture->request.random = random_next(&fixture->seed);
    return qcmp_probe_ping(fixture->probe, &fixture->request, fixture->ping, &fixture->id);
}

/* Sends a ping, a nanosecond later by the wall clock than the one before. */
static uint64_t ping(struct fixture *fixture)
{
    fixture->request.now.wall_ns++;
    assert_int_equal(try_ping(fixture), 0);
    return fixture->id;
}

/* The pong for a ping, with server timestamps that only this has. */
static void make_pong(const uint8_t *sent, uint8_t pong[QCMP_PONG_BYTES])
{
    struct qcmp_packet packet;

    assert_int_equal(qcmp_packet_decode(sent, QCMP_PING_BYTES, &packet, NULL), QCMP_PING);
    packet.kind = QCMP_PONG;
    packet.server_start_ns = 11;
    packet.server_transmit_ns = 22;
    assert_int_equal(qcmp_packet_encode(&packet, pong, QCMP_PONG_BYTES), QCMP_PONG_BYTES);
}

static struct qcmp_probe_event receive(struct fixture *fixture, const struct qcmp_endpoint *from,
                                       const void *data, size_t bytes, int64_t arrived_ns)
{
    struct qcmp_probe_event event;

    memset(&event, 0xa5, sizeof event);
    qcmp_probe_receive(fixture->probe, from, data, bytes, arrived_ns, &event);
    return event;
}

/* Answers a ping that was sent to the request's destination. */
static struct qcmp_probe_event answer(struct fixture *fixture, const uint8_t *sent,
                                      int64_t arrived_ns)
{
    uint8_t pong[QCMP_PONG_BYTES];

    make_pong(sent, pong);
    return receive(fixture, &fixture->request.to, pong, sizeof pong, arrived_ns);
}

static uint8_t nonce_of(const struct fixture *fixture)
{
    return fixture->ping[8];
}

static void assert_same_endpoint(const struct qcmp_endpoint *left,
                                 const struct qcmp_endpoint *right)
{
    assert_memory_equal(left->address, right->address, sizeof left->address);
    assert_int_equal(left->scope, right->scope);
    assert_int_equal(left->port, right->port);
}

static void assert_rejected(const struct qcmp_probe_event *event, enum qcmp_probe_reason reason)
{
    assert_int_equal(event->kind, QCMP_PROBE_REJECTED);
    assert_int_equal(event->reason, reason);
    assert_int_equal(event->id, 0);
    assert_null(event->user);
    assert_int_equal(event->nonce, 0);
    assert_int_equal(event->sent.wall_ns, 0);
    assert_int_equal(event->pong.kind, QCMP_FOREIGN);
}

/* Nothing that was received so far has ended the last ping: its own answer still does. */
static void assert_still_in_flight(struct fixture *fixture)
{
    const struct qcmp_probe_event event = answer(fixture, fixture->ping, 0);

    assert_int_equal(event.kind, QCMP_PROBE_ANSWERED);
    assert_int_equal(event.id, fixture->id);
}

static void lease_all(struct fixture *fixture)
{
    for (int i = 0; i < QCMP_NONCES; i++)
        ping(fixture);
    assert_int_equal(try_ping(fixture), QCMP_ERROR_NO_NONCE);
}

static void init_rejects_a_number_of_slots_out_of_range(void **state)
{
    uint64_t memory[64];
    struct qcmp_probe *probe = NULL;

    (void)state;
    assert_int_equal(qcmp_probe_bytes(0), 0);
    assert_int_equal(qcmp_probe_bytes(QCMP_PROBE_MAX_SLOTS + 1), 0);
    assert_int_equal(qcmp_probe_bytes(SIZE_MAX), 0);
    assert_true(qcmp_probe_bytes(QCMP_PROBE_MAX_SLOTS) > QCMP_PROBE_MAX_SLOTS);
    assert_int_equal(qcmp_probe_init(&probe, memory, sizeof memory, 0),
                     QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_probe_init(&probe, memory, SIZE_MAX, QCMP_PROBE_MAX_SLOTS + 1),
                     QCMP_ERROR_INVALID_ARGUMENT);
    assert_null(probe);
}

static void init_rejects_memory_that_it_cannot_use(void **state)
{
    const size_t bytes = qcmp_probe_bytes(1);
    char *memory = malloc(bytes + 1);
    struct qcmp_probe *probe = NULL;

    (void)state;
    assert_non_null(memory);
    assert_int_equal(qcmp_probe_init(&probe, NULL, bytes, 1), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_probe_init(&probe, memory + 1, bytes, 1), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_probe_init(&probe, memory, bytes - 1, 1), QCMP_ERROR_BUFFER_TOO_SMALL);
    assert_null(probe);
    assert_int_equal(qcmp_probe_init(&probe, memory, bytes, 1), 0);
    assert_non_null(probe);
    free(memory);
}

static void a_ping_carries_its_nonce_and_timestamp(void **state)
{
    struct fixture fixture;
    const uint8_t start[] = {0x51, 0x4c, 0x4b, 0x4e, 0x00, 0x00, 0x00, 0x09};
    const uint8_t timestamp[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};

    (void)state;
    open_probe(&fixture, 1);
    fixture.request.now.wall_ns = INT64_C(0x0102030405060708);
    assert_int_equal(try_ping(&fixture), 0);
    assert_memory_equal(fixture.ping, start, sizeof start);
    assert_memory_equal(fixture.ping + 9, timestamp, sizeof timestamp);
    assert_true(fixture.id != 0);
    close_probe(&fixture);
}

static void an_answer_ends_its_ping_and_says_everything(void **state)
{
    struct fixture fixture;
    int user;

    (void)state;
    open_probe(&fixture, 4);
    fixture.request.user = &user;
    fixture.request.now.monotonic_ns = 77;
    ping(&fixture);

    const struct qcmp_probe_event event = answer(&fixture, fixture.ping, 100);

    assert_int_equal(event.kind, QCMP_PROBE_ANSWERED);
    assert_int_equal(event.reason, QCMP_REJECT_NONE);
    assert_int_equal(event.id, fixture.id);
    assert_ptr_equal(event.user, &user);
    assert_same_endpoint(&event.peer, &SITE);
    assert_int_equal(event.nonce, nonce_of(&fixture));
    assert_int_equal(event.sent.wall_ns, WALL + 1);
    assert_int_equal(event.sent.monotonic_ns, 77);
    assert_int_equal(event.pong.kind, QCMP_PONG);
    assert_int_equal(event.pong.client_ns, WALL + 1);
    assert_int_equal(event.pong.server_start_ns, 11);
    assert_int_equal(event.pong.server_transmit_ns, 22);
    assert_int_equal(qcmp_probe_in_flight(fixture.probe), 0);
    close_probe(&fixture);
}

static void pings_are_told_apart_whatever_the_order_of_their_answers(void **state)
{
    struct fixture fixture;
    uint8_t sent[20][QCMP_PING_BYTES];
    uint64_t ids[20];

    (void)state;
    open_probe(&fixture, 20);
    for (size_t i = 0; i < 20; i++) {
        ids[i] = ping(&fixture);
        memcpy(sent[i], fixture.ping, sizeof sent[i]);
    }
    for (size_t i = 0; i < 20; i++) {
        const size_t at = i * 7 % 20;
        const struct qcmp_probe_event event = answer(&fixture, sent[at], 5);

        assert_int_equal(event.kind, QCMP_PROBE_ANSWERED);
        assert_int_equal(event.id, ids[at]);
        assert_int_equal(qcmp_probe_in_flight(fixture.probe), 19 - i);
    }
    close_probe(&fixture);
}

static void leases_are_exclusive_and_all_256_can_be_out(void **state)
{
    struct fixture fixture;
    int seen[QCMP_NONCES] = {0};

    (void)state;
    open_probe(&fixture, MAX_SLOTS);
    for (int i = 0; i < QCMP_NONCES; i++) {
        ping(&fixture);
        seen[nonce_of(&fixture)]++;
    }
    for (int i = 0; i < QCMP_NONCES; i++)
        assert_int_equal(seen[i], 1);
    close_probe(&fixture);
}

static void one_destination_does_not_use_up_the_nonces_of_another(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, MAX_SLOTS);
    lease_all(&fixture);
    fixture.request.to.port = 7601;
    lease_all(&fixture);
    assert_int_equal(qcmp_probe_in_flight(fixture.probe), 2 * QCMP_NONCES);
    close_probe(&fixture);
}

static void a_failing_ping_leaves_its_outputs_alone(void **state)
{
    struct fixture fixture;
    uint8_t before[QCMP_PING_BYTES];

    (void)state;
    open_probe(&fixture, 1);
    fixture.id = ping(&fixture);
    memcpy(before, fixture.ping, sizeof before);

    const uint64_t id = fixture.id;

    assert_int_equal(try_ping(&fixture), QCMP_ERROR_NO_SLOT);
    fixture.request.timeout_ns = 0;
    assert_int_equal(try_ping(&fixture), QCMP_ERROR_INVALID_ARGUMENT);
    fixture.request.timeout_ns = INT64_MIN;
    assert_int_equal(try_ping(&fixture), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(fixture.id, id);
    assert_memory_equal(fixture.ping, before, sizeof before);
    assert_int_equal(qcmp_probe_in_flight(fixture.probe), 1);
    close_probe(&fixture);
}

static void without_a_slot_there_is_no_ping_until_one_ends(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 3);
    ping(&fixture);
    ping(&fixture);

    const uint64_t id = ping(&fixture);

    assert_int_equal(try_ping(&fixture), QCMP_ERROR_NO_SLOT);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, id, NULL), 0);
    ping(&fixture);
    assert_int_equal(try_ping(&fixture), QCMP_ERROR_NO_SLOT);
    close_probe(&fixture);
}

static void no_nonce_is_said_before_no_slot(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, QCMP_NONCES);
    lease_all(&fixture);
    fixture.request.to.port = 7601;
    assert_int_equal(try_ping(&fixture), QCMP_ERROR_NO_SLOT);
    close_probe(&fixture);
}

/* With all leases out, what one ending gave back is what the next ping gets. */
static void assert_lease_is_back(struct fixture *fixture, uint8_t nonce)
{
    assert_int_equal(qcmp_probe_in_flight(fixture->probe), QCMP_NONCES - 1);
    ping(fixture);
    assert_int_equal(nonce_of(fixture), nonce);
    assert_int_equal(try_ping(fixture), QCMP_ERROR_NO_NONCE);
}

static void an_answer_gives_the_lease_back(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, MAX_SLOTS);
    lease_all(&fixture);
    assert_int_equal(answer(&fixture, fixture.ping, 0).kind, QCMP_PROBE_ANSWERED);
    assert_lease_is_back(&fixture, nonce_of(&fixture));
    close_probe(&fixture);
}

static void a_time_out_gives_the_lease_back(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;

    (void)state;
    open_probe(&fixture, MAX_SLOTS);
    fixture.request.timeout_ns = 10;
    ping(&fixture);
    fixture.request.timeout_ns = TIMEOUT;
    for (int i = 1; i < QCMP_NONCES; i++)
        ping(&fixture);
    assert_int_equal(qcmp_probe_expire(fixture.probe, 11, &event), 1);
    assert_int_equal(qcmp_probe_expire(fixture.probe, 11, &event), 0);
    assert_lease_is_back(&fixture, event.nonce);
    close_probe(&fixture);
}

static void a_cancellation_gives_the_lease_back(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;

    (void)state;
    open_probe(&fixture, MAX_SLOTS);
    lease_all(&fixture);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id, &event), 0);
    assert_lease_is_back(&fixture, event.nonce);
    assert_int_equal(qcmp_probe_cancel_next(fixture.probe, &event), 1);
    assert_lease_is_back(&fixture, event.nonce);
    close_probe(&fixture);
}

static void a_cancelled_ping_is_reported_once(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;
    int user;

    (void)state;
    open_probe(&fixture, 4);
    fixture.request.user = &user;
    ping(&fixture);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id, &event), 0);
    assert_int_equal(event.kind, QCMP_PROBE_CANCELLED);
    assert_int_equal(event.id, fixture.id);
    assert_ptr_equal(event.user, &user);
    assert_same_endpoint(&event.peer, &SITE);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id, &event),
                     QCMP_ERROR_NOT_IN_FLIGHT);
    assert_int_equal(qcmp_probe_expire(fixture.probe, INT64_MAX, &event), 0);
    assert_int_equal(qcmp_probe_cancel_next(fixture.probe, &event), 0);
    close_probe(&fixture);
}

static void cancel_knows_only_what_is_in_flight(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 2);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, 0, NULL), QCMP_ERROR_NOT_IN_FLIGHT);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, UINT64_MAX, NULL), QCMP_ERROR_NOT_IN_FLIGHT);
    ping(&fixture);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id + (UINT64_C(1) << 32), NULL),
                     QCMP_ERROR_NOT_IN_FLIGHT);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id & UINT32_MAX, NULL),
                     QCMP_ERROR_NOT_IN_FLIGHT);
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void cancel_next_ends_all_by_their_deadlines(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;
    uint64_t ids[4];

    (void)state;
    open_probe(&fixture, 4);
    for (size_t i = 0; i < 4; i++) {
        fixture.request.timeout_ns = 100 - (int64_t)i;
        ids[i] = ping(&fixture);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(qcmp_probe_cancel_next(fixture.probe, &event), 1);
        assert_int_equal(event.kind, QCMP_PROBE_CANCELLED);
        assert_int_equal(event.id, ids[3 - i]);
    }
    event.id = 12345;
    assert_int_equal(qcmp_probe_cancel_next(fixture.probe, &event), 0);
    assert_int_equal(event.id, 12345);
    close_probe(&fixture);
}

static void an_answer_after_the_time_out_is_late_then_a_duplicate(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;
    int user;

    (void)state;
    open_probe(&fixture, 4);
    fixture.request.user = &user;
    ping(&fixture);
    assert_int_equal(qcmp_probe_expire(fixture.probe, TIMEOUT + 1, &event), 1);
    assert_int_equal(event.kind, QCMP_PROBE_TIMED_OUT);
    event = answer(&fixture, fixture.ping, TIMEOUT + 2);
    assert_int_equal(event.kind, QCMP_PROBE_LATE);
    assert_int_equal(event.id, fixture.id);
    assert_null(event.user);
    assert_int_equal(event.pong.server_transmit_ns, 22);
    assert_int_equal(answer(&fixture, fixture.ping, TIMEOUT + 3).kind, QCMP_PROBE_DUPLICATE);
    event = answer(&fixture, fixture.ping, TIMEOUT + 4);
    assert_int_equal(event.kind, QCMP_PROBE_DUPLICATE);
    assert_null(event.user);
    close_probe(&fixture);
}

static void an_answer_after_the_cancellation_is_late_then_a_duplicate(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id, NULL), 0);
    assert_int_equal(answer(&fixture, fixture.ping, 0).kind, QCMP_PROBE_LATE);
    assert_int_equal(answer(&fixture, fixture.ping, 0).kind, QCMP_PROBE_DUPLICATE);
    close_probe(&fixture);
}

static void a_second_answer_is_a_duplicate(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    assert_int_equal(answer(&fixture, fixture.ping, 1).kind, QCMP_PROBE_ANSWERED);

    const struct qcmp_probe_event event = answer(&fixture, fixture.ping, 2);

    assert_int_equal(event.kind, QCMP_PROBE_DUPLICATE);
    assert_int_equal(event.id, fixture.id);
    assert_int_equal(event.pong.server_start_ns, 11);
    close_probe(&fixture);
}

static void an_answer_at_the_deadline_is_in_time(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    assert_int_equal(answer(&fixture, fixture.ping, TIMEOUT).kind, QCMP_PROBE_ANSWERED);
    close_probe(&fixture);
}

static void an_answer_past_the_deadline_is_late_and_its_ping_times_out_once(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    event = answer(&fixture, fixture.ping, TIMEOUT + 1);
    assert_int_equal(event.kind, QCMP_PROBE_LATE);
    assert_int_equal(event.id, fixture.id);
    assert_int_equal(qcmp_probe_in_flight(fixture.probe), 1);
    assert_int_equal(answer(&fixture, fixture.ping, TIMEOUT + 1).kind, QCMP_PROBE_DUPLICATE);
    assert_int_equal(qcmp_probe_expire(fixture.probe, TIMEOUT + 1, &event), 1);
    assert_int_equal(event.kind, QCMP_PROBE_TIMED_OUT);
    assert_int_equal(event.id, fixture.id);
    assert_int_equal(qcmp_probe_expire(fixture.probe, INT64_MAX, &event), 0);
    assert_int_equal(answer(&fixture, fixture.ping, TIMEOUT + 2).kind, QCMP_PROBE_DUPLICATE);
    close_probe(&fixture);
}

static void a_late_answer_is_not_credited_to_the_next_ping_with_its_nonce(void **state)
{
    struct fixture fixture;
    uint8_t old[QCMP_PING_BYTES];

    (void)state;
    open_probe(&fixture, (size_t)2 * QCMP_NONCES);
    lease_all(&fixture);
    memcpy(old, fixture.ping, sizeof old);

    const uint64_t old_id = fixture.id;

    assert_int_equal(qcmp_probe_cancel(fixture.probe, old_id, NULL), 0);
    ping(&fixture);
    assert_int_equal(nonce_of(&fixture), old[8]);

    const struct qcmp_probe_event event = answer(&fixture, old, 0);

    assert_int_equal(event.kind, QCMP_PROBE_LATE);
    assert_int_equal(event.id, old_id);
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void a_datagram_that_is_not_qcmp_is_rejected_as_foreign(void **state)
{
    struct fixture fixture;
    uint8_t pong[QCMP_PONG_BYTES];
    struct qcmp_probe_event event;

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    make_pong(fixture.ping, pong);
    pong[0] = 'X';
    event = receive(&fixture, &SITE, pong, sizeof pong, 0);
    assert_rejected(&event, QCMP_REJECT_FOREIGN);
    assert_same_endpoint(&event.peer, &SITE);
    event = receive(&fixture, &SITE, NULL, 0, 0);
    assert_rejected(&event, QCMP_REJECT_FOREIGN);
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void a_malformed_answer_is_rejected_and_ends_nothing(void **state)
{
    struct fixture fixture;
    uint8_t pong[QCMP_PONG_BYTES];
    struct qcmp_probe_event event;

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    make_pong(fixture.ping, pong);
    for (size_t bytes = 4; bytes < sizeof pong; bytes++) {
        event = receive(&fixture, &SITE, pong, bytes, 0);
        assert_rejected(&event, QCMP_REJECT_MALFORMED);
    }
    event = receive(&fixture, &SITE, pong, 40, 0);
    assert_rejected(&event, QCMP_REJECT_MALFORMED);
    pong[4] = 1;
    event = receive(&fixture, &SITE, pong, sizeof pong, 0);
    assert_rejected(&event, QCMP_REJECT_MALFORMED);
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void a_ping_in_place_of_a_pong_is_rejected(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);

    const struct qcmp_probe_event event =
        receive(&fixture, &SITE, fixture.ping, sizeof fixture.ping, 0);

    assert_rejected(&event, QCMP_REJECT_NOT_PONG);
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void an_answer_from_another_peer_is_unasked(void **state)
{
    struct qcmp_endpoint others[3] = {LINK_LOCAL, LINK_LOCAL, LINK_LOCAL};
    struct fixture fixture;
    uint8_t pong[QCMP_PONG_BYTES];

    (void)state;
    others[0].port++;
    others[1].scope++;
    others[2].address[15]++;
    open_probe(&fixture, 4);
    fixture.request.to = LINK_LOCAL;
    ping(&fixture);
    make_pong(fixture.ping, pong);
    for (size_t i = 0; i < 3; i++) {
        const struct qcmp_probe_event event = receive(&fixture, &others[i], pong, sizeof pong, 0);

        assert_rejected(&event, QCMP_REJECT_UNASKED);
        assert_same_endpoint(&event.peer, &others[i]);
    }
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void an_address_that_differs_in_any_byte_is_another_peer(void **state)
{
    struct fixture fixture;
    uint8_t pong[QCMP_PONG_BYTES];

    (void)state;
    open_probe(&fixture, 1);
    ping(&fixture);
    make_pong(fixture.ping, pong);
    for (size_t at = 0; at < sizeof SITE.address; at++) {
        struct qcmp_endpoint other = SITE;

        other.address[at] ^= 0x80;

        const struct qcmp_probe_event event = receive(&fixture, &other, pong, sizeof pong, 0);

        assert_rejected(&event, QCMP_REJECT_UNASKED);
    }
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void an_answer_with_any_other_nonce_is_unasked(void **state)
{
    struct fixture fixture;
    uint8_t pong[QCMP_PONG_BYTES];

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    make_pong(fixture.ping, pong);
    for (int i = 1; i < QCMP_NONCES; i++) {
        pong[8]++;

        const struct qcmp_probe_event event = receive(&fixture, &SITE, pong, sizeof pong, 0);

        assert_rejected(&event, QCMP_REJECT_UNASKED);
    }
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void an_answer_with_another_timestamp_is_rejected(void **state)
{
    struct fixture fixture;
    uint8_t pong[QCMP_PONG_BYTES];

    (void)state;
    open_probe(&fixture, 4);
    ping(&fixture);
    make_pong(fixture.ping, pong);
    for (unsigned bit = 0; bit < 64; bit++) {
        const size_t at = 9 + bit / 8;

        pong[at] = (uint8_t)(pong[at] ^ 1U << bit % 8);

        const struct qcmp_probe_event event = receive(&fixture, &SITE, pong, sizeof pong, 0);

        assert_rejected(&event, QCMP_REJECT_TIMESTAMP);
        pong[at] = (uint8_t)(pong[at] ^ 1U << bit % 8);
    }
    assert_still_in_flight(&fixture);
    close_probe(&fixture);
}

static void time_outs_come_in_the_order_of_their_deadlines(void **state)
{
    const int64_t timeouts[] = {500, 20, 300, 1, 400, 20, 7, 1000, 30};
    const int64_t sorted[] = {1, 7, 20, 20, 30, 300, 400, 500, 1000};
    struct fixture fixture;
    struct qcmp_probe_event event;

    (void)state;
    open_probe(&fixture, 9);
    for (size_t i = 0; i < 9; i++) {
        fixture.request.timeout_ns = timeouts[i];
        ping(&fixture);
    }
    for (size_t i = 0; i < 9; i++) {
        int64_t due = 0;

        assert_int_equal(qcmp_probe_deadline(fixture.probe, &due), 1);
        assert_int_equal(due, sorted[i] + 1);
        assert_int_equal(qcmp_probe_expire(fixture.probe, due - 1, &event), 0);
        assert_int_equal(qcmp_probe_expire(fixture.probe, due, &event), 1);
        assert_int_equal(event.kind, QCMP_PROBE_TIMED_OUT);
    }
    close_probe(&fixture);
}

static void a_cancelled_ping_leaves_the_order_of_the_others(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;
    uint64_t ids[64];
    int64_t last = 0;

    (void)state;
    open_probe(&fixture, 64);
    for (size_t i = 0; i < 64; i++) {
        fixture.request.timeout_ns = 1 + (int64_t)(i * 37 % 64);
        fixture.request.user = &fixture.request;
        ids[i] = ping(&fixture);
    }
    for (size_t i = 0; i < 64; i += 2)
        assert_int_equal(qcmp_probe_cancel(fixture.probe, ids[i], NULL), 0);
    for (size_t i = 0; i < 32; i++) {
        int64_t due = 0;

        assert_int_equal(qcmp_probe_deadline(fixture.probe, &due), 1);
        assert_true(due > last);
        last = due;
        assert_int_equal(qcmp_probe_expire(fixture.probe, due, &event), 1);
        assert_int_equal(event.id, ids[(size_t)(due - 2) * 45 % 64]);
    }
    assert_int_equal(qcmp_probe_in_flight(fixture.probe), 0);
    close_probe(&fixture);
}

static void with_nothing_in_flight_there_is_no_deadline(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event = {.id = 12345};
    int64_t due = 12345;

    (void)state;
    open_probe(&fixture, 1);
    assert_int_equal(qcmp_probe_deadline(fixture.probe, &due), 0);
    assert_int_equal(qcmp_probe_expire(fixture.probe, INT64_MAX, &event), 0);
    assert_int_equal(due, 12345);
    assert_int_equal(event.id, 12345);
    close_probe(&fixture);
}

static void a_deadline_beyond_the_clock_never_passes(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;
    int64_t due = 0;

    (void)state;
    open_probe(&fixture, 1);
    fixture.request.now.monotonic_ns = INT64_MAX - 5;
    fixture.request.timeout_ns = INT64_MAX;
    ping(&fixture);
    assert_int_equal(qcmp_probe_deadline(fixture.probe, &due), 1);
    assert_true(due == INT64_MAX);
    assert_int_equal(qcmp_probe_expire(fixture.probe, INT64_MAX, &event), 0);
    assert_int_equal(answer(&fixture, fixture.ping, INT64_MAX).kind, QCMP_PROBE_ANSWERED);
    close_probe(&fixture);
}

static void ids_are_never_used_again(void **state)
{
    struct fixture fixture;
    uint64_t last[4] = {0};

    (void)state;
    open_probe(&fixture, 4);
    for (int i = 0; i < 10000; i++) {
        const uint64_t id = ping(&fixture);
        const size_t index = (size_t)(id & UINT32_MAX);

        assert_true(index < 4);
        assert_true(id > last[index]);
        last[index] = id;
        assert_int_equal(qcmp_probe_cancel(fixture.probe, id, NULL), 0);
    }
    close_probe(&fixture);
}

static void any_nonce_can_be_the_first_and_the_second(void **state)
{
    int first[QCMP_NONCES] = {0};
    int second[QCMP_NONCES] = {0};
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 2);
    for (int i = 0; i < 256 * 64; i++) {
        ping(&fixture);
        first[nonce_of(&fixture)]++;
        ping(&fixture);
        second[nonce_of(&fixture)]++;
        while (qcmp_probe_cancel_next(fixture.probe, &(struct qcmp_probe_event){0}))
            continue;
    }
    /* 64 is the mean, 8 the deviation. */
    for (int i = 0; i < QCMP_NONCES; i++) {
        assert_in_range(first[i], 16, 112);
        assert_in_range(second[i], 16, 112);
    }
    close_probe(&fixture);
}

static void the_last_free_nonce_is_found_whatever_the_random_number(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, MAX_SLOTS);
    lease_all(&fixture);

    const uint8_t nonce = nonce_of(&fixture);

    for (uint64_t random = 0; random < 65536; random += 255) {
        assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id, NULL), 0);
        fixture.request.now.wall_ns++;
        fixture.request.random = random;
        assert_int_equal(
            qcmp_probe_ping(fixture.probe, &fixture.request, fixture.ping, &fixture.id), 0);
        assert_int_equal(nonce_of(&fixture), nonce);
    }
    close_probe(&fixture);
}

static void find_knows_exactly_what_is_in_flight(void **state)
{
    struct fixture fixture;
    struct qcmp_endpoint other = SITE;

    (void)state;
    other.port++;
    open_probe(&fixture, 4);

    const uint64_t id = ping(&fixture);
    const uint8_t nonce = nonce_of(&fixture);

    assert_int_equal(qcmp_probe_find(fixture.probe, &SITE, nonce, WALL + 1), id);
    assert_int_equal(qcmp_probe_find(fixture.probe, &SITE, nonce, WALL), 0);
    assert_int_equal(qcmp_probe_find(fixture.probe, &SITE, nonce ^ 1, WALL + 1), 0);
    assert_int_equal(qcmp_probe_find(fixture.probe, &other, nonce, WALL + 1), 0);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, id, NULL), 0);
    assert_int_equal(qcmp_probe_find(fixture.probe, &SITE, nonce, WALL + 1), 0);
    close_probe(&fixture);
}

static void remembered_pings_are_forgotten_in_the_order_of_their_endings(void **state)
{
    const size_t ended_order[3] = {1, 2, 0};
    uint8_t sent[3][QCMP_PING_BYTES];
    uint64_t ids[3];
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 3);
    for (size_t i = 0; i < 3; i++) {
        ids[i] = ping(&fixture);
        memcpy(sent[i], fixture.ping, sizeof sent[i]);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(qcmp_probe_cancel(fixture.probe, ids[ended_order[i]], NULL), 0);
    fixture.request.to.port++; /* so that the new pings share no nonce with the old */
    for (size_t gone = 0; gone < 3; gone++) {
        ping(&fixture);
        for (size_t i = 0; i < 3; i++) {
            uint8_t pong[QCMP_PONG_BYTES];

            make_pong(sent[ended_order[i]], pong);

            const struct qcmp_probe_event event = receive(&fixture, &SITE, pong, sizeof pong, 0);

            if (i <= gone)
                assert_rejected(&event, QCMP_REJECT_UNASKED);
            else
                assert_int_equal(event.kind, gone == 0 ? QCMP_PROBE_LATE : QCMP_PROBE_DUPLICATE);
        }
    }
    close_probe(&fixture);
}

static void a_fresh_slot_is_taken_before_a_remembered_one(void **state)
{
    uint8_t old[QCMP_PING_BYTES];
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, 3);
    assert_int_equal(qcmp_probe_cancel(fixture.probe, ping(&fixture), NULL), 0);
    memcpy(old, fixture.ping, sizeof old);
    ping(&fixture);
    ping(&fixture);
    assert_int_equal(answer(&fixture, old, 0).kind, QCMP_PROBE_LATE);
    close_probe(&fixture);
}

static void a_nonce_remembered_with_the_same_timestamp_is_not_leased_again(void **state)
{
    struct fixture fixture;

    (void)state;
    open_probe(&fixture, MAX_SLOTS);
    for (int i = 0; i < QCMP_NONCES; i++) {
        assert_int_equal(try_ping(&fixture), 0);
        assert_int_equal(qcmp_probe_cancel(fixture.probe, fixture.id, NULL), 0);
    }
    assert_int_equal(qcmp_probe_in_flight(fixture.probe), 0);
    assert_int_equal(try_ping(&fixture), QCMP_ERROR_NO_NONCE);
    ping(&fixture);
    close_probe(&fixture);
}

static void a_million_slots_work_to_the_last(void **state)
{
    struct fixture fixture;
    struct qcmp_probe_event event;
    size_t ended = 0;

    (void)state;
    open_probe(&fixture, QCMP_PROBE_MAX_SLOTS);
    for (uint32_t i = 0; i < QCMP_PROBE_MAX_SLOTS; i++) {
        memcpy(fixture.request.to.address + 12, &i, sizeof i);
        fixture.request.timeout_ns = 1 + (int64_t)(random_next(&fixture.seed) % 1000000);
        assert_int_equal(try_ping(&fixture), 0);
    }
    assert_int_equal(try_ping(&fixture), QCMP_ERROR_NO_SLOT);
    while (qcmp_probe_expire(fixture.probe, INT64_MAX, &event))
        ended++;
    assert_int_equal(ended, QCMP_PROBE_MAX_SLOTS);
    close_probe(&fixture);
}

static void a_long_random_run_does_what_a_naive_model_does(void **state)
{
    uint64_t seed = 4;
    size_t pings = 0;

    (void)state;
    for (int i = 0; i < 120; i++) {
        uint8_t script[2048];

        for (size_t at = 0; at < sizeof script; at++)
            script[at] = (uint8_t)random_next(&seed);
        script[0] = (uint8_t)i;
        pings += probe_script_run(script, sizeof script, 1000);
    }
    assert_true(pings > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_rejects_a_number_of_slots_out_of_range),
        cmocka_unit_test(init_rejects_memory_that_it_cannot_use),
        cmocka_unit_test(a_ping_carries_its_nonce_and_timestamp),
        cmocka_unit_test(an_answer_ends_its_ping_and_says_everything),
        cmocka_unit_test(pings_are_told_apart_whatever_the_order_of_their_answers),
        cmocka_unit_test(leases_are_exclusive_and_all_256_can_be_out),
        cmocka_unit_test(one_destination_does_not_use_up_the_nonces_of_another),
        cmocka_unit_test(a_failing_ping_leaves_its_outputs_alone),
        cmocka_unit_test(without_a_slot_there_is_no_ping_until_one_ends),
        cmocka_unit_test(no_nonce_is_said_before_no_slot),
        cmocka_unit_test(an_answer_gives_the_lease_back),
        cmocka_unit_test(a_time_out_gives_the_lease_back),
        cmocka_unit_test(a_cancellation_gives_the_lease_back),
        cmocka_unit_test(a_cancelled_ping_is_reported_once),
        cmocka_unit_test(cancel_knows_only_what_is_in_flight),
        cmocka_unit_test(cancel_next_ends_all_by_their_deadlines),
        cmocka_unit_test(an_answer_after_the_time_out_is_late_then_a_duplicate),
        cmocka_unit_test(an_answer_after_the_cancellation_is_late_then_a_duplicate),
        cmocka_unit_test(a_second_answer_is_a_duplicate),
        cmocka_unit_test(an_answer_at_the_deadline_is_in_time),
        cmocka_unit_test(an_answer_past_the_deadline_is_late_and_its_ping_times_out_once),
        cmocka_unit_test(a_late_answer_is_not_credited_to_the_next_ping_with_its_nonce),
        cmocka_unit_test(a_datagram_that_is_not_qcmp_is_rejected_as_foreign),
        cmocka_unit_test(a_malformed_answer_is_rejected_and_ends_nothing),
        cmocka_unit_test(a_ping_in_place_of_a_pong_is_rejected),
        cmocka_unit_test(an_answer_from_another_peer_is_unasked),
        cmocka_unit_test(an_address_that_differs_in_any_byte_is_another_peer),
        cmocka_unit_test(an_answer_with_any_other_nonce_is_unasked),
        cmocka_unit_test(an_answer_with_another_timestamp_is_rejected),
        cmocka_unit_test(time_outs_come_in_the_order_of_their_deadlines),
        cmocka_unit_test(a_cancelled_ping_leaves_the_order_of_the_others),
        cmocka_unit_test(with_nothing_in_flight_there_is_no_deadline),
        cmocka_unit_test(a_deadline_beyond_the_clock_never_passes),
        cmocka_unit_test(ids_are_never_used_again),
        cmocka_unit_test(any_nonce_can_be_the_first_and_the_second),
        cmocka_unit_test(the_last_free_nonce_is_found_whatever_the_random_number),
        cmocka_unit_test(find_knows_exactly_what_is_in_flight),
        cmocka_unit_test(remembered_pings_are_forgotten_in_the_order_of_their_endings),
        cmocka_unit_test(a_fresh_slot_is_taken_before_a_remembered_one),
        cmocka_unit_test(a_nonce_remembered_with_the_same_timestamp_is_not_leased_again),
        cmocka_unit_test(a_million_slots_work_to_the_last),
        cmocka_unit_test(a_long_random_run_does_what_a_naive_model_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "support/probe_shadow.h"

#include "support/check.h"
#include "support/wire_rules.h"

static bool same_endpoint(const struct qcmp_endpoint *left, const struct qcmp_endpoint *right)
{
    return memcmp(left->address, right->address, sizeof left->address) == 0 &&
           left->scope == right->scope && left->port == right->port;
}

static bool same_stamp(struct qcmp_stamp left, struct qcmp_stamp right)
{
    return left.wall_ns == right.wall_ns && left.monotonic_ns == right.monotonic_ns;
}

static size_t count_state(const struct shadow *shadow, enum shadow_state state)
{
    size_t count = 0;

    for (size_t i = 0; i < shadow->count; i++)
        count += shadow->pings[i].state == state;
    return count;
}

/* The ping in flight with the earliest deadline, or NULL. */
static struct shadow_ping *earliest(const struct shadow *shadow)
{
    struct shadow_ping *found = NULL;

    for (size_t i = 0; i < shadow->count; i++) {
        struct shadow_ping *ping = &shadow->pings[i];

        if (ping->state == SHADOW_IN_FLIGHT &&
            (found == NULL || ping->deadline_ns < found->deadline_ns))
            found = ping;
    }
    return found;
}

static struct shadow_ping *in_flight_with_id(const struct shadow *shadow, uint64_t id)
{
    for (size_t i = 0; i < shadow->count; i++) {
        if (shadow->pings[i].state == SHADOW_IN_FLIGHT && shadow->pings[i].id == id)
            return &shadow->pings[i];
    }
    return NULL;
}

/* Which nonces the destination of a request cannot have now. */
static size_t count_taken(const struct shadow *shadow, const struct qcmp_probe_request *request,
                          bool taken[QCMP_NONCES])
{
    size_t count = 0;

    memset(taken, 0, QCMP_NONCES * sizeof *taken);
    for (size_t i = 0; i < shadow->count; i++) {
        const struct shadow_ping *ping = &shadow->pings[i];
        const bool same_time = ping->asked.now.wall_ns == request->now.wall_ns;

        if (same_endpoint(&ping->asked.to, &request->to) &&
            (ping->state == SHADOW_IN_FLIGHT || (ping->state == SHADOW_REMEMBERED && same_time)))
            taken[ping->nonce] = true;
    }
    for (size_t i = 0; i < QCMP_NONCES; i++)
        count += taken[i];
    return count;
}

static void check_id(const struct shadow *shadow, uint64_t id)
{
    CHECK(id != 0);
    CHECK((id & UINT32_MAX) < shadow->slots);
    for (size_t i = 0; i < shadow->count; i++) {
        CHECK(shadow->pings[i].id != id);
        CHECK(shadow->pings[i].state != SHADOW_IN_FLIGHT ||
              (shadow->pings[i].id & UINT32_MAX) != (id & UINT32_MAX));
    }
}

static void forget_one_where_slots_are_short(struct shadow *shadow)
{
    struct shadow_ping *oldest = NULL;

    if (count_state(shadow, SHADOW_IN_FLIGHT) + count_state(shadow, SHADOW_REMEMBERED) <
        shadow->slots)
        return;
    for (size_t i = 0; i < shadow->count; i++) {
        struct shadow_ping *ping = &shadow->pings[i];

        if (ping->state == SHADOW_REMEMBERED && (oldest == NULL || ping->ending < oldest->ending))
            oldest = ping;
    }
    CHECK(oldest != NULL);
    oldest->state = SHADOW_FORGOTTEN;
}

static void end(struct shadow *shadow, struct shadow_ping *ping)
{
    CHECK(ping->state == SHADOW_IN_FLIGHT);
    ping->state = SHADOW_REMEMBERED;
    ping->ending = shadow->endings++;
}

/* What an event about a ping says, whatever its kind. */
static void check_event(const struct qcmp_probe_event *event, const struct shadow_ping *ping)
{
    const bool stray = event->kind == QCMP_PROBE_LATE || event->kind == QCMP_PROBE_DUPLICATE;

    CHECK(event->reason == QCMP_REJECT_NONE);
    CHECK(event->id == ping->id);
    CHECK(event->user == (stray ? NULL : ping->asked.user));
    CHECK(event->nonce == ping->nonce);
    CHECK(same_endpoint(&event->peer, &ping->asked.to));
    CHECK(same_stamp(event->sent, ping->asked.now));
}

static void check_no_pong(const struct qcmp_probe_event *event)
{
    const struct qcmp_packet none = {.kind = QCMP_FOREIGN};

    CHECK(rules_same_packet(&event->pong, &none));
}

static void check_rejection(const struct qcmp_probe_event *event, const struct qcmp_endpoint *from,
                            enum qcmp_probe_reason reason)
{
    const struct qcmp_stamp never = {0, 0};

    CHECK(event->kind == QCMP_PROBE_REJECTED);
    CHECK(event->reason == reason);
    CHECK(event->id == 0 && event->user == NULL && event->nonce == 0);
    CHECK(same_endpoint(&event->peer, from));
    CHECK(same_stamp(event->sent, never));
    check_no_pong(event);
}

static bool asked_with(const struct shadow_ping *ping, const struct qcmp_endpoint *from,
                       uint8_t nonce)
{
    return ping->state != SHADOW_FORGOTTEN && ping->nonce == nonce &&
           same_endpoint(&ping->asked.to, from);
}

static void expect_pong(struct shadow *shadow, const struct qcmp_endpoint *from,
                        const struct qcmp_packet *pong, int64_t arrived_ns,
                        const struct qcmp_probe_event *event)
{
    struct shadow_ping *asked = NULL;
    bool leased = false;

    for (size_t i = 0; i < shadow->count; i++) {
        struct shadow_ping *ping = &shadow->pings[i];
        bool asked_this = asked_with(ping, from, pong->nonce);
        bool matches = asked_this && ping->asked.now.wall_ns == pong->client_ns;

        leased = leased || (asked_this && ping->state == SHADOW_IN_FLIGHT);
        CHECK(!matches || asked == NULL);
        if (matches)
            asked = ping;
    }
    if (asked == NULL) {
        check_rejection(event, from, leased ? QCMP_REJECT_TIMESTAMP : QCMP_REJECT_UNASKED);
        return;
    }
    check_event(event, asked);
    CHECK(rules_same_packet(&event->pong, pong));
    if (asked->state == SHADOW_IN_FLIGHT && arrived_ns <= asked->deadline_ns) {
        CHECK(event->kind == QCMP_PROBE_ANSWERED);
        end(shadow, asked);
    } else {
        CHECK(event->kind == (asked->answer_seen ? QCMP_PROBE_DUPLICATE : QCMP_PROBE_LATE));
    }
    asked->answer_seen = true;
}

void shadow_init(struct shadow *shadow, size_t slots, size_t capacity)
{
    const size_t bytes = qcmp_probe_bytes(slots);

    *shadow = (struct shadow){
        .memory = malloc(bytes),
        .slots = slots,
        .pings = calloc(capacity, sizeof *shadow->pings),
        .capacity = capacity,
    };
    CHECK(shadow->memory != NULL && shadow->pings != NULL);
    memset(shadow->memory, 0xa5, bytes);
    CHECK(qcmp_probe_init(&shadow->probe, shadow->memory, bytes, slots) == 0);
}

void shadow_fini(struct shadow *shadow)
{
    while (shadow_cancel_next(shadow))
        shadow_check(shadow);
    CHECK(shadow->endings == shadow->count);
    free(shadow->pings);
    free(shadow->memory);
}

void shadow_send(struct shadow *shadow, struct qcmp_probe_request request)
{
    bool taken[QCMP_NONCES];

    if (shadow->count == shadow->capacity)
        return;

    const size_t count = count_taken(shadow, &request, taken);
    const size_t in_flight = count_state(shadow, SHADOW_IN_FLIGHT);
    uint8_t bytes[QCMP_PONG_BYTES] = {0}; /* no less, for gcc 12 sees rules_packet() read a pong */
    uint64_t id = 0;

    request.user = &shadow->pings[shadow->count];

    const int result = qcmp_probe_ping(shadow->probe, &request, bytes, &id);

    if (request.timeout_ns <= 0 || count == QCMP_NONCES || in_flight == shadow->slots) {
        CHECK(result == (request.timeout_ns <= 0 ? QCMP_ERROR_INVALID_ARGUMENT
                         : count == QCMP_NONCES  ? QCMP_ERROR_NO_NONCE
                                                 : QCMP_ERROR_NO_SLOT));
        CHECK(id == 0 && bytes[0] == 0);
        return;
    }
    CHECK(result == 0 && bytes[QCMP_PING_BYTES] == 0);
    CHECK(rules_judge(bytes, QCMP_PING_BYTES, &(struct qcmp_wire_fault){0}) == QCMP_PING);

    const struct qcmp_packet packet = rules_packet(bytes);
    const int64_t now = request.now.monotonic_ns;

    CHECK(!taken[packet.nonce] && packet.client_ns == request.now.wall_ns);
    check_id(shadow, id);
    forget_one_where_slots_are_short(shadow);
    shadow->pings[shadow->count++] = (struct shadow_ping){
        .state = SHADOW_IN_FLIGHT,
        .asked = request,
        .deadline_ns = INT64_MAX - request.timeout_ns < now ? INT64_MAX : now + request.timeout_ns,
        .id = id,
        .nonce = packet.nonce,
    };
}

void shadow_receive(struct shadow *shadow, const struct qcmp_endpoint *from, const uint8_t *data,
                    size_t bytes, int64_t arrived_ns)
{
    const int kind = rules_judge(data, bytes, &(struct qcmp_wire_fault){0});
    struct qcmp_probe_event event;

    memset(&event, 0xa5, sizeof event);
    qcmp_probe_receive(shadow->probe, from, data, bytes, arrived_ns, &event);
    if (kind == QCMP_PONG) {
        const struct qcmp_packet pong = rules_packet(data);

        expect_pong(shadow, from, &pong, arrived_ns, &event);
        return;
    }
    check_rejection(&event, from,
                    kind == QCMP_FOREIGN ? QCMP_REJECT_FOREIGN
                    : kind == QCMP_PING  ? QCMP_REJECT_NOT_PONG
                                         : QCMP_REJECT_MALFORMED);
}

bool shadow_expire(struct shadow *shadow, int64_t now_ns)
{
    const struct shadow_ping *first = earliest(shadow);
    const bool due = first != NULL && first->deadline_ns < now_ns;
    struct qcmp_probe_event event;

    CHECK(qcmp_probe_expire(shadow->probe, now_ns, &event) == due);
    if (due) {
        struct shadow_ping *ping = in_flight_with_id(shadow, event.id);

        CHECK(ping != NULL && ping->deadline_ns == first->deadline_ns);
        CHECK(event.kind == QCMP_PROBE_TIMED_OUT);
        check_event(&event, ping);
        check_no_pong(&event);
        end(shadow, ping);
    }
    return due;
}

void shadow_cancel(struct shadow *shadow, uint64_t id)
{
    struct shadow_ping *ping = in_flight_with_id(shadow, id);
    struct qcmp_probe_event event;
    const int result = qcmp_probe_cancel(shadow->probe, id, &event);

    CHECK(result == (ping != NULL ? 0 : QCMP_ERROR_NOT_IN_FLIGHT));
    if (ping != NULL) {
        CHECK(event.kind == QCMP_PROBE_CANCELLED);
        check_event(&event, ping);
        check_no_pong(&event);
        end(shadow, ping);
    }
}

bool shadow_cancel_next(struct shadow *shadow)
{
    const struct shadow_ping *first = earliest(shadow);
    struct qcmp_probe_event event;

    CHECK(qcmp_probe_cancel_next(shadow->probe, &event) == (first != NULL));
    if (first != NULL) {
        struct shadow_ping *ping = in_flight_with_id(shadow, event.id);

        CHECK(ping != NULL && ping->deadline_ns == first->deadline_ns);
        CHECK(event.kind == QCMP_PROBE_CANCELLED);
        check_event(&event, ping);
        check_no_pong(&event);
        end(shadow, ping);
    }
    return first != NULL;
}

void shadow_check(const struct shadow *shadow)
{
    const struct shadow_ping *first = earliest(shadow);
    int64_t deadline = 0;

    CHECK(qcmp_probe_in_flight(shadow->probe) == count_state(shadow, SHADOW_IN_FLIGHT));
    CHECK(qcmp_probe_deadline(shadow->probe, &deadline) == (first != NULL));
    CHECK(first == NULL || deadline == INT64_MAX || deadline - 1 == first->deadline_ns);
    CHECK(first == NULL || deadline != INT64_MAX || first->deadline_ns >= INT64_MAX - 1);
    if (shadow->count > 0) {
        const struct shadow_ping *last = &shadow->pings[shadow->count - 1];
        const bool in_flight = last->state == SHADOW_IN_FLIGHT;

        CHECK(qcmp_probe_find(shadow->probe, &last->asked.to, last->nonce,
                              last->asked.now.wall_ns) == (in_flight ? last->id : 0));
    }
}

void shadow_answer(const struct shadow_ping *ping, uint8_t pong[QCMP_PONG_BYTES])
{
    static const uint8_t header[QCMP_HEADER_BYTES] = {'Q', 'L', 'K', 'N', 0, 1, 0, 25};
    memcpy(pong, header, sizeof header);
    pong[8] = ping->nonce;
    for (size_t i = 0; i < 8; i++)
        pong[9 + i] = (uint8_t)((uint64_t)ping->asked.now.wall_ns >> (56 - 8 * i));
    for (size_t i = 17; i < QCMP_PONG_BYTES; i++)
        pong[i] = (uint8_t)(i ^ ping->nonce);
}

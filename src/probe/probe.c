/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/probe.h>

#include <stdalign.h>
#include <stdbool.h>

#include "wire/sized.h"

#define NO_SLOT UINT32_MAX

/* Endings leave a slot in one queue, and pings take theirs from its front: first those that never
 * held a ping, then those whose ping ended longest ago. So one queue is both the free list and the
 * memory of what has ended. */
enum slot_state {
    SLOT_UNUSED,
    SLOT_IN_FLIGHT, /* in the heap, and in the table under peer and nonce */
    SLOT_ENDED      /* in the queue, and in the table under peer, nonce and timestamp */
};

struct slot {
    struct qcmp_endpoint to;
    struct qcmp_stamp sent;
    int64_t deadline_ns;
    void *user;
    uint32_t generation;
    uint32_t heap_at;    /* of a ping in flight: its place in the heap */
    uint32_t queue_next; /* of others */
    uint32_t chain_next; /* the next slot of its bucket in the table */
    enum slot_state state;
    uint8_t nonce;
    bool answer_seen;
};

struct qcmp_probe {
    uint32_t *heap; /* slots in flight, the earliest deadline first */
    uint32_t in_flight;
    uint32_t *buckets; /* the table: first slot of each chain */
    uint32_t bucket_mask;
    uint32_t queue_first;
    uint32_t queue_last;
    uint32_t slot_count;
    struct slot *slots;
};

/* The slots follow the probe itself. */
#define SLOT_ALIGNMENT alignof(struct slot)
#define PROBE_BYTES                                                                                \
    ((sizeof(struct qcmp_probe) + SLOT_ALIGNMENT - 1) / SLOT_ALIGNMENT * SLOT_ALIGNMENT)

/* ---- The table ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t load64(const uint8_t *bytes)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++)
        word = word << 8 | bytes[i];
    return word;
}

static uint64_t hash_lease(const struct qcmp_endpoint *peer, uint8_t nonce)
{
    uint64_t hash = mix(0, load64(peer->address));

    hash = mix(hash, load64(peer->address + 8));
    hash = mix(hash, (uint64_t)peer->scope << 32 | (uint64_t)peer->port << 8 | nonce);
    return mix(hash, 0);
}

/* Ended pings are spread by their timestamps too: one destination can have thousands of them for
 * each nonce. */
static uint64_t hash_ended(const struct qcmp_endpoint *peer, uint8_t nonce, int64_t client_ns)
{
    return mix(hash_lease(peer, nonce), (uint64_t)client_ns);
}

static bool same_endpoint(const struct qcmp_endpoint *left, const struct qcmp_endpoint *right)
{
    return load64(left->address) == load64(right->address) &&
           load64(left->address + 8) == load64(right->address + 8) && left->scope == right->scope &&
           left->port == right->port;
}

static uint32_t *slot_bucket(const struct qcmp_probe *probe, const struct slot *slot)
{
    const uint64_t hash = slot->state == SLOT_IN_FLIGHT
                              ? hash_lease(&slot->to, slot->nonce)
                              : hash_ended(&slot->to, slot->nonce, slot->sent.wall_ns);

    return &probe->buckets[hash & probe->bucket_mask];
}

static void table_insert(struct qcmp_probe *probe, uint32_t index)
{
    uint32_t *bucket = slot_bucket(probe, &probe->slots[index]);

    probe->slots[index].chain_next = *bucket;
    *bucket = index;
}

static void table_remove(struct qcmp_probe *probe, uint32_t index)
{
    uint32_t *link = slot_bucket(probe, &probe->slots[index]);

    while (*link != index)
        link = &probe->slots[*link].chain_next;
    *link = probe->slots[index].chain_next;
}

static uint32_t find_lease(const struct qcmp_probe *probe, const struct qcmp_endpoint *peer,
                           uint8_t nonce)
{
    uint32_t index = probe->buckets[hash_lease(peer, nonce) & probe->bucket_mask];

    for (; index != NO_SLOT; index = probe->slots[index].chain_next) {
        const struct slot *slot = &probe->slots[index];

        if (slot->state == SLOT_IN_FLIGHT && slot->nonce == nonce && same_endpoint(&slot->to, peer))
            break;
    }
    return index;
}

static uint32_t find_ended(const struct qcmp_probe *probe, const struct qcmp_endpoint *peer,
                           uint8_t nonce, int64_t client_ns)
{
    uint32_t index = probe->buckets[hash_ended(peer, nonce, client_ns) & probe->bucket_mask];

    for (; index != NO_SLOT; index = probe->slots[index].chain_next) {
        const struct slot *slot = &probe->slots[index];

        if (slot->state == SLOT_ENDED && slot->sent.wall_ns == client_ns && slot->nonce == nonce &&
            same_endpoint(&slot->to, peer))
            break;
    }
    return index;
}

/* ---- The heap ---- */

static int64_t heap_deadline(const struct qcmp_probe *probe, uint32_t at)
{
    return probe->slots[probe->heap[at]].deadline_ns;
}

static void heap_place(struct qcmp_probe *probe, uint32_t at, uint32_t index)
{
    probe->heap[at] = index;
    probe->slots[index].heap_at = at;
}

/* Moves the slot at a place towards the root until none above it is later. */
static void heap_raise(struct qcmp_probe *probe, uint32_t at)
{
    const uint32_t index = probe->heap[at];

    while (at > 0) {
        const uint32_t parent = (at - 1) / 2;

        if (heap_deadline(probe, parent) <= probe->slots[index].deadline_ns)
            break;
        heap_place(probe, at, probe->heap[parent]);
        at = parent;
    }
    heap_place(probe, at, index);
}

/* Moves the slot at a place away from the root until none below it is earlier. */
static void heap_sink(struct qcmp_probe *probe, uint32_t at)
{
    const uint32_t index = probe->heap[at];

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < probe->in_flight &&
            heap_deadline(probe, child + 1) < heap_deadline(probe, child))
            child++;
        if (child >= probe->in_flight ||
            heap_deadline(probe, child) >= probe->slots[index].deadline_ns)
            break;
        heap_place(probe, at, probe->heap[child]);
        at = child;
    }
    heap_place(probe, at, index);
}

static void heap_insert(struct qcmp_probe *probe, uint32_t index)
{
    probe->heap[probe->in_flight] = index;
    heap_raise(probe, probe->in_flight++);
}

static void heap_remove(struct qcmp_probe *probe, uint32_t at)
{
    const uint32_t moved = probe->heap[--probe->in_flight];

    if (at == probe->in_flight)
        return;
    heap_place(probe, at, moved);
    heap_raise(probe, at);
    heap_sink(probe, probe->slots[moved].heap_at);
}

/* ---- Slots ---- */

static void queue_append(struct qcmp_probe *probe, uint32_t index)
{
    probe->slots[index].queue_next = NO_SLOT;
    if (probe->queue_first == NO_SLOT)
        probe->queue_first = index;
    else
        probe->slots[probe->queue_last].queue_next = index;
    probe->queue_last = index;
}

static uint64_t slot_id(const struct qcmp_probe *probe, uint32_t index)
{
    return (uint64_t)probe->slots[index].generation << 32 | index;
}

/* Takes the first slot of the queue, forgetting what ended in it. */
static uint32_t slot_take(struct qcmp_probe *probe)
{
    const uint32_t index = probe->queue_first;
    struct slot *slot = &probe->slots[index];

    probe->queue_first = slot->queue_next;
    if (slot->state == SLOT_ENDED)
        table_remove(probe, index);
    slot->generation += slot->generation == UINT32_MAX ? 2 : 1; /* an id is never 0 */
    return index;
}

static void ping_start(struct qcmp_probe *probe, uint32_t index,
                       const struct qcmp_probe_request *request, uint8_t nonce)
{
    const int64_t now = request->now.monotonic_ns;
    struct slot *slot = &probe->slots[index];

    slot->to = request->to;
    slot->sent = request->now;
    slot->deadline_ns =
        now > INT64_MAX - request->timeout_ns ? INT64_MAX : now + request->timeout_ns;
    slot->user = request->user;
    slot->nonce = nonce;
    slot->answer_seen = false;
    slot->state = SLOT_IN_FLIGHT;
    table_insert(probe, index);
    heap_insert(probe, index);
}

static void ping_end(struct qcmp_probe *probe, uint32_t index)
{
    heap_remove(probe, probe->slots[index].heap_at);
    table_remove(probe, index);
    probe->slots[index].state = SLOT_ENDED;
    table_insert(probe, index);
    queue_append(probe, index);
}

/* ---- Events ---- */

static struct qcmp_probe_event event_new(enum qcmp_probe_event_kind kind,
                                         const struct qcmp_endpoint *peer)
{
    struct qcmp_probe_event event;

    qcmp_sized_write(&event, sizeof event, NULL, 0);
    event.kind = kind;
    event.peer = *peer;
    return event;
}

static struct qcmp_probe_event event_of(const struct qcmp_probe *probe, uint32_t index,
                                        enum qcmp_probe_event_kind kind)
{
    const struct slot *slot = &probe->slots[index];
    const bool stray = kind == QCMP_PROBE_LATE || kind == QCMP_PROBE_DUPLICATE;

    struct qcmp_probe_event event = event_new(kind, &slot->to);

    event.id = slot_id(probe, index);
    event.user = stray ? NULL : slot->user; /* who asked may have freed it by now */
    event.nonce = slot->nonce;
    event.sent = slot->sent;
    return event;
}

static struct qcmp_probe_event answer(struct qcmp_probe *probe, uint32_t index,
                                      const struct qcmp_packet *pong, int64_t arrived_ns)
{
    struct slot *slot = &probe->slots[index];
    const bool in_time = slot->state == SLOT_IN_FLIGHT && arrived_ns <= slot->deadline_ns;
    struct qcmp_probe_event event =
        event_of(probe, index, slot->answer_seen ? QCMP_PROBE_DUPLICATE : QCMP_PROBE_LATE);

    slot->answer_seen = true;
    if (in_time) {
        event = event_of(probe, index, QCMP_PROBE_ANSWERED);
        ping_end(probe, index);
    }
    event.pong = *pong;
    return event;
}

static struct qcmp_probe_event rejection(const struct qcmp_endpoint *from,
                                         enum qcmp_probe_reason reason)
{
    struct qcmp_probe_event event = event_new(QCMP_PROBE_REJECTED, from);

    event.reason = reason;
    return event;
}

static struct qcmp_probe_event match(struct qcmp_probe *probe, const struct qcmp_endpoint *from,
                                     const struct qcmp_packet *pong, int64_t arrived_ns)
{
    const uint32_t lease = find_lease(probe, from, pong->nonce);

    if (lease != NO_SLOT && probe->slots[lease].sent.wall_ns == pong->client_ns)
        return answer(probe, lease, pong, arrived_ns);

    const uint32_t ended = find_ended(probe, from, pong->nonce, pong->client_ns);

    if (ended != NO_SLOT)
        return answer(probe, ended, pong, arrived_ns);
    return rejection(from, lease != NO_SLOT ? QCMP_REJECT_TIMESTAMP : QCMP_REJECT_UNASKED);
}

/* ---- The public functions ---- */

static size_t bucket_count(size_t slots)
{
    size_t count = 1;

    while (count < slots)
        count *= 2;
    return count;
}

size_t qcmp_probe_bytes(size_t slots)
{
    if (slots == 0 || slots > QCMP_PROBE_MAX_SLOTS)
        return 0;
    return PROBE_BYTES + slots * (sizeof(struct slot) + sizeof(uint32_t)) +
           bucket_count(slots) * sizeof(uint32_t);
}

int qcmp_probe_init(struct qcmp_probe **probe, void *memory, size_t bytes, size_t slots)
{
    const size_t needed = qcmp_probe_bytes(slots);
    struct qcmp_probe *made = (struct qcmp_probe *)memory;

    if (needed == 0 || memory == NULL || (uintptr_t)memory % SLOT_ALIGNMENT != 0)
        return QCMP_ERROR_INVALID_ARGUMENT;
    if (bytes < needed)
        return QCMP_ERROR_BUFFER_TOO_SMALL;

    const uint32_t count = (uint32_t)slots;
    const uint32_t buckets = (uint32_t)bucket_count(slots);

    made->slots = (struct slot *)(void *)((unsigned char *)memory + PROBE_BYTES);
    made->heap = (uint32_t *)(void *)&made->slots[count];
    made->buckets = made->heap + count;
    made->bucket_mask = buckets - 1;
    made->in_flight = 0;
    made->queue_first = made->queue_last = NO_SLOT;
    made->slot_count = count;
    for (uint32_t i = 0; i < buckets; i++)
        made->buckets[i] = NO_SLOT;
    for (uint32_t i = 0; i < count; i++) {
        made->slots[i].state = SLOT_UNUSED;
        made->slots[i].generation = 0;
        queue_append(made, i);
    }
    *probe = made;
    return 0;
}

/* Walks all nonces from a random one in random odd steps, and so meets each of them once. */
static bool nonce_choose(const struct qcmp_probe *probe, const struct qcmp_probe_request *request,
                         uint8_t *nonce)
{
    const uint8_t step = (uint8_t)(request->random >> 8 | 1);
    uint8_t tried = (uint8_t)request->random;

    for (int i = 0; i < QCMP_NONCES; i++, tried = (uint8_t)(tried + step)) {
        if (find_lease(probe, &request->to, tried) == NO_SLOT &&
            find_ended(probe, &request->to, tried, request->now.wall_ns) == NO_SLOT) {
            *nonce = tried;
            return true;
        }
    }
    return false;
}

int qcmp_probe_ping_sized(struct qcmp_probe *probe, const struct qcmp_probe_request *request,
                          size_t request_bytes, void *ping, uint64_t *id)
{
    struct qcmp_packet packet = {QCMP_PING, 0, 0, 0, 0};
    struct qcmp_probe_request read;

    if (!qcmp_sized_read(&read, sizeof read, request, request_bytes) || read.timeout_ns <= 0)
        return QCMP_ERROR_INVALID_ARGUMENT;
    packet.client_ns = read.now.wall_ns;
    if (!nonce_choose(probe, &read, &packet.nonce))
        return QCMP_ERROR_NO_NONCE;
    if (probe->queue_first == NO_SLOT)
        return QCMP_ERROR_NO_SLOT;

    const uint32_t index = slot_take(probe);

    ping_start(probe, index, &read, packet.nonce);
    (void)qcmp_packet_encode(&packet, ping, QCMP_PING_BYTES);
    *id = slot_id(probe, index);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): six, and the size of the last */
void qcmp_probe_receive_sized(struct qcmp_probe *probe, const struct qcmp_endpoint *from,
                              const void *data, size_t bytes, int64_t arrived_monotonic_ns,
                              struct qcmp_probe_event *event, size_t event_bytes)
{
    struct qcmp_packet packet;
    struct qcmp_probe_event happened;
    const int kind = qcmp_packet_decode(data, bytes, &packet, NULL);

    if (kind == QCMP_PONG)
        happened = match(probe, from, &packet, arrived_monotonic_ns);
    else if (kind == QCMP_PING)
        happened = rejection(from, QCMP_REJECT_NOT_PONG);
    else
        happened = rejection(from, kind < 0 ? QCMP_REJECT_MALFORMED : QCMP_REJECT_FOREIGN);
    qcmp_sized_write(event, event_bytes, &happened, sizeof happened);
}

/* Ends a ping and says so, where somebody wants to know. */
static void ping_end_with(struct qcmp_probe *probe, uint32_t index, enum qcmp_probe_event_kind kind,
                          struct qcmp_probe_event *event, size_t event_bytes)
{
    const struct qcmp_probe_event happened = event_of(probe, index, kind);

    if (event != NULL)
        qcmp_sized_write(event, event_bytes, &happened, sizeof happened);
    ping_end(probe, index);
}

int qcmp_probe_expire_sized(struct qcmp_probe *probe, int64_t now_monotonic_ns,
                            struct qcmp_probe_event *event, size_t event_bytes)
{
    if (probe->in_flight == 0 || heap_deadline(probe, 0) >= now_monotonic_ns)
        return 0;
    ping_end_with(probe, probe->heap[0], QCMP_PROBE_TIMED_OUT, event, event_bytes);
    return 1;
}

int qcmp_probe_deadline(const struct qcmp_probe *probe, int64_t *deadline_ns)
{
    if (probe->in_flight == 0)
        return 0;

    const int64_t last = heap_deadline(probe, 0); /* an answer is still in time then */

    *deadline_ns = last == INT64_MAX ? last : last + 1;
    return 1;
}

uint64_t qcmp_probe_find(const struct qcmp_probe *probe, const struct qcmp_endpoint *to,
                         uint8_t nonce, int64_t client_ns)
{
    const uint32_t index = find_lease(probe, to, nonce);

    if (index == NO_SLOT || probe->slots[index].sent.wall_ns != client_ns)
        return 0;
    return slot_id(probe, index);
}

int qcmp_probe_cancel_sized(struct qcmp_probe *probe, uint64_t id, struct qcmp_probe_event *event,
                            size_t event_bytes)
{
    const uint32_t index = (uint32_t)(id & UINT32_MAX);

    if (index >= probe->slot_count || probe->slots[index].state != SLOT_IN_FLIGHT ||
        slot_id(probe, index) != id)
        return QCMP_ERROR_NOT_IN_FLIGHT;
    ping_end_with(probe, index, QCMP_PROBE_CANCELLED, event, event_bytes);
    return 0;
}

int qcmp_probe_cancel_next_sized(struct qcmp_probe *probe, struct qcmp_probe_event *event,
                                 size_t event_bytes)
{
    if (probe->in_flight == 0)
        return 0;
    ping_end_with(probe, probe->heap[0], QCMP_PROBE_CANCELLED, event, event_bytes);
    return 1;
}

size_t qcmp_probe_in_flight(const struct qcmp_probe *probe)
{
    return probe->in_flight;
}

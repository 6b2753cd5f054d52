#include <qcmp/client.h>

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/clock.h"
#include "client/socket.h"

#define DEFAULT_SLOTS 1024
#define BATCH 32
#define RANDOM_POOL 32

/* The two clocks are compared around each ping; reading them as one moment is good to a few
 * microseconds. */
#define STEP_TOLERANCE_NS 100000

/* The kernel's transmit stamp of the ping in one slot. */
struct transmit {
    uint64_t id;
    int64_t kernel_ns;
};

struct qcmp_client {
    struct qcmp_socket sock;
    struct qcmp_probe *probe;
    uint64_t *ids_by_key;       /* ring: which ping a transmit stamp is about */
    struct transmit *transmits; /* one a slot */
    uint32_t key_mask;
    uint64_t random[RANDOM_POOL];
    int random_left;
    int next, arrived; /* arrivals not looked at yet: next .. arrived - 1 */
    int error;         /* of the socket, to be reported by the next call */
    struct qcmp_arrival arrivals[BATCH];
};

/* Where the parts of a client's memory are. */
struct layout {
    size_t slots, keys;
    size_t ids_by_key, transmits, probe, bytes;
};

static size_t aligned(size_t bytes)
{
    const size_t unit = alignof(max_align_t);
    return (bytes + unit - 1) / unit * unit;
}

static bool layout_compute(const struct qcmp_client_options *options, struct layout *layout)
{
    size_t slots = options != NULL && options->slots != 0 ? options->slots : DEFAULT_SLOTS;
    size_t probe_bytes = qcmp_probe_bytes(slots);
    if (probe_bytes == 0)
        return false;
    /* Twice the slots, so that a key outlives the pings that were sent after its own and have
     * ended. */
    size_t keys = 2;
    while (keys < 2 * slots)
        keys *= 2;
    layout->slots = slots;
    layout->keys = keys;
    layout->ids_by_key = aligned(sizeof(struct qcmp_client));
    layout->transmits = layout->ids_by_key + aligned(keys * sizeof(uint64_t));
    layout->probe = layout->transmits + aligned(slots * sizeof(struct transmit));
    layout->bytes = layout->probe + probe_bytes;
    return true;
}

size_t qcmp_client_bytes(const struct qcmp_client_options *options)
{
    struct layout layout;
    return layout_compute(options, &layout) ? layout.bytes : 0;
}

int qcmp_client_open(struct qcmp_client **client, void *memory, size_t bytes,
                     const struct qcmp_client_options *options)
{
    static const struct qcmp_client_options defaults = {0};
    struct layout layout;
    if (options == NULL)
        options = &defaults;
    if (client == NULL || memory == NULL || !layout_compute(options, &layout))
        return QCMP_ERROR_INVALID_ARGUMENT;
    if (bytes < layout.bytes)
        return QCMP_ERROR_BUFFER_TOO_SMALL;

    unsigned char *base = memory;
    memset(memory, 0, layout.probe);
    struct qcmp_client *opened = memory;
    opened->ids_by_key = (uint64_t *)(void *)(base + layout.ids_by_key);
    opened->transmits = (struct transmit *)(void *)(base + layout.transmits);
    opened->key_mask = (uint32_t)(layout.keys - 1);
    int error =
        qcmp_probe_init(&opened->probe, base + layout.probe, bytes - layout.probe, layout.slots);
    if (error == 0)
        error = qcmp_socket_open(&opened->sock, options->family, !options->user_stamps_only);
    if (error == 0)
        *client = opened;
    return error;
}

void qcmp_client_close(struct qcmp_client *client)
{
    if (client != NULL)
        qcmp_socket_close(&client->sock);
}

int qcmp_client_new(struct qcmp_client **client, const struct qcmp_client_options *options)
{
    size_t bytes = qcmp_client_bytes(options);
    if (client == NULL || bytes == 0)
        return QCMP_ERROR_INVALID_ARGUMENT;
    void *memory = malloc(bytes);
    if (memory == NULL)
        return qcmp_error_from_os(ENOMEM);
    int error = qcmp_client_open(client, memory, bytes, options);
    if (error != 0)
        free(memory);
    return error;
}

void qcmp_client_free(struct qcmp_client *client)
{
    qcmp_client_close(client);
    free(client);
}

int qcmp_client_fd(const struct qcmp_client *client)
{
    return client->sock.fd;
}

int64_t qcmp_client_deadline(const struct qcmp_client *client)
{
    int64_t deadline_ns;
    if (client->next < client->arrived || client->error != 0)
        return 0;
    if (!qcmp_probe_deadline(client->probe, &deadline_ns))
        return QCMP_NO_DEADLINE;
    int64_t now_ns = qcmp_clock_read().monotonic_ns;
    return deadline_ns <= now_ns ? 0 : deadline_ns - now_ns;
}

static int random_next(struct qcmp_client *client, uint64_t *random)
{
    if (client->random_left == 0) {
        int error = qcmp_random_fill(client->random, sizeof client->random);
        if (error != 0)
            return error;
        client->random_left = RANDOM_POOL;
    }
    *random = client->random[--client->random_left];
    return 0;
}

static size_t slot_of(uint64_t id)
{
    return (size_t)(id & UINT32_MAX);
}

int qcmp_client_ping(struct qcmp_client *client, const struct sockaddr *to, size_t to_bytes,
                     int64_t timeout_ns, void *user, uint64_t *id)
{
    struct qcmp_probe_request request = {.timeout_ns = timeout_ns, .user = user};
    int error = qcmp_endpoint_from_sockaddr(&request.to, to, to_bytes);
    if (error != 0 || (error = random_next(client, &request.random)) != 0)
        return error;

    uint8_t ping[QCMP_PING_BYTES];
    uint64_t ping_id;
    uint32_t key;
    request.now = qcmp_clock_read();
    error = qcmp_probe_ping(client->probe, &request, ping, &ping_id);
    if (error != 0)
        return error;
    error = qcmp_socket_send(&client->sock, &request.to, ping, sizeof ping, &key);
    if (error != 0) {
        qcmp_probe_cancel(client->probe, ping_id, NULL);
        return error;
    }
    client->ids_by_key[key & client->key_mask] = ping_id;
    client->transmits[slot_of(ping_id)] = (struct transmit){.id = ping_id};
    if (id != NULL)
        *id = ping_id;
    return 0;
}

static void event_from_probe(const struct qcmp_probe_event *from, struct qcmp_client_event *event)
{
    static const enum qcmp_client_event_kind kinds[] = {
        [QCMP_PROBE_ANSWERED] = QCMP_CLIENT_ANSWERED,
        [QCMP_PROBE_TIMED_OUT] = QCMP_CLIENT_TIMED_OUT,
        [QCMP_PROBE_CANCELLED] = QCMP_CLIENT_CANCELLED,
        [QCMP_PROBE_LATE] = QCMP_CLIENT_LATE,
        [QCMP_PROBE_DUPLICATE] = QCMP_CLIENT_DUPLICATE,
        [QCMP_PROBE_REJECTED] = QCMP_CLIENT_REJECTED,
    };
    *event = (struct qcmp_client_event){
        .kind = kinds[from->kind],
        .reason = from->reason,
        .error = from->kind == QCMP_PROBE_TIMED_OUT ? QCMP_ERROR_TIMED_OUT : 0,
        .id = from->id,
        .user = from->user,
        .peer = from->peer,
        .nonce = from->nonce,
    };
}

/* When a datagram arrived, on the monotonic clock: the kernel's stamp is on the wall clock, which
 * may have been set since. */
static int64_t arrived_monotonic_ns(const struct qcmp_arrival *arrival)
{
    if (arrival->kernel_ns == 0 || arrival->kernel_ns > arrival->read.wall_ns)
        return arrival->read.monotonic_ns;
    return arrival->read.monotonic_ns - (arrival->read.wall_ns - arrival->kernel_ns);
}

/* Puts the four timestamps of an answer together. The kernel's stamps are on the wall clock: they
 * hold only if it was not set between sending and reading. */
static void measure(const struct qcmp_client *client, const struct qcmp_probe_event *answer,
                    const struct qcmp_arrival *arrival, struct qcmp_client_event *event)
{
    const struct transmit *transmit = &client->transmits[slot_of(answer->id)];
    int64_t elapsed_ns = arrival->read.monotonic_ns - answer->sent.monotonic_ns;
    int64_t step_ns = (arrival->read.wall_ns - answer->sent.wall_ns) - elapsed_ns;
    bool sent_known = transmit->id == answer->id && transmit->kernel_ns >= answer->sent.wall_ns;
    bool arrival_known = arrival->kernel_ns != 0;
    int64_t sent_ns = sent_known ? transmit->kernel_ns : answer->sent.wall_ns;
    int64_t arrived_ns = arrival_known ? arrival->kernel_ns : arrival->read.wall_ns;

    event->clock_stepped = step_ns > STEP_TOLERANCE_NS || step_ns < -STEP_TOLERANCE_NS;
    if (event->clock_stepped || arrived_ns < sent_ns) {
        sent_known = arrival_known = false;
        sent_ns = answer->sent.wall_ns;
        arrived_ns = sent_ns + elapsed_ns;
    }
    event->transmit_source = sent_known ? QCMP_STAMP_KERNEL : QCMP_STAMP_USER;
    event->receive_source = arrival_known ? QCMP_STAMP_KERNEL : QCMP_STAMP_USER;
    event->times = (struct qcmp_times){
        .client_transmit_ns = sent_ns,
        .server_receive_ns = answer->pong.server_start_ns,
        .server_transmit_ns = answer->pong.server_transmit_ns,
        .client_receive_ns = arrived_ns,
    };
    /* Cannot fail: the clock is monotonic, and what it counts fits. */
    qcmp_sample_compute(&event->times, &event->sample);
}

/* Ends the ping that an ICMP error quotes. Errors are as easy to forge as answers, so the quote
 * must match as an answer would. */
static bool refuse(struct qcmp_client *client, const struct qcmp_notice *notice,
                   struct qcmp_client_event *event)
{
    struct qcmp_packet ping;
    struct qcmp_probe_event ended;
    if (qcmp_packet_decode(notice->data, notice->bytes, &ping, NULL) != QCMP_PING)
        return false;
    uint64_t id = qcmp_probe_find(client->probe, &notice->to, ping.nonce, ping.client_ns);
    if (id == 0 || qcmp_probe_cancel(client->probe, id, &ended) != 0)
        return false;
    event_from_probe(&ended, event);
    event->kind = QCMP_CLIENT_FAILED;
    event->error = notice->error;
    return true;
}

static void transmit_note(struct qcmp_client *client, const struct qcmp_notice *notice)
{
    uint64_t id = client->ids_by_key[notice->key & client->key_mask];
    struct transmit *transmit = &client->transmits[slot_of(id)];
    if (id != 0 && transmit->id == id)
        transmit->kernel_ns = notice->kernel_ns;
}

static int notices_take(struct qcmp_client *client, struct qcmp_client_event *events, int capacity)
{
    struct qcmp_notice notice;
    int count = 0;
    while (count < capacity && qcmp_socket_notice(&client->sock, &notice)) {
        if (notice.transmitted)
            transmit_note(client, &notice);
        else if (refuse(client, &notice, &events[count]))
            count++;
    }
    return count;
}

static bool expire_one(struct qcmp_client *client, int64_t now_ns, struct qcmp_client_event *event)
{
    struct qcmp_probe_event ended;
    if (!qcmp_probe_expire(client->probe, now_ns, &ended))
        return false;
    event_from_probe(&ended, event);
    return true;
}

static void arrival_take(struct qcmp_client *client, const struct qcmp_arrival *arrival,
                         struct qcmp_client_event *event)
{
    struct qcmp_probe_event from_probe;
    qcmp_probe_receive(client->probe, &arrival->from, arrival->data, arrival->bytes,
                       arrived_monotonic_ns(arrival), &from_probe);
    event_from_probe(&from_probe, event);
    if (event->kind == QCMP_CLIENT_ANSWERED)
        measure(client, &from_probe, arrival, event);
}

/* Each arrival is one event, so a flood is bounded by the caller's capacity; it cannot hold up
 * time-outs either, because what was due before an arrival ends before it. */
static int arrivals_take(struct qcmp_client *client, struct qcmp_client_event *events, int capacity)
{
    int count = 0;
    while (count < capacity && client->next < client->arrived) {
        const struct qcmp_arrival *arrival = &client->arrivals[client->next];
        if (expire_one(client, arrived_monotonic_ns(arrival), &events[count++]))
            continue;
        arrival_take(client, arrival, &events[count - 1]);
        client->next++;
    }
    return count;
}

static void refill(struct qcmp_client *client)
{
    int received = qcmp_socket_receive(&client->sock, client->arrivals, BATCH);
    client->next = 0;
    client->arrived = received > 0 ? received : 0;
    if (received < 0)
        client->error = received;
}

int qcmp_client_process(struct qcmp_client *client, struct qcmp_client_event *events, int capacity)
{
    if (events == NULL || capacity < 1)
        return QCMP_ERROR_INVALID_ARGUMENT;
    int64_t now_ns = qcmp_clock_read().monotonic_ns;
    int count = 0;
    bool more = true;
    while (more && count < capacity) {
        if (client->next == client->arrived)
            refill(client);
        /* Notices are read after the answers: the transmit stamp of each ping is there before its
         * answer. */
        count += notices_take(client, events + count, capacity - count);
        more = client->next < client->arrived;
        count += arrivals_take(client, events + count, capacity - count);
    }
    while (count < capacity && expire_one(client, now_ns, &events[count]))
        count++;
    if (count == 0 && client->error != 0) {
        int error = client->error;
        client->error = 0;
        return error;
    }
    return count;
}

int qcmp_client_wait(const struct qcmp_client *client, int64_t timeout_ns)
{
    int64_t deadline_ns = qcmp_client_deadline(client);
    int64_t wait_ns = timeout_ns < deadline_ns ? timeout_ns : deadline_ns;
    return qcmp_socket_wait(&client->sock, wait_ns > 0 ? wait_ns : 0);
}

int qcmp_client_cancel(struct qcmp_client *client, uint64_t id)
{
    return qcmp_probe_cancel(client->probe, id, NULL);
}

int qcmp_client_cancel_all(struct qcmp_client *client, struct qcmp_client_event *events,
                           int capacity)
{
    struct qcmp_probe_event ended;
    int count = 0;
    while (count < capacity && qcmp_probe_cancel_next(client->probe, &ended))
        event_from_probe(&ended, &events[count++]);
    return count;
}

size_t qcmp_client_in_flight(const struct qcmp_client *client)
{
    return qcmp_probe_in_flight(client->probe);
}

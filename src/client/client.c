/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/client.h"

#include <stdlib.h>
#include <string.h>

#include "client/address.h"
#include "client/clock.h"
#include "client/socket.h"
#include "wire/sized.h"

#define DEFAULT_SLOTS 1024
#define BATCH 32
#define MEMORY_UNIT 16 /* as malloc aligns where that is most */
#define RANDOM_POOL 32

/* The difference of the two clocks is constant but for steps; this is for rounding, beyond what the
 * readings themselves are uncertain by. */
#define STEP_MARGIN_NS 1000

/* Transmit stamps wait where answers do: without a look at them during a burst of pings they take
 * the room of its answers. */
#define SENDS_A_LOOK 16
#define NOTICES_A_LOOK 64

/* Beside one for each event that there is room for. ICMP errors are easy to forge in great number.
 */
#define NOTICES_A_CALL 256
#define ALL_NOTICES (-1)

#define NO_FLIGHT UINT32_MAX

/* What the client itself knows about the ping in one slot. */
struct flight {
    uint64_t id;
    struct qcmp_reading sent;
    int64_t transmit_ns;   /* the kernel's stamp on the wall clock; 0 = not known */
    int error;             /* the network refused the ping, which process() has yet to end */
    bool stamp_wanted;     /* its answer has come, and waits to be looked at */
    bool listed;           /* among the refusals, perhaps for an earlier ping of this slot */
    uint32_t refused_next; /* if listed */
};

struct qcmp_client {
    struct qcmp_socket sock;
    qcmp_send_fn *send; /* with receive, instead of the socket */
    qcmp_receive_fn *receive;
    void *io_user;
    bool kernel_stamps;
    bool drained;      /* the last look found all that had come */
    bool notices_left; /* the last call had read as many as it may */
    struct qcmp_probe *probe;
    struct flight *flights;               /* one a slot */
    uint32_t refused_first, refused_last; /* slots whose pings are to be ended, oldest first */
    uint32_t sends;
    uint64_t random[RANDOM_POOL];
    int random_left;
    int next, arrived; /* arrivals not looked at yet: next .. arrived - 1 */
    int error;         /* of the socket, to be reported by the next call */
    struct qcmp_arrival arrivals[BATCH];
};

/* Where the parts of a client's memory are. */
struct layout {
    size_t slots;
    size_t flights, probe, bytes;
};

static size_t aligned(size_t bytes)
{
    return (bytes + MEMORY_UNIT - 1) / MEMORY_UNIT * MEMORY_UNIT;
}

static bool options_read(const struct qcmp_client_options *options, size_t options_bytes,
                         struct qcmp_client_options *read)
{
    return qcmp_sized_read(read, sizeof *read, options, options != NULL ? options_bytes : 0) &&
           read->dscp >= 0 && read->dscp <= 63 && (read->send == NULL) == (read->receive == NULL);
}

static bool layout_compute(const struct qcmp_client_options *options, struct layout *layout)
{
    size_t slots = options->slots != 0 ? options->slots : DEFAULT_SLOTS;
    size_t probe_bytes = qcmp_probe_bytes(slots);
    if (probe_bytes == 0)
        return false;
    layout->slots = slots;
    layout->flights = aligned(sizeof(struct qcmp_client));
    layout->probe = layout->flights + aligned(slots * sizeof(struct flight));
    layout->bytes = layout->probe + probe_bytes;
    return true;
}

size_t qcmp_client_bytes_sized(const struct qcmp_client_options *options, size_t options_bytes)
{
    struct qcmp_client_options read;
    struct layout layout;
    if (!options_read(options, options_bytes, &read) || !layout_compute(&read, &layout))
        return 0;
    return layout.bytes;
}

int qcmp_client_open_sized(struct qcmp_client **client, void *memory, size_t bytes,
                           const struct qcmp_client_options *options, size_t options_bytes)
{
    struct qcmp_client_options read;
    struct layout layout;
    if (client == NULL || memory == NULL || !options_read(options, options_bytes, &read) ||
        !layout_compute(&read, &layout))
        return QCMP_ERROR_INVALID_ARGUMENT;
    if (bytes < layout.bytes)
        return QCMP_ERROR_BUFFER_TOO_SMALL;

    unsigned char *base = (unsigned char *)memory;
    memset(memory, 0, layout.probe);
    struct qcmp_client *opened = (struct qcmp_client *)memory;
    opened->flights = (struct flight *)(void *)(base + layout.flights);
    opened->refused_first = opened->refused_last = NO_FLIGHT;
    opened->send = read.send;
    opened->receive = read.receive;
    opened->io_user = read.io_user;
    opened->kernel_stamps = read.send == NULL && !read.user_stamps_only;
    opened->sock.fd = QCMP_NO_FD;
    int error =
        qcmp_probe_init(&opened->probe, base + layout.probe, bytes - layout.probe, layout.slots);
    if (error == 0 && read.send == NULL)
        error = qcmp_socket_open(&opened->sock, &read, layout.slots);
    if (error == 0)
        *client = opened;
    return error;
}

void qcmp_client_close(struct qcmp_client *client)
{
    if (client != NULL && client->send == NULL)
        qcmp_socket_close(&client->sock);
}

int qcmp_client_new_sized(struct qcmp_client **client, const struct qcmp_client_options *options,
                          size_t options_bytes)
{
    size_t bytes = qcmp_client_bytes_sized(options, options_bytes);
    if (client == NULL || bytes == 0)
        return QCMP_ERROR_INVALID_ARGUMENT;
    void *memory = malloc(bytes);
    if (memory == NULL)
        return qcmp_error_from_os(SYSTEM_NO_MEMORY);
    int error = qcmp_client_open_sized(client, memory, bytes, options, options_bytes);
    if (error != 0)
        free(memory);
    return error;
}

void qcmp_client_free(struct qcmp_client *client)
{
    qcmp_client_close(client);
    free(client);
}

qcmp_fd qcmp_client_fd(const struct qcmp_client *client)
{
    return client->sock.fd;
}

int64_t qcmp_client_deadline(const struct qcmp_client *client)
{
    int64_t deadline_ns;
    if (client->next < client->arrived || client->refused_first != NO_FLIGHT ||
        client->notices_left || client->error != 0)
        return 0;
    if (!qcmp_probe_deadline(client->probe, &deadline_ns))
        return QCMP_NO_DEADLINE;
    int64_t now_ns = qcmp_clock_monotonic_ns();
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

static void event_from_probe(const struct qcmp_probe_event *from, struct qcmp_client_event *event)
{
    /* By enum qcmp_probe_event_kind, which begins with 1. */
    static const enum qcmp_client_event_kind kinds[] = {
        QCMP_CLIENT_ANSWERED, QCMP_CLIENT_TIMED_OUT, QCMP_CLIENT_CANCELLED,
        QCMP_CLIENT_LATE,     QCMP_CLIENT_DUPLICATE, QCMP_CLIENT_REJECTED,
    };
    memset(event, 0, sizeof *event);
    event->kind = kinds[from->kind - QCMP_PROBE_ANSWERED];
    event->reason = from->reason;
    event->error = from->kind == QCMP_PROBE_TIMED_OUT ? QCMP_ERROR_TIMED_OUT : 0;
    event->id = from->id;
    event->user = from->user;
    event->peer = from->peer;
    event->nonce = from->nonce;
}

/* What the two clocks may seem to drift apart between a sending and a reading without a step. */
static int64_t clock_tolerance_ns(const struct flight *flight, const struct qcmp_arrival *arrival)
{
    return flight->sent.width_ns + arrival->read.width_ns + STEP_MARGIN_NS;
}

/* Puts the four timestamps of an answer together. The kernel's stamps are on the wall clock: they
 * hold only if it was not set between sending and reading. */
static void measure(const struct qcmp_client *client, const struct qcmp_probe_event *answer,
                    const struct qcmp_arrival *arrival, struct qcmp_client_event *event)
{
    const struct flight *flight = &client->flights[slot_of(answer->id)];
    int64_t elapsed_ns = arrival->read.at.monotonic_ns - answer->sent.monotonic_ns;
    int64_t step_ns = (arrival->read.at.wall_ns - answer->sent.wall_ns) - elapsed_ns;
    int64_t tolerance_ns = clock_tolerance_ns(flight, arrival);
    bool sent_known = flight->transmit_ns >= answer->sent.wall_ns;
    bool arrival_known = arrival->kernel_ns != 0;
    int64_t sent_ns = sent_known ? flight->transmit_ns : answer->sent.wall_ns;
    int64_t arrived_ns = arrival_known ? arrival->kernel_ns : arrival->read.at.wall_ns;

    event->clock_stepped = step_ns > tolerance_ns || step_ns < -tolerance_ns;
    if (event->clock_stepped || arrived_ns < sent_ns) {
        sent_known = arrival_known = false;
        sent_ns = answer->sent.wall_ns;
        arrived_ns = sent_ns + elapsed_ns;
    }
    event->transmit_source = sent_known ? QCMP_STAMP_KERNEL : QCMP_STAMP_USER;
    event->receive_source = arrival_known ? QCMP_STAMP_KERNEL : QCMP_STAMP_USER;
    event->times.client_transmit_ns = sent_ns;
    event->times.server_receive_ns = answer->pong.server_start_ns;
    event->times.server_transmit_ns = answer->pong.server_transmit_ns;
    event->times.client_receive_ns = arrived_ns;
    /* Cannot fail: the clock is monotonic, and what it counts fits. */
    qcmp_sample_compute(&event->times, &event->sample);
}

static void flight_start(struct flight *flight, uint64_t id, const struct qcmp_reading *sent)
{
    flight->id = id;
    flight->sent = *sent;
    flight->transmit_ns = 0;
    flight->stamp_wanted = false;
    flight->error = 0;
}

/* The ping in flight that a notice quotes, or NULL. ICMP errors are as easy to forge as answers, so
 * the quote must match as an answer would. */
static struct flight *flight_quoted(struct qcmp_client *client, const struct qcmp_notice *notice)
{
    struct qcmp_packet ping;
    if (qcmp_packet_decode(notice->data, notice->bytes, &ping, NULL) != QCMP_PING)
        return NULL;
    uint64_t id = qcmp_probe_find(client->probe, &notice->to, ping.nonce, ping.client_ns);
    return id != 0 ? &client->flights[slot_of(id)] : NULL;
}

/* Each slot is in the list at most once, so refusals need no memory but the slots'. */
static void refusal_note(struct qcmp_client *client, struct flight *flight, int error)
{
    uint32_t slot = (uint32_t)(flight - client->flights);
    flight->error = error;
    if (flight->listed)
        return;
    flight->listed = true;
    flight->refused_next = NO_FLIGHT;
    if (client->refused_first == NO_FLIGHT)
        client->refused_first = slot;
    else
        client->flights[client->refused_last].refused_next = slot;
    client->refused_last = slot;
}

/* Reads notices until there are none, or so many as are allowed, or @p stamps_wanted stamps that
 * answers wait for were among them. */
static void notices_take(struct qcmp_client *client, int *limit, int stamps_wanted)
{
    client->notices_left = false;
    while (stamps_wanted != 0) {
        struct qcmp_notice notice;
        client->notices_left = (*limit)-- <= 0;
        if (client->notices_left)
            break;
        int read = qcmp_socket_notice(&client->sock, &notice);
        if (read == 0) {
            client->sock.refused = false;
            break;
        }
        struct flight *flight = read > 0 ? flight_quoted(client, &notice) : NULL;
        if (flight == NULL)
            continue;
        if (notice.transmitted)
            flight->transmit_ns = notice.kernel_ns;
        else
            refusal_note(client, flight, notice.error);
        stamps_wanted -= flight->stamp_wanted;
        flight->stamp_wanted = false;
    }
}

void qcmp_client_take_stamp(struct qcmp_client *client)
{
    int limit = 1;
    if (client->kernel_stamps)
        notices_take(client, &limit, ALL_NOTICES);
    client->notices_left = false;
}

static bool refusal_take(struct qcmp_client *client, struct qcmp_client_event *event)
{
    while (client->refused_first != NO_FLIGHT) {
        struct flight *flight = &client->flights[client->refused_first];
        struct qcmp_probe_event ended;
        client->refused_first = flight->refused_next;
        flight->listed = false;
        if (flight->error == 0 || qcmp_probe_cancel(client->probe, flight->id, &ended) != 0)
            continue;
        event_from_probe(&ended, event);
        event->kind = QCMP_CLIENT_FAILED;
        event->error = flight->error;
        return true;
    }
    return false;
}

static int transport_send(struct qcmp_client *client, const struct qcmp_endpoint *to,
                          const uint8_t *ping)
{
    if (client->send != NULL)
        return client->send(to, ping, QCMP_PING_BYTES, client->io_user);
    return qcmp_socket_send(&client->sock, to, ping, QCMP_PING_BYTES);
}

int qcmp_client_ping_endpoint(struct qcmp_client *client, const struct qcmp_endpoint *to,
                              int64_t timeout_ns, void *user, uint64_t *id)
{
    struct qcmp_probe_request request;
    uint8_t ping[QCMP_PING_BYTES];
    uint64_t ping_id;
    if (to == NULL)
        return QCMP_ERROR_INVALID_ARGUMENT;
    request.to = *to;
    request.user = user;
    request.timeout_ns = timeout_ns;
    int error = random_next(client, &request.random);
    if (error != 0)
        return error;
    if (client->send == NULL && ++client->sends % SENDS_A_LOOK == 0) {
        int limit = NOTICES_A_LOOK;
        notices_take(client, &limit, ALL_NOTICES);
    }

    struct qcmp_reading now = qcmp_clock_read();
    request.now = now.at;
    error = qcmp_probe_ping(client->probe, &request, ping, &ping_id);
    if (error != 0)
        return error;
    error = transport_send(client, to, ping);
    if (error != 0) {
        qcmp_probe_cancel(client->probe, ping_id, NULL);
        return error;
    }
    flight_start(&client->flights[slot_of(ping_id)], ping_id, &now);
    if (id != NULL)
        *id = ping_id;
    return 0;
}

int qcmp_client_ping(struct qcmp_client *client, const struct sockaddr *to, size_t to_bytes,
                     int64_t timeout_ns, void *user, uint64_t *id)
{
    struct qcmp_endpoint endpoint;
    int error = qcmp_endpoint_from_sockaddr(&endpoint, to, to_bytes);
    return error != 0 ? error : qcmp_client_ping_endpoint(client, &endpoint, timeout_ns, user, id);
}

static bool expire_one(struct qcmp_client *client, int64_t now_ns, struct qcmp_client_event *event)
{
    struct qcmp_probe_event ended;
    if (!qcmp_probe_expire(client->probe, now_ns, &ended))
        return false;
    event_from_probe(&ended, event);
    return true;
}

/* The ping in flight that an arrival answers, or NULL. */
static struct flight *flight_answered(const struct qcmp_client *client,
                                      const struct qcmp_arrival *arrival)
{
    struct qcmp_packet pong;
    if (qcmp_packet_decode(arrival->data, arrival->bytes, &pong, NULL) != QCMP_PONG)
        return NULL;
    uint64_t id = qcmp_probe_find(client->probe, &arrival->from, pong.nonce, pong.client_ns);
    return id != 0 ? &client->flights[slot_of(id)] : NULL;
}

/* When a datagram arrived, on the monotonic clock. The kernel's stamp is on the wall clock: counted
 * back from the reading it holds if the clock was not set since the arrival, counted from the
 * sending if it was not set before. Where both fit between the two, the wait for the reading is
 * the one less likely to have met a step. What answers nothing in flight and has no such bounds
 * must not end pings before their answers are looked at. */
static int64_t arrived_monotonic_ns(const struct qcmp_client *client,
                                    const struct qcmp_arrival *arrival)
{
    const struct qcmp_stamp *read = &arrival->read.at;
    if (arrival->kernel_ns == 0)
        return read->monotonic_ns;
    int64_t by_reading = read->monotonic_ns - (read->wall_ns - arrival->kernel_ns);
    const struct flight *flight = flight_answered(client, arrival);
    if (flight == NULL)
        return by_reading <= read->monotonic_ns ? by_reading : INT64_MIN;
    const struct qcmp_stamp *sent = &flight->sent.at;
    int64_t by_sending = sent->monotonic_ns + (arrival->kernel_ns - sent->wall_ns);
    int64_t slack_ns = clock_tolerance_ns(flight, arrival);
    int64_t earliest = sent->monotonic_ns - slack_ns;
    int64_t latest = read->monotonic_ns + slack_ns;
    if (by_reading >= earliest && by_reading <= latest)
        return by_reading;
    if (by_sending >= earliest && by_sending <= latest)
        return by_sending;
    return read->monotonic_ns;
}

static void arrival_take(struct qcmp_client *client, const struct qcmp_arrival *arrival,
                         struct qcmp_client_event *event)
{
    struct qcmp_probe_event from_probe;
    qcmp_probe_receive(client->probe, &arrival->from, arrival->data, arrival->bytes,
                       arrived_monotonic_ns(client, arrival), &from_probe);
    event_from_probe(&from_probe, event);
    if (event->kind == QCMP_CLIENT_ANSWERED)
        measure(client, &from_probe, arrival, event);
}

/* Each arrival is one event, so a flood is bounded by the caller's capacity; it cannot hold up
 * time-outs either, because what was due before an arrival ends before it. */
static bool arrival_next(struct qcmp_client *client, struct qcmp_client_event *event)
{
    if (client->next == client->arrived)
        return false;
    const struct qcmp_arrival *arrival = &client->arrivals[client->next];
    if (!expire_one(client, arrived_monotonic_ns(client, arrival), event)) {
        arrival_take(client, arrival, event);
        client->next++;
    }
    return true;
}

static int transport_receive(struct qcmp_client *client)
{
    int received = 0;
    if (client->receive == NULL)
        return qcmp_socket_receive(&client->sock, client->arrivals, BATCH);
    while (received < BATCH) {
        struct qcmp_arrival *arrival = &client->arrivals[received];
        memset(&arrival->from, 0, sizeof arrival->from);
        arrival->bytes = sizeof arrival->data;
        arrival->kernel_ns = 0;
        int result =
            client->receive(&arrival->from, arrival->data, &arrival->bytes, client->io_user);
        if (result <= 0)
            return received > 0 ? received : result;
        arrival->read = qcmp_clock_read();
        received++;
    }
    return received;
}

/* How many transmit stamps the answers that wait lack: without a refusal nothing else that could
 * matter now is among the notices, and no system call needs to say so. */
static int stamps_to_read(struct qcmp_client *client)
{
    int wanted = 0;
    if (client->arrived == 0 || client->sock.refused)
        return ALL_NOTICES;
    for (int i = client->next; client->kernel_stamps && i < client->arrived; i++) {
        struct flight *flight = flight_answered(client, &client->arrivals[i]);
        if (flight == NULL || flight->transmit_ns != 0 || flight->stamp_wanted)
            continue;
        flight->stamp_wanted = true;
        wanted++;
    }
    return wanted;
}

static void refill(struct qcmp_client *client, int *notices)
{
    int received = transport_receive(client);
    client->next = 0;
    client->arrived = received > 0 ? received : 0;
    client->drained = received < BATCH;
    if (received < 0)
        client->error = received;
    /* Notices are read after the answers: the transmit stamp of each ping is there before its
     * answer. */
    if (client->send == NULL)
        notices_take(client, notices, stamps_to_read(client));
}

int qcmp_client_process_sized(struct qcmp_client *client, struct qcmp_client_event *events,
                              size_t event_bytes, int capacity)
{
    if (events == NULL || capacity < 1)
        return QCMP_ERROR_INVALID_ARGUMENT;
    int64_t now_ns = qcmp_clock_monotonic_ns();
    int notices = capacity < NOTICES_A_CALL ? NOTICES_A_CALL + capacity : 2 * NOTICES_A_CALL;
    int count = 0;
    client->drained = false;
    while (count < capacity) {
        struct qcmp_client_event event;
        if (client->next == client->arrived && !client->drained)
            refill(client, &notices);
        if (!refusal_take(client, &event) && !arrival_next(client, &event)) {
            if (!client->drained)
                continue;
            if (!expire_one(client, now_ns, &event))
                break;
        }
        qcmp_sized_write((unsigned char *)events + (size_t)count++ * event_bytes, event_bytes,
                         &event, sizeof event);
    }
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
    if (client->send != NULL)
        return qcmp_error_from_os(SYSTEM_NOT_SUPPORTED);
    return qcmp_socket_wait(&client->sock, wait_ns > 0 ? wait_ns : 0);
}

int qcmp_client_cancel(struct qcmp_client *client, uint64_t id)
{
    return qcmp_probe_cancel(client->probe, id, NULL);
}

int qcmp_client_cancel_all_sized(struct qcmp_client *client, struct qcmp_client_event *events,
                                 size_t event_bytes, int capacity)
{
    struct qcmp_probe_event ended;
    int count = 0;
    while (count < capacity && qcmp_probe_cancel_next(client->probe, &ended)) {
        struct qcmp_client_event event;
        event_from_probe(&ended, &event);
        qcmp_sized_write((unsigned char *)events + (size_t)count++ * event_bytes, event_bytes,
                         &event, sizeof event);
    }
    return count;
}

size_t qcmp_client_in_flight(const struct qcmp_client *client)
{
    return qcmp_probe_in_flight(client->probe);
}

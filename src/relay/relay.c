/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/bind.h"
#include "net/port.h"
#include "relay/arrival.h"
#include "relay/clients.h"

/* Room for as many small datagrams as a queue holds, which take some 768 bytes each on loopback;
 * and for 50 ms of 10,000 a second from the server to one client. */
#define LISTEN_BUFFER_BYTES (8 << 20)
#define CLIENT_BUFFER_BYTES (512 << 10)

/* Batches that are read from one socket when the relay ends: what its buffer held, but no flood. */
#define LAST_BATCHES (LISTEN_BUFFER_BYTES / 256 / PACKET_BATCH)

#define IPV4_HEADERS_BYTES 28
#define IPV6_HEADERS_BYTES 48

#define NS_PER_S INT64_C(1000000000)

struct relay {
    struct relay_options options;
    struct endpoint to;
    struct relay_channel channels[RELAY_DIRECTIONS];
    unsigned channels_count; /* that are open */
    struct relay_clients clients;
    struct loop *loop;
    struct port_batch *batch;
    struct port_counters *counters; /* shared by all ports */
    struct port *port;              /* where clients send to */
    struct loop_watch watch, timer, stop;
    struct arrival_clocks empty; /* when that port was seen empty */
    int64_t armed_ns;            /* what the timer is set to; RELAY_QUEUE_NEVER: nothing */
    int64_t asked_ns;            /* when datagrams were last asked for */
    int64_t latest_ns;           /* when the last datagram that was read arrived */
    bool is_stopping;
};

static void client_remove(struct relay *relay, struct relay_client *client)
{
    uint32_t drops = 0;

    bind_drops(client->watch.fd, &drops);
    relay->channels[RELAY_DOWN].counts.kernel_drops += drops;
    loop_remove(relay->loop, &client->watch);
    port_close(client->port);
    relay_clients_remove(&relay->clients, client);
}

/* Takes a datagram of a client, or for one. */
static void take(struct relay *relay, enum relay_direction direction, struct relay_client *client,
                 const struct packet *packet, const struct arrival_clocks *read)
{
    const struct arrival_clocks *empty = direction == RELAY_UP ? &relay->empty : &client->empty;
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&client->address.address);
    struct relay_payload payload = {.data = packet->data,
                                    .bytes = packet->bytes,
                                    .header_bytes =
                                        is_ipv4 ? IPV4_HEADERS_BYTES : IPV6_HEADERS_BYTES};

    relay->latest_ns = arrival_monotonic_ns(empty, read, packet->received_ns);
    relay_clients_touch(&relay->clients, client, read->monotonic_ns);
    client->waiting += relay_channel_offer(&relay->channels[direction], &client->streams[direction],
                                           client, &payload, relay->latest_ns);
}

static void receive_down(struct port *port, struct packet *packets, unsigned count, void *user)
{
    struct relay_client *client = user;
    struct arrival_clocks read = arrival_clocks_read();

    for (unsigned i = 0; i < count; i++) {
        take(client->relay, RELAY_DOWN, client, &packets[i], &read);
        port_count(port, 0, &packets[i]);
    }
}

/* Receives a batch: from a client's port, or from all clients if it is NULL. Returns whether there
 * may be more. A short batch emptied the socket, but for what came since the call began. */
static bool receive_batch(struct relay *relay, struct relay_client *client)
{
    struct arrival_clocks *empty = client != NULL ? &client->empty : &relay->empty;
    struct arrival_clocks before = arrival_clocks_read();

    relay->asked_ns = before.monotonic_ns;
    int received = port_turn(client != NULL ? client->port : relay->port);
    if (received < 0)
        relay->channels[client != NULL ? RELAY_DOWN : RELAY_UP].counts.receive_errors++;
    else if (received < PACKET_BATCH)
        *empty = before;
    return received < 0 || received == PACKET_BATCH;
}

/* Sends what is due in one direction, up to a batch. Returns whether there may be more. */
static bool send_batch(struct relay *relay, enum relay_direction direction)
{
    struct relay_channel *channel = &relay->channels[direction];
    struct relay_datagram *datagrams[PACKET_BATCH];
    uint64_t sent_before = counter_read(&relay->counters->sent);
    int64_t now_ns = clock_monotonic_ns();
    unsigned count = 0;

    while (count < PACKET_BATCH &&
           (datagrams[count] = relay_channel_pop(channel, now_ns)) != NULL) {
        struct relay_datagram *datagram = datagrams[count++];
        const struct relay_client *client = datagram->owner;
        bool is_up = direction == RELAY_UP;
        port_send(is_up ? client->port : relay->port,
                  &(struct port_message){.data = datagram->data,
                                         .bytes = (uint32_t)datagram->bytes,
                                         .to = is_up ? &relay->to : &client->address,
                                         .from = is_up ? NULL : &client->local,
                                         .stamp_at = -1});
    }
    port_flush(relay->port);
    uint64_t sent = counter_read(&relay->counters->sent) - sent_before;
    relay_channel_sent(channel, sent, count - sent);
    for (unsigned i = 0; i < count; i++) {
        struct relay_client *client = datagrams[i]->owner;
        client->waiting--;
        relay_clients_touch(&relay->clients, client, now_ns);
        free(datagrams[i]);
    }
    return count == PACKET_BATCH;
}

static void send_due(struct relay *relay)
{
    bool more;

    do {
        more = send_batch(relay, RELAY_UP);
        more = send_batch(relay, RELAY_DOWN) || more;
    } while (more);
}

static void client_ready(uint32_t events, void *user)
{
    struct relay_client *client = user;

    (void)events;
    receive_batch(client->relay, client);
    send_due(client->relay);
}

static struct relay_client *client_add(struct relay *relay, const struct endpoint *address,
                                       int64_t now_ns)
{
    const struct relay_options *options = &relay->options;

    if (relay->clients.count == relay->clients.capacity) /* before a socket is made for nothing */
        return NULL;
    int fd = bind_connected((const struct sockaddr *)&options->to, options->to_bytes,
                            CLIENT_BUFFER_BYTES);
    if (fd < 0)
        return NULL;
    struct relay_client *client = relay_clients_add(&relay->clients, address, now_ns);
    if (client == NULL) {
        close(fd);
        return NULL;
    }

    const struct port_options port = {.fd = fd,
                                      .max_bytes = PACKET_MAX_BYTES,
                                      .batch = relay->batch,
                                      .counters = relay->counters,
                                      .receive = receive_down,
                                      .user = client,
                                      .is_connected = true};
    client->relay = relay;
    client->watch = (struct loop_watch){.fd = fd, .ready = client_ready, .user = client};
    if (port_open(&client->port, &port) != 0 ||
        loop_add(relay->loop, &client->watch, EPOLLIN) != 0) {
        port_close(client->port);
        relay_clients_remove(&relay->clients, client);
        return NULL;
    }
    client->empty = arrival_clocks_read();
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++)
        impair_stream_init(&client->streams[i], options->seed, client->number,
                           (enum relay_direction)i);
    return client;
}

static void receive_up(struct port *port, struct packet *packets, unsigned count, void *user)
{
    struct relay *relay = user;
    struct arrival_clocks read = arrival_clocks_read();

    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = &packets[i];
        struct relay_client *client = relay_clients_find(&relay->clients, &packet->peer);
        if (client == NULL)
            client = client_add(relay, &packet->peer, read.monotonic_ns);
        port_count(port, 0, packet);
        if (client == NULL) {
            relay_channel_refuse(&relay->channels[RELAY_UP]);
            continue;
        }
        client->local = packet->local;
        take(relay, RELAY_UP, client, packet, &read);
    }
}

static void listener_ready(uint32_t events, void *user)
{
    struct relay *relay = user;

    (void)events;
    receive_batch(relay, NULL);
    send_due(relay);
}

static void timer_ready(uint32_t events, void *user)
{
    (void)events;
    send_due(user);
}

static void stop_ready(uint32_t events, void *user)
{
    struct relay *relay = user;

    (void)events;
    relay->is_stopping = true;
}

/* Whether what is sent to the server comes back to the relay, over and over. An address that a
 * socket can be bound to is this host's. */
static bool is_own_server(const struct relay *relay)
{
    struct sockaddr_storage own, bound;
    socklen_t bytes;

    relay_address(relay, &own, &bytes);
    struct endpoint listen = endpoint_from_socket((const struct sockaddr *)&own);
    if (relay->to.port != listen.port)
        return false;
    if (!address_is_any(&listen.address))
        return IN6_ARE_ADDR_EQUAL(&relay->to.address, &listen.address);
    bytes = address_to_socket(&relay->to.address, 0, &bound);
    int fd = socket(bound.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_ours = fd >= 0 && bind(fd, (const struct sockaddr *)&bound, bytes) == 0;
    if (fd >= 0)
        close(fd);
    return is_ours;
}

static int open_listener(struct relay *relay)
{
    struct binding binding = {.address = relay->options.listen,
                              .buffer_bytes = LISTEN_BUFFER_BYTES};
    int fd = bind_open(&binding, relay->options.listen_port, false);
    if (fd < 0)
        return fd;

    const struct port_options port = {.fd = fd,
                                      .max_bytes = PACKET_MAX_BYTES,
                                      .batch = relay->batch,
                                      .counters = relay->counters,
                                      .receive = receive_up,
                                      .user = relay};
    int error = port_open(&relay->port, &port);
    if (error != 0)
        return error;
    relay->empty = arrival_clocks_read();
    relay->watch = (struct loop_watch){.fd = fd, .ready = listener_ready, .user = relay};
    return loop_add(relay->loop, &relay->watch, EPOLLIN);
}

int relay_open(struct relay **relay, const struct relay_options *options)
{
    struct relay *opened = calloc(1, sizeof *opened);
    int error = -ENOMEM;

    if (opened == NULL)
        return error;
    opened->options = *options;
    opened->to = endpoint_from_socket((const struct sockaddr *)&options->to);
    opened->armed_ns = RELAY_QUEUE_NEVER;
    opened->timer = (struct loop_watch){.fd = -1, .ready = timer_ready, .user = opened};
    opened->batch = port_batch_new();
    opened->counters = port_counters_new(1);
    if (opened->batch == NULL || opened->counters == NULL ||
        relay_clients_init(&opened->clients, options->max_clients, &options->key) != 0)
        goto fail;
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++, opened->channels_count++) {
        if (relay_channel_init(&opened->channels[i], &options->settings[i]) != 0)
            goto fail;
    }
    error = loop_new(&opened->loop);
    if (error != 0)
        goto fail;
    /* Finer than the loop's timers, which count milliseconds. */
    opened->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    error = opened->timer.fd < 0 ? -errno : loop_add(opened->loop, &opened->timer, EPOLLIN);
    if (error == 0)
        error = open_listener(opened);
    if (error == 0 && is_own_server(opened))
        error = -ELOOP;
    if (error != 0)
        goto fail;
    *relay = opened;
    return 0;

fail:
    relay_close(opened);
    return error;
}

void relay_address(const struct relay *relay, struct sockaddr_storage *address, socklen_t *bytes)
{
    *bytes = sizeof *address;
    memset(address, 0, sizeof *address);
    getsockname(port_fd(relay->port), (struct sockaddr *)address, bytes);
}

/* A client with something in a queue is not idle, however long its delay is. */
static void remove_idle(struct relay *relay)
{
    int64_t now_ns = clock_monotonic_ns();
    struct relay_client *oldest;

    while ((oldest = relay->clients.oldest) != NULL &&
           now_ns - oldest->seen_ns >= relay->options.idle_ns) {
        if (oldest->waiting > 0)
            relay_clients_touch(&relay->clients, oldest, now_ns);
        else
            client_remove(relay, oldest);
    }
}

/* Sets the timer to what is next. That also takes back that it has expired. */
static void timer_arm(struct relay *relay)
{
    const struct relay_client *oldest = relay->clients.oldest;
    int64_t next = oldest != NULL ? oldest->seen_ns + relay->options.idle_ns : RELAY_QUEUE_NEVER;
    struct itimerspec at = {0};

    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++) {
        int64_t due_ns = relay_channel_due_ns(&relay->channels[i]);
        next = due_ns < next ? due_ns : next;
    }
    if (next == relay->armed_ns)
        return;
    if (next != RELAY_QUEUE_NEVER)
        at.it_value = (struct timespec){.tv_sec = next / NS_PER_S, .tv_nsec = next % NS_PER_S};
    timerfd_settime(relay->timer.fd, TFD_TIMER_ABSTIME, &at, NULL);
    relay->armed_ns = next;
}

/* Receives what had arrived on one socket by then: no flood keeps it from an end. One that the
 * kernel did not stamp seems to have arrived when it was read, which says nothing. */
static void drain(struct relay *relay, struct relay_client *client, int64_t until_ns)
{
    relay->latest_ns = until_ns;
    for (int i = 0; i < LAST_BATCHES; i++) {
        bool is_later = relay->latest_ns > until_ns && relay->latest_ns < relay->asked_ns;
        if (is_later || !receive_batch(relay, client))
            return;
        send_due(relay);
    }
}

int relay_run(struct relay *relay, int stop_fd)
{
    relay->is_stopping = false;
    relay->stop = (struct loop_watch){.fd = stop_fd, .ready = stop_ready, .user = relay};
    int error = loop_add(relay->loop, &relay->stop, EPOLLIN);
    if (error != 0)
        return error;
    while (!relay->is_stopping) {
        timer_arm(relay);
        loop_turn(relay->loop, LOOP_NEVER);
        remove_idle(relay);
    }
    loop_remove(relay->loop, &relay->stop);

    int64_t now_ns = clock_monotonic_ns();
    struct relay_client *client = NULL;
    drain(relay, NULL, now_ns);
    while ((client = relay_clients_next(&relay->clients, client)) != NULL)
        drain(relay, client, now_ns);
    send_due(relay);
    return 0;
}

struct relay_counts relay_counts(const struct relay *relay, enum relay_direction direction)
{
    struct relay_counts counts = relay_channel_counts(&relay->channels[direction]);
    const struct relay_client *client = NULL;
    uint32_t drops = 0;

    if (direction == RELAY_UP) {
        if (bind_drops(port_fd(relay->port), &drops) == 0)
            counts.kernel_drops += drops;
        return counts;
    }
    while ((client = relay_clients_next(&relay->clients, client)) != NULL) {
        if (bind_drops(client->watch.fd, &drops) == 0)
            counts.kernel_drops += drops;
    }
    return counts;
}

uint64_t relay_clients_seen(const struct relay *relay)
{
    return relay->clients.numbers;
}

void relay_close(struct relay *relay)
{
    if (relay == NULL)
        return;
    while (relay->clients.oldest != NULL)
        client_remove(relay, relay->clients.oldest);
    for (unsigned i = 0; i < relay->channels_count; i++)
        relay_channel_fini(&relay->channels[i]);
    if (relay->clients.buckets != NULL)
        relay_clients_fini(&relay->clients);
    port_close(relay->port);
    if (relay->timer.fd >= 0)
        close(relay->timer.fd);
    loop_free(relay->loop);
    port_batch_free(relay->batch);
    free(relay->counters);
    free(relay);
}

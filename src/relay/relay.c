#include "relay/relay.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/address.h"
#include "net/bind.h"
#include "net/udp_info.h"
#include "relay/arrival.h"
#include "relay/clients.h"

/* Datagrams that one call moves. */
#define BATCH 32

/* Longer than any datagram. */
#define DATA_BYTES 65536

#define EVENTS 64

/* Room for as many small datagrams as a queue holds, which take some 768 bytes each on loopback;
 * and for 50 ms of 10,000 a second from the server to one client. */
#define LISTEN_BUFFER_BYTES (8 << 20)
#define CLIENT_BUFFER_BYTES (512 << 10)

/* Batches that are read from one socket when the relay ends: what its buffer held, but no flood. */
#define LAST_BATCHES (LISTEN_BUFFER_BYTES / 256 / BATCH)

#define IPV4_HEADERS_BYTES 28
#define IPV6_HEADERS_BYTES 48

#define NS_PER_S INT64_C(1000000000)

/* Where a datagram is received. */
struct slot {
    struct sockaddr_in6 from;
    struct iovec vector;
    alignas(size_t) char control[256];
};

struct relay {
    struct relay_options options;
    struct relay_channel channels[RELAY_DIRECTIONS];
    unsigned channels_count; /* that are open */
    struct relay_clients clients;
    int listen_fd, wait_fd, timer_fd; /* -1: not open */
    struct arrival_clocks empty;      /* when listen_fd was seen empty */
    int64_t armed_ns;                 /* what timer_fd is set to; RELAY_QUEUE_NEVER: nothing */
    int64_t asked_ns;                 /* when datagrams were last asked for */
    int64_t latest_ns;                /* when the last datagram that was read arrived */
    bool stopping;
    struct mmsghdr messages[BATCH];
    struct slot slots[BATCH];
    uint8_t data[BATCH][DATA_BYTES];
};

static void message_reset(struct msghdr *message)
{
    message->msg_namelen = sizeof(struct sockaddr_in6);
    message->msg_controllen = sizeof((struct slot *)0)->control;
}

static void slots_init(struct relay *relay)
{
    for (unsigned i = 0; i < BATCH; i++) {
        struct slot *slot = &relay->slots[i];
        slot->vector = (struct iovec){relay->data[i], DATA_BYTES};
        relay->messages[i].msg_hdr = (struct msghdr){.msg_name = &slot->from,
                                                     .msg_iov = &slot->vector,
                                                     .msg_iovlen = 1,
                                                     .msg_control = slot->control};
        message_reset(&relay->messages[i].msg_hdr);
    }
}

/* Events carry the client whose socket they are of; the relay's own descriptors carry a place that
 * is no client's. */
static int wait_for(const struct relay *relay, int fd, void *carried)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = carried};
    return epoll_ctl(relay->wait_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int sockets_open(struct relay *relay)
{
    struct binding binding = {.address = relay->options.listen,
                              .buffer_bytes = LISTEN_BUFFER_BYTES};
    int error = bind_open(&relay->listen_fd, 1, &binding, relay->options.listen_port);
    if (error != 0)
        return error;
    relay->empty = arrival_clocks_read();
    relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    relay->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (relay->timer_fd < 0 || relay->wait_fd < 0)
        return -errno;
    error = wait_for(relay, relay->listen_fd, &relay->listen_fd);
    return error != 0 ? error : wait_for(relay, relay->timer_fd, &relay->timer_fd);
}

/* An address that a socket can be bound to is this host's. */
static bool is_of_this_host(const struct in6_addr *address)
{
    struct sockaddr_storage bound;
    socklen_t bytes = address_to_socket(address, 0, &bound);
    int fd = socket(bound.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_ours = fd >= 0 && bind(fd, (const struct sockaddr *)&bound, bytes) == 0;
    if (fd >= 0)
        close(fd);
    return is_ours;
}

/* Whether what is sent to the server comes back to the relay, over and over. */
static bool is_own_server(const struct relay *relay)
{
    struct sockaddr_storage own;
    socklen_t own_bytes;
    relay_address(relay, &own, &own_bytes);
    struct in6_addr to = address_from_socket(&relay->options.to),
                    listen = address_from_socket(&own);
    /* The port is in the same place in an address of IPv4. */
    if (((const struct sockaddr_in6 *)&relay->options.to)->sin6_port !=
        ((const struct sockaddr_in6 *)&own)->sin6_port)
        return false;
    return address_is_any(&listen) ? is_of_this_host(&to) : memcmp(&to, &listen, sizeof to) == 0;
}

static struct relay *relay_new(const struct relay_options *options)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return NULL;
    relay->options = *options;
    relay->listen_fd = relay->wait_fd = relay->timer_fd = -1;
    relay->armed_ns = RELAY_QUEUE_NEVER;
    slots_init(relay);
    if (relay_clients_init(&relay->clients, options->max_clients, &options->key) != 0)
        goto fail;
    while (relay->channels_count < RELAY_DIRECTIONS) {
        unsigned direction = relay->channels_count;
        if (relay_channel_init(&relay->channels[direction], &options->settings[direction]) != 0)
            goto fail;
        relay->channels_count++;
    }
    return relay;

fail:
    relay_close(relay);
    return NULL;
}

int relay_open(struct relay **relay, const struct relay_options *options)
{
    struct relay *opened = relay_new(options);
    if (opened == NULL)
        return -ENOMEM;
    int error = sockets_open(opened);
    if (error == 0 && is_own_server(opened))
        error = -ELOOP;
    if (error != 0) {
        relay_close(opened);
        return error;
    }
    *relay = opened;
    return 0;
}

void relay_address(const struct relay *relay, struct sockaddr_storage *address, socklen_t *bytes)
{
    *bytes = sizeof *address;
    memset(address, 0, sizeof *address);
    getsockname(relay->listen_fd, (struct sockaddr *)address, bytes);
}

static void client_remove(struct relay *relay, struct relay_client *client)
{
    uint32_t drops = 0;
    bind_drops(client->fd, &drops);
    relay->channels[RELAY_DOWN].counts.kernel_drops += drops;
    close(client->fd); /* which takes it out of the epoll, too */
    relay_clients_remove(&relay->clients, client);
}

static struct relay_client *client_add(struct relay *relay, const struct sockaddr_in6 *address,
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
    if (client == NULL || wait_for(relay, fd, client) != 0) {
        if (client != NULL)
            relay_clients_remove(&relay->clients, client);
        close(fd);
        return NULL;
    }
    client->fd = fd;
    client->empty = arrival_clocks_read();
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++)
        impair_stream_init(&client->streams[i], options->seed, client->number,
                           (enum relay_direction)i);
    return client;
}

/* Returns the number of datagrams, 0 when there are none, or -1. */
static int receive(struct relay *relay, int fd)
{
    int received = recvmmsg(fd, relay->messages, BATCH, MSG_DONTWAIT, NULL);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return received;
}

static size_t headers_bytes(const struct sockaddr_in6 *address)
{
    bool ipv4 = address->sin6_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&address->sin6_addr);
    return ipv4 ? IPV4_HEADERS_BYTES : IPV6_HEADERS_BYTES;
}

static void take(struct relay *relay, enum relay_direction direction, struct relay_client *client,
                 unsigned index)
{
    struct relay_payload payload = {.data = relay->data[index],
                                    .bytes = relay->messages[index].msg_len,
                                    .header_bytes = headers_bytes(&client->address)};
    client->waiting += relay_channel_offer(&relay->channels[direction], &client->streams[direction],
                                           client, &payload, relay->latest_ns);
}

/* The client of a datagram on the listening socket, which may be a new one. */
static struct relay_client *client_for(struct relay *relay, const struct slot *slot,
                                       const struct udp_info *info, int64_t now_ns)
{
    struct relay_client *client = relay_clients_find(&relay->clients, &slot->from);
    if (client == NULL)
        client = client_add(relay, &slot->from, now_ns);
    if (client == NULL)
        return NULL;
    client->reply_bytes = info->reply_bytes;
    if (info->reply_bytes > 0)
        memcpy(client->reply, info->reply, info->reply_bytes);
    return client;
}

static void take_up(struct relay *relay, unsigned index, const struct udp_info *info,
                    int64_t now_ns)
{
    struct relay_client *client = client_for(relay, &relay->slots[index], info, now_ns);
    if (client == NULL) {
        relay_channel_refuse(&relay->channels[RELAY_UP]);
        return;
    }
    relay_clients_touch(&relay->clients, client, now_ns);
    take(relay, RELAY_UP, client, index);
}

static void take_down(struct relay *relay, struct relay_client *client, unsigned index,
                      int64_t now_ns)
{
    relay_clients_touch(&relay->clients, client, now_ns);
    take(relay, RELAY_DOWN, client, index);
}

/* Receives a batch: of a client's socket, or of all clients if it is NULL. Returns whether there
 * may be more. A short batch emptied the socket, but for what came since the call began. */
static bool receive_batch(struct relay *relay, struct relay_client *client)
{
    enum relay_direction direction = client != NULL ? RELAY_DOWN : RELAY_UP;
    struct arrival_clocks *empty = client != NULL ? &client->empty : &relay->empty;
    struct arrival_clocks before = arrival_clocks_read();
    relay->asked_ns = before.monotonic_ns;
    int received = receive(relay, client != NULL ? client->fd : relay->listen_fd);
    struct arrival_clocks read = arrival_clocks_read();
    if (received < 0) {
        relay->channels[direction].counts.receive_errors++;
        return true;
    }
    for (unsigned i = 0; i < (unsigned)received; i++) {
        struct msghdr *message = &relay->messages[i].msg_hdr;
        struct in6_addr mapped;
        struct udp_info info =
            udp_info_read(message->msg_control, message->msg_controllen, &mapped);
        relay->latest_ns = arrival_monotonic_ns(empty, &read, info.received_ns);
        if (client != NULL)
            take_down(relay, client, i, read.monotonic_ns);
        else
            take_up(relay, i, &info, read.monotonic_ns);
        message_reset(message);
    }
    if (received < BATCH)
        *empty = before;
    return received == BATCH;
}

/* Which socket a datagram leaves from. */
static int sender_of(const struct relay *relay, enum relay_direction direction,
                     const struct relay_datagram *datagram)
{
    const struct relay_client *client = datagram->owner;
    return direction == RELAY_UP ? client->fd : relay->listen_fd;
}

static void address_message(struct msghdr *message, enum relay_direction direction,
                            struct relay_client *client)
{
    if (direction == RELAY_UP)
        return;
    message->msg_name = &client->address;
    message->msg_namelen = sizeof client->address; /* which serves IPv4 sockets as well */
    message->msg_control = client->reply_bytes > 0 ? client->reply : NULL;
    message->msg_controllen = client->reply_bytes;
}

/* Tries twice: an error that the network reported about an earlier datagram takes the place of one
 * send, and is then gone. */
static int send_some(int fd, struct mmsghdr *messages, unsigned count)
{
    int sent = sendmmsg(fd, messages, count, MSG_DONTWAIT);
    return sent > 0 ? sent : sendmmsg(fd, messages, count, MSG_DONTWAIT);
}

/* Sends datagrams of one socket. */
static void send_run(struct relay *relay, enum relay_direction direction,
                     struct relay_datagram *const *datagrams, unsigned count)
{
    struct iovec vectors[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    for (unsigned i = 0; i < count; i++) {
        vectors[i] = (struct iovec){datagrams[i]->data, datagrams[i]->bytes};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
        address_message(&messages[i].msg_hdr, direction, datagrams[i]->owner);
    }
    int fd = sender_of(relay, direction, datagrams[0]);
    for (unsigned done = 0; done < count;) {
        int sent = send_some(fd, messages + done, count - done);
        relay_channel_sent(&relay->channels[direction], sent > 0 ? (size_t)sent : 0, sent <= 0);
        done += sent > 0 ? (unsigned)sent : 1;
    }
}

static void release(struct relay *relay, struct relay_datagram *datagram, int64_t now_ns)
{
    struct relay_client *client = datagram->owner;
    client->waiting--;
    relay_clients_touch(&relay->clients, client, now_ns);
    free(datagram);
}

/* Sends what is due in one direction, up to a batch. Returns whether there may be more. */
static bool send_batch(struct relay *relay, enum relay_direction direction)
{
    struct relay_datagram *datagrams[BATCH];
    int64_t now_ns = clock_monotonic_ns();
    unsigned count = 0;
    while (count < BATCH &&
           (datagrams[count] = relay_channel_pop(&relay->channels[direction], now_ns)) != NULL)
        count++;
    for (unsigned first = 0, next; first < count; first = next) {
        int fd = sender_of(relay, direction, datagrams[first]);
        next = first + 1;
        while (next < count && sender_of(relay, direction, datagrams[next]) == fd)
            next++;
        send_run(relay, direction, datagrams + first, next - first);
    }
    for (unsigned i = 0; i < count; i++)
        release(relay, datagrams[i], now_ns);
    return count == BATCH;
}

static void send_due(struct relay *relay)
{
    bool more;
    do {
        more = send_batch(relay, RELAY_UP);
        more = send_batch(relay, RELAY_DOWN) || more;
    } while (more);
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

static int64_t next_ns(const struct relay *relay)
{
    int64_t next = RELAY_QUEUE_NEVER;
    for (unsigned i = 0; i < RELAY_DIRECTIONS; i++) {
        int64_t due_ns = relay_channel_due_ns(&relay->channels[i]);
        next = due_ns < next ? due_ns : next;
    }
    if (relay->clients.oldest != NULL) {
        int64_t idle_ns = relay->clients.oldest->seen_ns + relay->options.idle_ns;
        next = idle_ns < next ? idle_ns : next;
    }
    return next;
}

/* Setting the timer also takes back that it has expired. */
static void timer_arm(struct relay *relay)
{
    int64_t next = next_ns(relay);
    if (next == relay->armed_ns)
        return;
    struct itimerspec at = {0};
    if (next != RELAY_QUEUE_NEVER)
        at.it_value = (struct timespec){.tv_sec = next / NS_PER_S, .tv_nsec = next % NS_PER_S};
    timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
    relay->armed_ns = next;
}

static void handle(struct relay *relay, void *carried)
{
    if (carried == &relay->stopping)
        relay->stopping = true;
    else if (carried != &relay->timer_fd)
        receive_batch(relay, carried != &relay->listen_fd ? carried : NULL);
    send_due(relay);
}

static int turn(struct relay *relay)
{
    struct epoll_event events[EVENTS];
    timer_arm(relay);
    int count = epoll_wait(relay->wait_fd, events, EVENTS, -1);
    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < count; i++)
        handle(relay, events[i].data.ptr);
    remove_idle(relay);
    return 0;
}

/* Whether the last datagram arrived after a moment for sure: one that the kernel did not stamp
 * seems to have arrived when it was read. */
static bool is_later(const struct relay *relay, int64_t than_ns)
{
    return relay->latest_ns > than_ns && relay->latest_ns < relay->asked_ns;
}

/* Receives what had arrived on one socket by then: no flood keeps it from an end. */
static void drain(struct relay *relay, struct relay_client *client, int64_t until_ns)
{
    relay->latest_ns = until_ns;
    for (int i = 0; i < LAST_BATCHES && !is_later(relay, until_ns); i++) {
        if (!receive_batch(relay, client))
            return;
        send_due(relay);
    }
}

static void finish(struct relay *relay)
{
    int64_t now_ns = clock_monotonic_ns();
    drain(relay, NULL, now_ns);
    struct relay_client *client = NULL;
    while ((client = relay_clients_next(&relay->clients, client)) != NULL)
        drain(relay, client, now_ns);
    send_due(relay);
}

int relay_run(struct relay *relay, int stop_fd)
{
    relay->stopping = false;
    int error = wait_for(relay, stop_fd, &relay->stopping);
    if (error != 0)
        return error;
    while (error == 0 && !relay->stopping)
        error = turn(relay);
    finish(relay);
    epoll_ctl(relay->wait_fd, EPOLL_CTL_DEL, stop_fd, NULL);
    return error;
}

struct relay_counts relay_counts(const struct relay *relay, enum relay_direction direction)
{
    struct relay_counts counts = relay_channel_counts(&relay->channels[direction]);
    uint32_t drops = 0;
    if (direction == RELAY_UP && bind_drops(relay->listen_fd, &drops) == 0)
        counts.kernel_drops += drops;
    if (direction == RELAY_UP)
        return counts;
    const struct relay_client *client = NULL;
    while ((client = relay_clients_next(&relay->clients, client)) != NULL) {
        if (bind_drops(client->fd, &drops) == 0)
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
    if (relay->timer_fd >= 0)
        close(relay->timer_fd);
    if (relay->wait_fd >= 0)
        close(relay->wait_fd);
    if (relay->listen_fd >= 0)
        close(relay->listen_fd);
    free(relay);
}

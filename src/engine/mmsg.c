#include "engine/engine.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "engine/engine_base.h"
#include "engine/udp_socket.h"

#define BATCH 32
#define RETRY_MS 1

/* The least that a datagram costs the kernel: what a receive buffer holds at most, follows. */
#define LEAST_COST_BYTES 256

struct slot {
    union {
        struct sockaddr_in6 v6;
        struct sockaddr_in v4;
    } from;
    struct iovec data_vector;
    alignas(size_t) char control[256]; /* as the headers in it are aligned */
    uint8_t data[ENGINE_DATA_BYTES];
};

/* One socket of a worker. */
struct source {
    struct worker *worker;
    int fd;
    bool ipv6;
    uint32_t drops; /* as the kernel counted them last */
};

struct worker {
    alignas(COUNTERS_CACHE_LINE) const struct mmsg *mmsg;
    struct counters *counters;
    unsigned sources_count;
    struct source sources[ENGINE_MAX_ADDRESSES];
    struct mmsghdr messages[BATCH];
    struct slot slots[BATCH];
};

struct mmsg {
    struct engine base;
    engine_handler_fn *handler;
    void *user;
    bool ipv6;
    uint16_t port;
    size_t buffer_bytes; /* asked for */
    unsigned workers_count;
    uint64_t drops;
    int wake_fd;          /* readable for good once the engine stops */
    atomic_bool stopping; /* relaxed: nothing else is handed over with it */
    struct worker workers[];
};

static struct mmsg *from_engine(struct engine *engine)
{
    return (struct mmsg *)engine;
}

static void message_reset(struct worker *worker, unsigned i)
{
    worker->messages[i].msg_hdr.msg_namelen = sizeof worker->slots[i].from;
    worker->messages[i].msg_hdr.msg_controllen = sizeof worker->slots[i].control;
}

static void worker_init(struct worker *worker, const struct mmsg *mmsg, struct counters *counters)
{
    worker->mmsg = mmsg;
    worker->counters = counters;
    for (unsigned i = 0; i < BATCH; i++) {
        struct slot *slot = &worker->slots[i];
        slot->data_vector = (struct iovec){slot->data, sizeof slot->data};
        worker->messages[i].msg_hdr = (struct msghdr){.msg_name = &slot->from,
                                                      .msg_iov = &slot->data_vector,
                                                      .msg_iovlen = 1,
                                                      .msg_control = slot->control};
        message_reset(worker, i);
    }
}

static void workers_close(struct mmsg *mmsg)
{
    for (unsigned i = 0; i < mmsg->workers_count; i++) {
        for (unsigned j = 0; j < mmsg->workers[i].sources_count; j++)
            close(mmsg->workers[i].sources[j].fd);
    }
}

/* Opens a socket for each worker on one address. */
static int address_open(struct mmsg *mmsg, struct udp_binding binding, uint16_t port, int *fds)
{
    int error = udp_sockets_open(fds, mmsg->workers_count, &binding, port);
    if (error != 0)
        return error;
    for (unsigned i = 0; i < mmsg->workers_count; i++) {
        struct worker *worker = &mmsg->workers[i];
        worker->sources[worker->sources_count++] =
            (struct source){.worker = worker, .fd = fds[i], .ipv6 = udp_binding_is_ipv6(&binding)};
    }
    mmsg->port = udp_socket_port(fds[0]);
    mmsg->ipv6 = mmsg->ipv6 || udp_binding_is_ipv6(&binding);
    return 0;
}

static bool has_ipv4(const struct engine_options *options)
{
    bool found = false;
    for (size_t i = 0; i < options->addresses_count; i++)
        found = found || IN6_IS_ADDR_V4MAPPED(&options->addresses[i]);
    return found;
}

/* In floating point, because no length of time overflows it. */
static size_t buffer_bytes(int64_t length_ns)
{
    double datagrams = (double)length_ns * 1e-9 * ENGINE_FULL_RATE;
    double bytes = datagrams * ENGINE_DATAGRAM_COST_BYTES;
    return bytes < INT_MAX ? (size_t)bytes : INT_MAX;
}

static int addresses_open(struct mmsg *mmsg, const struct engine_options *options)
{
    int *fds = calloc(options->workers, sizeof *fds);
    if (fds == NULL)
        return -ENOMEM;
    int error = 0;
    mmsg->port = options->port;
    mmsg->buffer_bytes = buffer_bytes(options->receive_buffer_ns);
    for (size_t i = 0; i < options->addresses_count && error == 0; i++) {
        struct udp_binding binding = {.address = options->addresses[i],
                                      .ipv6_only = has_ipv4(options),
                                      .buffer_bytes = mmsg->buffer_bytes};
        error = address_open(mmsg, binding, mmsg->port, fds);
    }
    free(fds);
    return error;
}

static int mmsg_open(struct engine **engine, const struct engine_options *options)
{
    size_t bytes = sizeof(struct mmsg) + options->workers * sizeof(struct worker);
    struct mmsg *mmsg = aligned_alloc(alignof(struct mmsg), bytes);
    if (mmsg == NULL)
        return -ENOMEM;
    assert(options->workers >= 1);
    assert(options->addresses_count >= 1 && options->addresses_count <= ENGINE_MAX_ADDRESSES);
    memset(mmsg, 0, bytes);
    mmsg->base.ops = &engine_mmsg;
    mmsg->handler = options->handler;
    mmsg->user = options->user;
    mmsg->workers_count = options->workers;
    for (unsigned i = 0; i < options->workers; i++)
        worker_init(&mmsg->workers[i], mmsg, &options->counters[i]);
    int error = 0;
    mmsg->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mmsg->wake_fd < 0) {
        error = -errno;
        goto fail;
    }
    error = addresses_open(mmsg, options);
    if (error != 0)
        goto fail_workers;
    *engine = &mmsg->base;
    return 0;

fail_workers:
    workers_close(mmsg);
    close(mmsg->wake_fd);
fail:
    free(mmsg);
    return error;
}

static uint16_t mmsg_port(const struct engine *engine)
{
    return ((const struct mmsg *)engine)->port;
}

static bool mmsg_ipv6(const struct engine *engine)
{
    return ((const struct mmsg *)engine)->ipv6;
}

/* Returns the number of datagrams, 0 when there are none, or -1. MSG_TRUNC makes the kernel tell
 * true sizes. */
static int receive(const struct source *from)
{
    int received =
        recvmmsg(from->fd, from->worker->messages, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return received;
}

static void stamp_write(uint8_t *at, int64_t wall_ns)
{
    uint64_t big_endian = htobe64((uint64_t)wall_ns);
    memcpy(at, &big_endian, sizeof big_endian);
}

/* Returns the time at which the message left, or -1. */
static int64_t send_stamped(int fd, const struct msghdr *message,
                            const struct engine_verdict *verdict)
{
    uint8_t *data = message->msg_iov->iov_base;
    int64_t now_ns;
    ssize_t sent;
    do {
        now_ns = clock_wall_ns();
        if (verdict->stamp_offset != ENGINE_NO_STAMP)
            stamp_write(data + verdict->stamp_offset, now_ns);
        sent = sendmsg(fd, message, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : now_ns;
}

/* From one reading of the wall clock to a later one, which a step may have put before it. */
static uint64_t elapsed(int64_t from_ns, int64_t to_ns)
{
    return to_ns > from_ns ? (uint64_t)(to_ns - from_ns) : 0;
}

static void count_reply(struct counters *counters, const struct udp_info *info, int64_t sent_ns)
{
    if (sent_ns < 0) {
        counter_add(&counters->send_errors, 1);
        return;
    }
    counter_add(&counters->answered, 1);
    if (info->received_ns != 0)
        histogram_record(&counters->hold_ns, elapsed(info->received_ns, sent_ns));
}

/* One datagram a call, so that each leaves with a stamp of its own: one stamp for a batch is late
 * by the time of the batch. */
static void reply(const struct source *from, struct slot *slot, const struct udp_info *info,
                  const struct engine_verdict *verdict, uint8_t *data)
{
    alignas(size_t) char control[UDP_INFO_BYTES] = {0};
    struct iovec vector = {data, verdict->reply_bytes};
    struct msghdr message = {.msg_name = &slot->from,
                             .msg_namelen =
                                 from->ipv6 ? sizeof slot->from.v6 : sizeof slot->from.v4,
                             .msg_iov = &vector,
                             .msg_iovlen = 1};
    if (info->has_destination) {
        message.msg_control = control;
        udp_info_write(&message, from->ipv6, &info->destination, info->interface);
    }
    count_reply(from->worker->counters, info, send_stamped(from->fd, &message, verdict));
}

static void handle(const struct source *from, struct mmsghdr *received, int64_t read_ns)
{
    const struct mmsg *mmsg = from->worker->mmsg;
    struct counters *counters = from->worker->counters;
    struct slot *slot = received->msg_hdr.msg_name;
    struct udp_info info = udp_info_read(&received->msg_hdr);
    struct in6_addr ipv4_source;
    struct datagram packet = {
        .data = slot->data,
        .bytes = received->msg_len,
        .source = &slot->from.v6.sin6_addr,
        .destination = info.has_destination ? &info.destination : NULL,
        .source_port = ntohs(slot->from.v6.sin6_port), /* where an IPv4 address has it, too */
        .to_broadcast = info.to_broadcast,
        .received_ns = info.received_ns != 0 ? info.received_ns : read_ns,
        .read_ns = read_ns,
        .worker = (unsigned)(from->worker - mmsg->workers)};
    if (info.received_ns != 0)
        histogram_record(&counters->queue_delay_ns, elapsed(info.received_ns, read_ns));
    if (!from->ipv6) {
        ipv4_source = address_from_ipv4(slot->from.v4.sin_addr);
        packet.source = &ipv4_source;
    }
    uint8_t data[ENGINE_REPLY_BYTES];
    struct engine_verdict verdict = mmsg->handler(&packet, data, mmsg->user);
    counter_add(&counters->packets[verdict.outcome], 1);
    counter_add(&counters->bytes[verdict.outcome], packet.bytes);
    if (verdict.action == ENGINE_REPLY)
        reply(from, slot, &info, &verdict, data);
}

static void handle_batch(const struct source *from, unsigned received)
{
    int64_t read_ns = clock_wall_ns();
    histogram_record(&from->worker->counters->batch_packets, received);
    for (unsigned i = 0; i < received; i++) {
        handle(from, &from->worker->messages[i], read_ns);
        message_reset(from->worker, i);
    }
}

static void wait_for_data(const struct worker *worker)
{
    struct pollfd fds[1 + ENGINE_MAX_ADDRESSES] = {{.fd = worker->mmsg->wake_fd, .events = POLLIN}};
    for (unsigned i = 0; i < worker->sources_count; i++)
        fds[1 + i] = (struct pollfd){.fd = worker->sources[i].fd, .events = POLLIN};
    poll(fds, 1 + worker->sources_count, ENGINE_TURN_MS);
}

/* A receive error may last: the worker waits for a moment, so that it is no busy loop. */
static void wait_after_error(const struct worker *worker)
{
    struct pollfd wake = {.fd = worker->mmsg->wake_fd, .events = POLLIN};
    poll(&wake, 1, RETRY_MS);
}

/* One batch from each socket, so that none waits for another. */
static void turn(struct worker *worker)
{
    bool idle = true, failed = false;
    for (unsigned i = 0; i < worker->sources_count; i++) {
        const struct source *from = &worker->sources[i];
        int received = receive(from);
        if (received > 0) {
            handle_batch(from, (unsigned)received);
            idle = false;
        } else if (received < 0) {
            counter_add(&worker->counters->receive_errors, 1);
            failed = true;
        }
    }
    counter_add_ordered(&worker->counters->turns, 1);
    if (failed)
        wait_after_error(worker);
    else if (idle)
        wait_for_data(worker);
}

/* Answers what had arrived when the engine was told to stop: until the socket is empty, but no more
 * than its buffer can have held, because a flood may keep it filled. */
static void drain(const struct source *from)
{
    size_t left = from->worker->mmsg->buffer_bytes / LEAST_COST_BYTES + BATCH;
    int received = receive(from);
    while (received > 0) {
        handle_batch(from, (unsigned)received);
        left -= (size_t)received < left ? (size_t)received : left;
        received = left > 0 ? receive(from) : 0;
    }
}

static void mmsg_run(struct engine *engine, unsigned index)
{
    struct mmsg *mmsg = from_engine(engine);
    struct worker *worker = &mmsg->workers[index];
    while (!atomic_load_explicit(&mmsg->stopping, memory_order_relaxed))
        turn(worker);
    for (unsigned i = 0; i < worker->sources_count; i++)
        drain(&worker->sources[i]);
}

static uint64_t mmsg_drops(struct engine *engine)
{
    struct mmsg *mmsg = from_engine(engine);
    for (unsigned i = 0; i < mmsg->workers_count; i++) {
        struct worker *worker = &mmsg->workers[i];
        for (unsigned j = 0; j < worker->sources_count; j++) {
            struct source *source = &worker->sources[j];
            uint32_t before = source->drops;
            /* On a failure the count stays as it is; the next call makes up for it. */
            udp_socket_drops(source->fd, &source->drops);
            mmsg->drops += (uint32_t)(source->drops - before);
        }
    }
    return mmsg->drops;
}

static void mmsg_receive_buffer(const struct engine *engine, size_t *asked, size_t *granted)
{
    const struct mmsg *mmsg = (const struct mmsg *)engine;
    *asked = mmsg->buffer_bytes;
    *granted = udp_socket_buffer(mmsg->workers[0].sources[0].fd);
}

static void mmsg_stop(struct engine *engine)
{
    struct mmsg *mmsg = from_engine(engine);
    atomic_store_explicit(&mmsg->stopping, true, memory_order_relaxed);
    eventfd_write(mmsg->wake_fd, 1);
}

static void mmsg_close(struct engine *engine)
{
    struct mmsg *mmsg = from_engine(engine);
    workers_close(mmsg);
    close(mmsg->wake_fd);
    free(mmsg);
}

const struct engine_ops engine_mmsg = {
    .name = "mmsg",
    .hands_over_all = true,
    .open = mmsg_open,
    .port = mmsg_port,
    .ipv6 = mmsg_ipv6,
    .drops = mmsg_drops,
    .receive_buffer = mmsg_receive_buffer,
    .run = mmsg_run,
    .stop = mmsg_stop,
    .close = mmsg_close,
};

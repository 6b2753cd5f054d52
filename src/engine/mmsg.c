#include "engine/engine.h"

#include <endian.h>
#include <errno.h>
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

/* More datagrams than a receive buffer holds: a flood must not keep a stopping worker alive. */
#define DRAIN_LIMIT 65536

struct slot {
    union {
        struct sockaddr_in6 v6;
        struct sockaddr_in v4;
    } from;
    struct iovec data_vector;
    alignas(size_t) char control[256]; /* as the headers in it are aligned */
    uint8_t data[ENGINE_DATA_BYTES];
};

struct worker {
    alignas(COUNTERS_CACHE_LINE) int fd;
    struct counters *counters;
    struct mmsghdr messages[BATCH];
    struct slot slots[BATCH];
};

struct mmsg {
    struct engine base;
    engine_handler_fn *handler;
    void *user;
    bool ipv6;
    uint16_t port;
    unsigned workers_count;
    int wake_fd; /* readable for good once the engine stops */
    _Atomic int64_t stop_ns;
    atomic_bool
        stopping; /* released after stop_ns is set, acquired by the workers before they read it */
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

static void worker_init(struct worker *worker, struct counters *counters)
{
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
    for (unsigned i = 0; i < mmsg->workers_count; i++)
        close(mmsg->workers[i].fd);
}

static int workers_open(struct mmsg *mmsg, const struct engine_options *options)
{
    int *fds = calloc(options->workers, sizeof *fds);
    if (fds == NULL)
        return -ENOMEM;
    int error = udp_sockets_open(fds, options->workers, &mmsg->ipv6, options->port);
    if (error == 0) {
        mmsg->workers_count = options->workers;
        mmsg->port = udp_socket_port(fds[0]);
        for (unsigned i = 0; i < options->workers; i++) {
            mmsg->workers[i].fd = fds[i];
            worker_init(&mmsg->workers[i], &options->counters[i]);
        }
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
    memset(mmsg, 0, bytes);
    mmsg->base.ops = &engine_mmsg;
    mmsg->handler = options->handler;
    mmsg->user = options->user;
    mmsg->ipv6 = !options->ipv4_only;
    int error = 0;
    mmsg->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mmsg->wake_fd < 0) {
        error = -errno;
        goto fail;
    }
    error = workers_open(mmsg, options);
    if (error != 0)
        goto fail_wake;
    *engine = &mmsg->base;
    return 0;

fail_wake:
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
static int receive(struct worker *worker)
{
    int received = recvmmsg(worker->fd, worker->messages, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return received;
}

static void stamp_write(uint8_t *at, int64_t wall_ns)
{
    uint64_t big_endian = htobe64((uint64_t)wall_ns);
    memcpy(at, &big_endian, sizeof big_endian);
}

/* One datagram a call, so that each leaves with a stamp of its own: one stamp for a batch is late
 * by the time of the batch. */
static void reply(struct mmsg *mmsg, struct worker *worker, struct slot *slot,
                  const struct udp_info *info, const struct engine_verdict *verdict, uint8_t *data)
{
    alignas(size_t) char control[UDP_INFO_BYTES] = {0};
    struct iovec vector = {data, verdict->reply_bytes};
    struct msghdr message = {.msg_name = &slot->from,
                             .msg_namelen =
                                 mmsg->ipv6 ? sizeof slot->from.v6 : sizeof slot->from.v4,
                             .msg_iov = &vector,
                             .msg_iovlen = 1};
    if (info->has_destination) {
        message.msg_control = control;
        udp_info_write(&message, mmsg->ipv6, &info->destination, info->interface);
    }
    ssize_t sent;
    do {
        if (verdict->stamp_offset != ENGINE_NO_STAMP)
            stamp_write(data + verdict->stamp_offset, clock_wall_ns());
        sent = sendmsg(worker->fd, &message, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    counter_add(sent < 0 ? &worker->counters->send_errors : &worker->counters->answered, 1);
}

/* Returns when the datagram arrived. */
static int64_t handle(struct mmsg *mmsg, struct worker *worker, struct mmsghdr *received)
{
    struct slot *slot = received->msg_hdr.msg_name;
    struct udp_info info = udp_info_read(&received->msg_hdr);
    struct in6_addr ipv4_source;
    struct engine_packet packet = {
        .data = slot->data,
        .bytes = received->msg_len,
        .source = &slot->from.v6.sin6_addr,
        .destination = info.has_destination ? &info.destination : NULL,
        .source_port = ntohs(slot->from.v6.sin6_port), /* where an IPv4 address has it, too */
        .to_broadcast = info.to_broadcast,
        .received_ns = info.received_ns != 0 ? info.received_ns : clock_wall_ns()};
    if (!mmsg->ipv6) {
        ipv4_source = address_from_ipv4(slot->from.v4.sin_addr);
        packet.source = &ipv4_source;
    }
    uint8_t data[ENGINE_REPLY_BYTES];
    struct engine_verdict verdict = mmsg->handler(&packet, data, mmsg->user);
    counter_add(&worker->counters->packets[verdict.outcome], 1);
    counter_add(&worker->counters->bytes[verdict.outcome], packet.bytes);
    if (verdict.action == ENGINE_REPLY)
        reply(mmsg, worker, slot, &info, &verdict, data);
    return packet.received_ns;
}

static int64_t handle_batch(struct mmsg *mmsg, struct worker *worker, unsigned received)
{
    int64_t last_ns = 0;
    for (unsigned i = 0; i < received; i++) {
        last_ns = handle(mmsg, worker, &worker->messages[i]);
        message_reset(worker, i);
    }
    return last_ns;
}

static void wait_for_data(const struct mmsg *mmsg, const struct worker *worker)
{
    struct pollfd fds[] = {{.fd = mmsg->wake_fd, .events = POLLIN},
                           {.fd = worker->fd, .events = POLLIN}};
    poll(fds, 2, -1);
}

/* A receive error may last: the worker waits for a moment, so that it is no busy loop. */
static void wait_after_error(const struct mmsg *mmsg, struct worker *worker)
{
    struct pollfd wake = {.fd = mmsg->wake_fd, .events = POLLIN};
    counter_add(&worker->counters->receive_errors, 1);
    poll(&wake, 1, RETRY_MS);
}

static void serve(struct mmsg *mmsg, struct worker *worker)
{
    while (!atomic_load_explicit(&mmsg->stopping, memory_order_acquire)) {
        int received = receive(worker);
        if (received > 0)
            handle_batch(mmsg, worker, (unsigned)received);
        else if (received == 0)
            wait_for_data(mmsg, worker);
        else
            wait_after_error(mmsg, worker);
    }
}

/* Answers what had arrived when the engine was told to stop. */
static void drain(struct mmsg *mmsg, struct worker *worker)
{
    int64_t stop_ns = atomic_load_explicit(&mmsg->stop_ns, memory_order_relaxed);
    int64_t last_ns = 0;
    for (int left = DRAIN_LIMIT; left > 0 && last_ns <= stop_ns; left -= BATCH) {
        int received = receive(worker);
        if (received <= 0)
            return;
        last_ns = handle_batch(mmsg, worker, (unsigned)received);
    }
}

static void mmsg_run(struct engine *engine, unsigned worker)
{
    struct mmsg *mmsg = from_engine(engine);
    serve(mmsg, &mmsg->workers[worker]);
    drain(mmsg, &mmsg->workers[worker]);
}

static void mmsg_stop(struct engine *engine)
{
    struct mmsg *mmsg = from_engine(engine);
    atomic_store_explicit(&mmsg->stop_ns, clock_wall_ns(), memory_order_relaxed);
    atomic_store_explicit(&mmsg->stopping, true, memory_order_release);
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
    .open = mmsg_open,
    .port = mmsg_port,
    .ipv6 = mmsg_ipv6,
    .run = mmsg_run,
    .stop = mmsg_stop,
    .close = mmsg_close,
};

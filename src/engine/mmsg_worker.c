#include "engine/mmsg_worker.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/mmsg_replies.h"
#include "loop/busy_poll.h"
#include "net/address.h"
#include "net/udp_socket.h"

#define RETRY_MS 1

/* A failure that does not pass must not hold up the end for long. */
#define DRAIN_RETRIES 50

static void place_info(struct mmsg_slot *slot, struct datagram *question,
                       const struct udp_info *info)
{
    slot->reply_header.msg_control = info->reply;
    slot->reply_header.msg_controllen = info->reply_bytes;
    question->source = &slot->from.sin6_addr;
    question->destination = info->destination != NULL ? info->destination : &in6addr_loopback;
}

/* As a slot is for a datagram whose control messages are the usual ones. */
static void slot_make_usual(struct mmsg_slot *slot, struct datagram *question,
                            struct msghdr *message)
{
    const struct udp_info info = udp_info_usual(slot->control);
    place_info(slot, question, &info);
    message->msg_namelen = sizeof slot->from;
    message->msg_controllen = sizeof slot->control;
}

static void slot_init(struct mmsg_slot *slot, struct exchange *exchange, struct msghdr *message)
{
    exchange->question.data = slot->data;
    slot->data_vector = (struct iovec){slot->data, sizeof slot->data};
    slot->reply_vector = (struct iovec){exchange->reply, 0};
    *message = (struct msghdr){.msg_name = &slot->from,
                               .msg_iov = &slot->data_vector,
                               .msg_iovlen = 1,
                               .msg_control = slot->control};
    /* The length of an IPv6 address serves IPv4 sockets as well. */
    slot->reply_header = (struct msghdr){.msg_name = &slot->from,
                                         .msg_namelen = sizeof slot->from,
                                         .msg_iov = &slot->reply_vector,
                                         .msg_iovlen = 1};
    slot_make_usual(slot, &exchange->question, message);
}

static int wait_for(const struct mmsg_worker *worker, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(worker->wait_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int mmsg_worker_init(struct mmsg_worker *worker, const struct engine_options *options,
                     unsigned index, int wake_fd)
{
    worker->index = index;
    worker->counters = &options->counters[index];
    worker->handler = options->handler;
    worker->user = options->user;
    worker->wake_fd = wake_fd;
    for (unsigned i = 0; i < MMSG_BATCH; i++)
        slot_init(&worker->slots[i], &worker->exchanges[i], &worker->messages[i].msg_hdr);
    worker->wait_fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->wait_fd < 0)
        return -errno;
    int error = wait_for(worker, wake_fd);
    if (error == 0 && options->low_latency)
        error = busy_poll_enable(worker->wait_fd);
    return error;
}

int mmsg_worker_add(struct mmsg_worker *worker, int fd)
{
    worker->sources[worker->sources_count++] =
        (struct mmsg_source){.fd = fd, .can_segment = udp_socket_can_segment(fd)};
    return wait_for(worker, fd);
}

void mmsg_worker_fini(struct mmsg_worker *worker)
{
    for (unsigned i = 0; i < worker->sources_count; i++)
        close(worker->sources[i].fd);
    if (worker->wait_fd >= 0)
        close(worker->wait_fd);
}

/* Returns the number of datagrams, 0 when there are none, or -1 after an error, which is counted.
 * MSG_TRUNC makes the kernel tell true sizes. */
static int receive(struct mmsg_worker *worker, const struct mmsg_source *source)
{
    int received;
    do
        received =
            recvmmsg(source->fd, worker->messages, MMSG_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    while (received < 0 && errno == EINTR);
    if (received < 0 && errno == EAGAIN)
        return 0;
    if (received < 0)
        counter_add(&worker->counters->receive_errors, 1);
    return received;
}

/* Returns whether the kernel stamped the datagram. */
static bool describe_unusual(struct mmsg_slot *slot, struct datagram *question,
                             size_t control_bytes, int64_t *received_ns)
{
    const struct udp_info info = udp_info_read(slot->control, control_bytes, &slot->destination);
    place_info(slot, question, &info);
    if (slot->from.sin6_family == AF_INET) {
        slot->source = address_from_ipv4(((const struct sockaddr_in *)&slot->from)->sin_addr);
        question->source = &slot->source;
    }
    if (info.received_ns != 0)
        *received_ns = info.received_ns;
    return info.received_ns != 0;
}

/* What a datagram's headers say. Returns whether the kernel stamped it. */
static inline bool describe(struct mmsg_worker *worker, unsigned i, int64_t read_ns)
{
    struct mmsg_slot *slot = &worker->slots[i];
    struct datagram *question = &worker->exchanges[i].question;
    struct msghdr *message = &worker->messages[i].msg_hdr;
    bool is_stamped = true;
    int64_t received_ns = read_ns;
    if (!udp_info_read_usual(slot->control, message->msg_controllen, &received_ns)) {
        is_stamped = describe_unusual(slot, question, message->msg_controllen, &received_ns);
        worker->is_unusual = true;
    }
    message->msg_controllen = sizeof slot->control;
    question->bytes = worker->messages[i].msg_len;
    question->received_ns = received_ns;
    question->source_port = slot->from.sin6_port; /* where an IPv4 address has it, too */
    return is_stamped;
}

static void describe_all(struct mmsg_worker *worker, unsigned count, int64_t read_ns,
                         struct mmsg_chains *chains)
{
    for (unsigned i = 0; i < count; i++) {
        if (describe(worker, i, read_ns)) {
            int64_t delay_ns = read_ns - worker->exchanges[i].question.received_ns;
            histogram_record(&worker->counters->queue_delay_ns,
                             delay_ns > 0 ? (uint64_t)delay_ns : 0);
        }
        mmsg_chain(chains, worker->slots, i);
    }
}

/* Mostly many with the same outcome come together. */
static void count_outcomes(struct counters *counters, const struct exchange *exchange,
                           unsigned count)
{
    const struct exchange *end = exchange + count;
    while (exchange < end) {
        const struct exchange *first = exchange;
        const uint8_t outcome = first->verdict.outcome;
        uint64_t bytes = 0;
        for (; exchange < end && exchange->verdict.outcome == outcome; exchange++)
            bytes += exchange->question.bytes;
        counter_add(&counters->packets[outcome], (uint64_t)(exchange - first));
        counter_add(&counters->bytes[outcome], bytes);
    }
}

static void make_usual(struct mmsg_worker *worker, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        slot_make_usual(&worker->slots[i], &worker->exchanges[i].question,
                        &worker->messages[i].msg_hdr);
    worker->is_unusual = false;
}

static void handle_batch(struct mmsg_worker *worker, struct mmsg_source *source, unsigned received)
{
    const int64_t read_ns = clock_wall_ns();
    const struct batch batch = {.exchanges = worker->exchanges,
                                .count = received,
                                .worker = worker->index,
                                .read_ns = read_ns};
    struct mmsg_chains chains;
    mmsg_chains_init(&chains);
    describe_all(worker, received, read_ns, &chains);
    worker->handler(&batch, worker->user);
    histogram_record(&worker->counters->batch_packets, received);
    count_outcomes(worker->counters, worker->exchanges, received);
    mmsg_replies_send(worker, source, received, &chains);
    if (worker->is_unusual)
        make_usual(worker, received);
}

/* Level-triggered, so that which descriptors are ready need not be looked at. */
static void wait_for_data(const struct mmsg_worker *worker)
{
    struct epoll_event event;
    epoll_wait(worker->wait_fd, &event, 1, ENGINE_TURN_MS);
}

/* A receive error may last: the worker waits for a moment, so that it is no busy loop. */
static void wait_after_error(const struct mmsg_worker *worker)
{
    struct pollfd wake = {.fd = worker->wake_fd, .events = POLLIN};
    poll(&wake, 1, RETRY_MS);
}

/* One batch from each socket, so that none waits for another. A short one emptied its socket. */
void mmsg_worker_turn(struct mmsg_worker *worker)
{
    bool idle = true, failed = false;
    for (unsigned i = 0; i < worker->sources_count; i++) {
        struct mmsg_source *source = &worker->sources[i];
        int received = receive(worker, source);
        if (received > 0)
            handle_batch(worker, source, (unsigned)received);
        failed = failed || received < 0;
        idle = idle && received < MMSG_BATCH;
    }
    counter_add_ordered(&worker->counters->turns, 1);
    if (failed)
        wait_after_error(worker);
    else if (idle)
        wait_for_data(worker);
}

/* An error may pass, and what is queued would be lost with the socket, uncounted. */
static void drain(struct mmsg_worker *worker, struct mmsg_source *source, size_t most,
                  unsigned *retries)
{
    int received;
    while (most > 0 && (received = receive(worker, source)) != 0) {
        if (received < 0) {
            if (*retries == 0)
                return;
            (*retries)--;
            poll(NULL, 0, RETRY_MS); /* not for wake_fd, which is readable by now */
            continue;
        }
        handle_batch(worker, source, (unsigned)received);
        most -= (size_t)received < most ? (size_t)received : most;
    }
}

void mmsg_worker_drain(struct mmsg_worker *worker, size_t most)
{
    unsigned retries = DRAIN_RETRIES;
    for (unsigned i = 0; i < worker->sources_count; i++)
        drain(worker, &worker->sources[i], most, &retries);
}

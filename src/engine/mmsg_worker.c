#include "engine/mmsg_worker.h"

#include <endian.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "engine/busy_poll.h"

#define RETRY_MS 1

static void message_reset(struct mmsg_worker *worker, unsigned i)
{
    struct mmsg_slot *slot = &worker->slots[i];
    struct msghdr *message = &worker->messages[i].msg_hdr;
    message->msg_namelen = sizeof slot->from;
    message->msg_iov = &slot->data_vector;
    message->msg_control = slot->control;
    message->msg_controllen = sizeof slot->control;
}

static struct mmsg_slot *slot_of(const struct msghdr *message)
{
    return (struct mmsg_slot *)((char *)message->msg_name - offsetof(struct mmsg_slot, from));
}

static int wait_for(const struct mmsg_worker *worker, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(worker->wait_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int mmsg_worker_init(struct mmsg_worker *worker, const struct engine_options *options,
                     struct counters *counters, int wake_fd)
{
    worker->counters = counters;
    worker->handler = options->handler;
    worker->user = options->user;
    worker->wake_fd = wake_fd;
    for (unsigned i = 0; i < MMSG_BATCH; i++) {
        struct mmsg_slot *slot = &worker->slots[i];
        slot->data_vector = (struct iovec){slot->data, sizeof slot->data};
        worker->messages[i].msg_hdr = (struct msghdr){.msg_name = &slot->from, .msg_iovlen = 1};
        message_reset(worker, i);
    }
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

/* Returns the number of datagrams, 0 when there are none, or -1. MSG_TRUNC makes the kernel tell
 * true sizes. */
static int receive(struct mmsg_worker *worker, const struct mmsg_source *source)
{
    int received =
        recvmmsg(source->fd, worker->messages, MMSG_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (received < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return received;
}

/* From one reading of the wall clock to a later one, which a step may have put before it. */
static uint64_t elapsed(int64_t from_ns, int64_t to_ns)
{
    return to_ns > from_ns ? (uint64_t)(to_ns - from_ns) : 0;
}

static void stamp(const struct iovec *reply, const struct engine_verdict *verdict, int64_t wall_ns)
{
    uint64_t big_endian = htobe64((uint64_t)wall_ns);
    if (verdict->stamp_offset != ENGINE_NO_STAMP)
        memcpy((uint8_t *)reply->iov_base + verdict->stamp_offset, &big_endian, sizeof big_endian);
}

/* Stamps the @p count replies of a message and sends it. Returns the time, or -1 with errno set.
 * Not by libc's sendmsg(), whose cancellation point costs 30 instructions a call (glibc 2.36). */
static int64_t send_stamped(int fd, const struct msghdr *message, struct msghdr *const *replies)
{
    int64_t now_ns;
    long sent;
    do {
        now_ns = clock_wall_ns();
        for (size_t i = 0; i < message->msg_iovlen; i++)
            stamp(&message->msg_iov[i], &slot_of(replies[i])->verdict, now_ns);
        sent = syscall(SYS_sendmsg, fd, message, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : now_ns;
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

/* With the question's own header: its address, and its destination as the source. */
static void send_one(struct mmsg_worker *worker, const struct mmsg_source *source, unsigned i)
{
    struct msghdr *message = worker->replies.messages[i];
    const struct udp_info *info = &slot_of(message)->info;
    message->msg_iov = &worker->replies.vectors[i];
    message->msg_control = info->reply;
    message->msg_controllen = udp_info_reply_bytes(info);
    count_reply(worker->counters, info,
                send_stamped(source->fd, message, &worker->replies.messages[i]));
}

static void write_segment_bytes(struct msghdr *message, const struct udp_info *info, uint16_t bytes)
{
    char *control = message->msg_control;
    size_t reply_bytes = udp_info_reply_bytes(info);
    if (reply_bytes > 0)
        memcpy(control, info->reply, reply_bytes);
    struct cmsghdr *header = (struct cmsghdr *)(control + reply_bytes);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof bytes);
    memcpy(CMSG_DATA(header), &bytes, sizeof bytes);
    message->msg_controllen = reply_bytes + CMSG_SPACE(sizeof bytes);
}

/* Several replies to one client in one call, which the kernel cuts into datagrams; all have the
 * time of that call. Returns whether they were sent. */
static bool send_segmented(struct mmsg_worker *worker, const struct mmsg_source *source,
                           unsigned first, unsigned count)
{
    alignas(size_t) char control[UDP_INFO_REPLY_BYTES + CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct msghdr **replies = &worker->replies.messages[first];
    const struct mmsg_slot *slot = slot_of(replies[0]);
    struct msghdr message = {.msg_name = replies[0]->msg_name,
                             .msg_namelen = replies[0]->msg_namelen,
                             .msg_iov = &worker->replies.vectors[first],
                             .msg_iovlen = count,
                             .msg_control = control};
    write_segment_bytes(&message, &slot->info, slot->verdict.reply_bytes);
    int64_t sent_ns = send_stamped(source->fd, &message, replies);
    for (unsigned i = 0; i < count && sent_ns >= 0; i++)
        count_reply(worker->counters, &slot_of(replies[i])->info, sent_ns);
    return sent_ns >= 0;
}

static bool leave_together(const struct msghdr *one, const struct msghdr *other)
{
    const struct mmsg_slot *a = slot_of(one), *b = slot_of(other);
    return a->from.sin6_port == b->from.sin6_port &&
           a->verdict.reply_bytes == b->verdict.reply_bytes &&
           memcmp(&a->from, &b->from, sizeof a->from) == 0 &&
           a->info.interface == b->info.interface &&
           memcmp(&a->info.destination, &b->info.destination, sizeof a->info.destination) == 0;
}

/* How many replies from @p first on go to one client, from one address, with one size. */
static unsigned burst_length(const struct mmsg_replies *replies, unsigned first)
{
    unsigned end = first + 1;
    while (end < replies->count && leave_together(replies->messages[first], replies->messages[end]))
        end++;
    return end - first;
}

/* A device without checksums of its own refuses segments with EIO, for good; after any other error
 * each reply has its own chance. */
static void send_burst(struct mmsg_worker *worker, struct mmsg_source *source, unsigned first,
                       unsigned count)
{
    if (count > 1 && source->can_segment) {
        if (send_segmented(worker, source, first, count))
            return;
        source->can_segment = errno != EIO;
    }
    for (unsigned i = first; i < first + count; i++)
        send_one(worker, source, i);
}

static void send_replies(struct mmsg_worker *worker, struct mmsg_source *source)
{
    struct mmsg_replies *replies = &worker->replies;
    for (unsigned first = 0; first < replies->count;) {
        unsigned count = burst_length(replies, first);
        send_burst(worker, source, first, count);
        first += count;
    }
    replies->count = 0;
}

static void add_reply(struct mmsg_replies *replies, struct msghdr *message)
{
    struct mmsg_slot *slot = slot_of(message);
    replies->vectors[replies->count] = (struct iovec){slot->reply, slot->verdict.reply_bytes};
    replies->messages[replies->count++] = message;
}

static void handle(struct mmsg_worker *worker, struct mmsghdr *received, int64_t read_ns)
{
    struct counters *counters = worker->counters;
    struct mmsg_slot *slot = slot_of(&received->msg_hdr);
    struct udp_info *info = &slot->info;
    *info = udp_info_read(&received->msg_hdr);
    struct in6_addr ipv4_source;
    struct engine_packet packet = {
        .data = slot->data,
        .bytes = received->msg_len,
        .source = &slot->from.sin6_addr,
        .destination = info->has_destination ? &info->destination : NULL,
        .source_port = ntohs(slot->from.sin6_port), /* where an IPv4 address has it, too */
        .to_broadcast = info->to_broadcast,
        .received_ns = info->received_ns != 0 ? info->received_ns : read_ns};
    if (info->received_ns != 0)
        histogram_record(&counters->queue_delay_ns, elapsed(info->received_ns, read_ns));
    if (slot->from.sin6_family == AF_INET) {
        ipv4_source = address_from_ipv4(((const struct sockaddr_in *)&slot->from)->sin_addr);
        packet.source = &ipv4_source;
    }
    slot->verdict = worker->handler(&packet, slot->reply, worker->user);
    counter_add(&counters->packets[slot->verdict.outcome], 1);
    counter_add(&counters->bytes[slot->verdict.outcome], packet.bytes);
    if (slot->verdict.action == ENGINE_REPLY)
        add_reply(&worker->replies, &received->msg_hdr);
}

static void handle_batch(struct mmsg_worker *worker, struct mmsg_source *source, unsigned received)
{
    int64_t read_ns = clock_wall_ns();
    histogram_record(&worker->counters->batch_packets, received);
    for (unsigned i = 0; i < received; i++)
        handle(worker, &worker->messages[i], read_ns);
    send_replies(worker, source);
    for (unsigned i = 0; i < received; i++)
        message_reset(worker, i);
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
        if (received < 0) {
            counter_add(&worker->counters->receive_errors, 1);
            failed = true;
        }
        idle = idle && received < MMSG_BATCH;
    }
    counter_add(&worker->counters->turns, 1);
    if (failed)
        wait_after_error(worker);
    else if (idle)
        wait_for_data(worker);
}

static void drain(struct mmsg_worker *worker, struct mmsg_source *source, size_t most)
{
    int received = receive(worker, source);
    while (received > 0) {
        handle_batch(worker, source, (unsigned)received);
        most -= (size_t)received < most ? (size_t)received : most;
        received = most > 0 ? receive(worker, source) : 0;
    }
}

void mmsg_worker_drain(struct mmsg_worker *worker, size_t most)
{
    for (unsigned i = 0; i < worker->sources_count; i++)
        drain(worker, &worker->sources[i], most);
}

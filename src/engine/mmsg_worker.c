#include "engine/mmsg_worker.h"

#include <endian.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/udp_socket.h"
#include "engine/busy_poll.h"

#define RETRY_MS 1

/* A failure that does not pass must not hold up the end for long. */
#define DRAIN_RETRIES 50

/* What receiving changes. */
static void message_reset(struct msghdr *message)
{
    message->msg_namelen = sizeof(struct sockaddr_in6);
    message->msg_controllen = sizeof((struct mmsg_slot *)0)->control;
}

static void slot_init(struct mmsg_slot *slot, struct msghdr *message, unsigned worker)
{
    slot->data_vector = (struct iovec){slot->data, sizeof slot->data};
    slot->reply_vector = (struct iovec){slot->reply, 0};
    slot->packet =
        (struct datagram){.data = slot->data, .source = &slot->from.sin6_addr, .worker = worker};
    *message = (struct msghdr){.msg_name = &slot->from,
                               .msg_iov = &slot->data_vector,
                               .msg_iovlen = 1,
                               .msg_control = slot->control};
    message_reset(message);
    /* The length of an IPv6 address serves IPv4 sockets as well. */
    slot->reply_header = (struct msghdr){.msg_name = &slot->from,
                                         .msg_namelen = sizeof slot->from,
                                         .msg_iov = &slot->reply_vector,
                                         .msg_iovlen = 1};
}

static int wait_for(const struct mmsg_worker *worker, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(worker->wait_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

int mmsg_worker_init(struct mmsg_worker *worker, const struct engine_options *options,
                     unsigned index, int wake_fd)
{
    worker->counters = &options->counters[index];
    worker->handler = options->handler;
    worker->user = options->user;
    worker->wake_fd = wake_fd;
    for (unsigned i = 0; i < MMSG_BATCH; i++)
        slot_init(&worker->slots[i], &worker->messages[i].msg_hdr, index);
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

/* From one reading of the wall clock to a later one, which a step may have put before it. */
static uint64_t elapsed(int64_t from_ns, int64_t to_ns)
{
    return to_ns > from_ns ? (uint64_t)(to_ns - from_ns) : 0;
}

static void stamp(struct mmsg_slot *slot, int64_t wall_ns)
{
    uint64_t big_endian = htobe64((uint64_t)wall_ns);
    if (slot->verdict.stamp_offset != ENGINE_NO_STAMP)
        memcpy(slot->reply + slot->verdict.stamp_offset, &big_endian, sizeof big_endian);
}

/* Stamps replies and sends the message that they are in. Returns the time, or -1 with errno set.
 * Not by libc's sendmsg(), whose cancellation point costs 30 instructions a call (glibc 2.36). */
static inline int64_t send_stamped(int fd, const struct msghdr *message,
                                   struct mmsg_slot *const *replies, unsigned count)
{
    int64_t now_ns;
    long sent;
    do {
        now_ns = clock_wall_ns();
        for (unsigned i = 0; i < count; i++)
            stamp(replies[i], now_ns);
        sent = syscall(SYS_sendmsg, fd, message, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? -1 : now_ns;
}

static void count_reply(struct counters *counters, const struct udp_info *info, int64_t sent_ns)
{
    counter_add(&counters->answered, 1);
    if (info->received_ns != 0)
        histogram_record(&counters->hold_ns, elapsed(info->received_ns, sent_ns));
}

/* The control message that came with the question makes the reply leave from where it was sent. */
static void send_one(struct mmsg_worker *worker, const struct mmsg_source *source,
                     struct mmsg_slot *slot)
{
    slot->reply_vector.iov_len = slot->verdict.reply_bytes;
    slot->reply_header.msg_control = slot->info.reply;
    slot->reply_header.msg_controllen = slot->info.reply_bytes;
    int64_t sent_ns = send_stamped(source->fd, &slot->reply_header, &slot, 1);
    if (sent_ns >= 0)
        count_reply(worker->counters, &slot->info, sent_ns);
    else
        counter_add(&worker->counters->send_errors, 1);
}

static void write_segment_bytes(struct msghdr *message, const struct udp_info *info, uint16_t bytes)
{
    char *control = message->msg_control;
    if (info->reply_bytes > 0)
        memcpy(control, info->reply, info->reply_bytes);
    struct cmsghdr *header = (struct cmsghdr *)(control + info->reply_bytes);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof bytes);
    memcpy(CMSG_DATA(header), &bytes, sizeof bytes);
    message->msg_controllen = info->reply_bytes + CMSG_SPACE(sizeof bytes);
}

/* Several replies to one client in one call, which the kernel cuts into datagrams; all have the
 * time of that call. Returns whether they were sent. */
static bool send_segmented(struct mmsg_worker *worker, const struct mmsg_source *source,
                           struct mmsg_slot **replies, unsigned count)
{
    alignas(size_t) char control[UDP_INFO_REPLY_BYTES + CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec vectors[MMSG_BATCH];
    struct msghdr message = {.msg_name = &replies[0]->from,
                             .msg_namelen = sizeof replies[0]->from,
                             .msg_iov = vectors,
                             .msg_iovlen = count,
                             .msg_control = control};
    for (unsigned i = 0; i < count; i++)
        vectors[i] = (struct iovec){replies[i]->reply, replies[i]->verdict.reply_bytes};
    write_segment_bytes(&message, &replies[0]->info, replies[0]->verdict.reply_bytes);
    int64_t sent_ns = send_stamped(source->fd, &message, replies, count);
    for (unsigned i = 0; i < count && sent_ns >= 0; i++)
        count_reply(worker->counters, &replies[i]->info, sent_ns);
    return sent_ns >= 0;
}

/* To one client, with one size, from one address, over one interface if over a certain one. */
static bool leave_together(const struct mmsg_slot *one, const struct mmsg_slot *other)
{
    size_t control_bytes = one->info.reply_bytes;
    return one->from.sin6_port == other->from.sin6_port &&
           one->verdict.reply_bytes == other->verdict.reply_bytes &&
           memcmp(&one->from, &other->from, sizeof one->from) == 0 &&
           control_bytes == other->info.reply_bytes &&
           (control_bytes == 0 || memcmp(one->info.reply, other->info.reply, control_bytes) == 0);
}

/* A device without checksums of its own refuses segments with EIO, for good; after any other error
 * each reply has its own chance. */
static void send_burst(struct mmsg_worker *worker, struct mmsg_source *source,
                       struct mmsg_slot **replies, unsigned count)
{
    if (send_segmented(worker, source, replies, count))
        return;
    source->can_segment = errno != EIO;
    for (unsigned i = 0; i < count; i++)
        send_one(worker, source, replies[i]);
}

/* A set of clients by the lower bits of their ports, so that it may hold some too many. */
struct clients {
    uint64_t words[16];
};

static bool clients_have(const struct clients *clients, unsigned port)
{
    return (clients->words[port >> 6 & 15] >> (port & 63) & 1) != 0;
}

static void clients_add(struct clients *clients, unsigned port)
{
    clients->words[port >> 6 & 15] |= UINT64_C(1) << (port & 63);
}

/* The clients that have more than one reply. */
static void find_several(struct mmsg_slot *const *replies, unsigned count, struct clients *several)
{
    struct clients once = {{0}};
    for (unsigned i = 0; i < count; i++) {
        unsigned port = replies[i]->packet.source_port;
        if (clients_have(&once, port))
            clients_add(several, port);
        clients_add(&once, port);
    }
}

/* Brings the replies that leave together with the first one to it, in their order, as all others
 * stay in theirs. Returns how many they are with the first. */
static unsigned gather(struct mmsg_slot **replies, unsigned count)
{
    unsigned together = 1;
    for (unsigned i = 1; i < count; i++) {
        struct mmsg_slot *reply = replies[i];
        if (!leave_together(replies[0], reply))
            continue;
        for (unsigned k = i; k > together; k--)
            replies[k] = replies[k - 1];
        replies[together++] = reply;
    }
    return together;
}

static void send_replies(struct mmsg_worker *worker, struct mmsg_source *source)
{
    struct mmsg_slot **reply = worker->replies;
    unsigned left = worker->replies_count;
    struct clients several = {{0}};
    if (source->can_segment)
        find_several(reply, left, &several);
    while (left > 0) {
        unsigned together = 1;
        if (clients_have(&several, (*reply)->packet.source_port))
            together = gather(reply, left);
        if (together == 1)
            send_one(worker, source, *reply);
        else
            send_burst(worker, source, reply, together);
        reply += together;
        left -= together;
    }
    worker->replies_count = 0;
}

/* What differs from datagram to datagram; the rest of a slot's packet stands since the start. */
static void describe(struct mmsg_slot *slot, size_t bytes, int64_t read_ns)
{
    struct datagram *packet = &slot->packet;
    const struct udp_info *info = &slot->info;
    packet->bytes = bytes;
    packet->destination = info->destination;
    packet->source_port = ntohs(slot->from.sin6_port); /* where an IPv4 address has it, too */
    packet->to_broadcast = info->to_broadcast;
    packet->received_ns = info->received_ns != 0 ? info->received_ns : read_ns;
    packet->read_ns = read_ns;
    packet->source = &slot->from.sin6_addr;
    if (slot->from.sin6_family == AF_INET) {
        slot->ipv4_source = address_from_ipv4(((const struct sockaddr_in *)&slot->from)->sin_addr);
        packet->source = &slot->ipv4_source;
    }
}

static void handle(struct mmsg_worker *worker, struct mmsg_slot *slot, struct mmsghdr *received,
                   int64_t read_ns)
{
    struct counters *counters = worker->counters;
    udp_info_read(&received->msg_hdr, &slot->info);
    message_reset(&received->msg_hdr);
    describe(slot, received->msg_len, read_ns);
    if (slot->info.received_ns != 0)
        histogram_record(&counters->queue_delay_ns, elapsed(slot->info.received_ns, read_ns));
    slot->verdict = worker->handler(&slot->packet, slot->reply, worker->user);
    counter_add(&counters->packets[slot->verdict.outcome], 1);
    counter_add(&counters->bytes[slot->verdict.outcome], slot->packet.bytes);
    if (slot->verdict.reply_bytes != 0)
        worker->replies[worker->replies_count++] = slot;
}

static void handle_batch(struct mmsg_worker *worker, struct mmsg_source *source, unsigned received)
{
    int64_t read_ns = clock_wall_ns();
    histogram_record(&worker->counters->batch_packets, received);
    for (unsigned i = 0; i < received; i++)
        handle(worker, &worker->slots[i], &worker->messages[i], read_ns);
    send_replies(worker, source);
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

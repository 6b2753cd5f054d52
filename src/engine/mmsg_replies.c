#include "engine/mmsg_replies.h"

#include <endian.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* Bits of mmsg_chains.followers. */
_Static_assert(MMSG_BATCH == 32, "a bit for each datagram");

/* Batches without segments, after a device refused them. */
#define PAUSE_BATCHES 64

/* What became of the replies of a batch. */
struct tally {
    struct histogram *holds;
    uint64_t silent; /* of which no reply was asked for */
    uint64_t errors;
};

static inline void stamp(struct exchange *exchange, int64_t wall_ns)
{
    uint64_t big_endian = htobe64((uint64_t)wall_ns);
    memcpy(exchange->reply + exchange->verdict.stamp_offset, &big_endian, EXCHANGE_STAMP_BYTES);
}

/* Stamps replies and sends the message that they are in. Returns whether it was sent, or sets
 * errno. Not by libc's sendmsg(), whose cancellation point costs 30 instructions a call
 * (glibc 2.36). */
static inline bool send_stamped(int fd, const struct msghdr *message,
                                struct exchange *const *replies, unsigned count, int64_t *sent_ns)
{
    do {
        *sent_ns = clock_wall_ns();
        for (unsigned i = 0; i < count; i++)
            stamp(replies[i], *sent_ns);
        if (__builtin_expect(syscall(SYS_sendmsg, fd, message, MSG_DONTWAIT) >= 0, true))
            return true;
    } while (errno == EINTR);
    return false;
}

static inline void count_reply(const struct exchange *exchange, int64_t sent_ns,
                               struct tally *tally)
{
    int64_t hold_ns = sent_ns - exchange->question.received_ns;
    histogram_record(tally->holds, hold_ns > 0 ? (uint64_t)hold_ns : 0);
}

/* The control message that came with the question makes the reply leave from where it was sent. */
static inline void send_one(int fd, struct mmsg_slot *slot, struct exchange *exchange,
                            struct tally *tally)
{
    int64_t sent_ns;
    slot->reply_vector.iov_len = exchange->verdict.reply_bytes;
    if (send_stamped(fd, &slot->reply_header, &exchange, 1, &sent_ns))
        count_reply(exchange, sent_ns, tally);
    else
        tally->errors++;
}

/* Replies to one client, of one size. */
struct burst {
    struct exchange *exchanges[MMSG_BATCH];
    struct iovec vectors[MMSG_BATCH];
};

static struct mmsg_slot *slot_of(struct mmsg_worker *worker, const struct exchange *exchange)
{
    return &worker->slots[exchange - worker->exchanges];
}

static void write_segment_bytes(struct msghdr *message, const struct msghdr *one, uint16_t bytes)
{
    char *control = message->msg_control;
    if (one->msg_controllen > 0)
        memcpy(control, one->msg_control, one->msg_controllen);
    struct cmsghdr *header = (struct cmsghdr *)(control + one->msg_controllen);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof bytes);
    memcpy(CMSG_DATA(header), &bytes, sizeof bytes);
    message->msg_controllen = one->msg_controllen + CMSG_SPACE(sizeof bytes);
}

/* Several replies to one client in one call, which the kernel cuts into datagrams; all have the
 * time of that call. Returns whether they were sent. */
static bool send_segmented(int fd, struct mmsg_slot *first, struct burst *burst, unsigned count,
                           struct tally *tally)
{
    alignas(size_t) char control[UDP_INFO_REPLY_BYTES + CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct msghdr message = {.msg_name = &first->from,
                             .msg_namelen = sizeof first->from,
                             .msg_iov = burst->vectors,
                             .msg_iovlen = count,
                             .msg_control = control};
    int64_t sent_ns;
    write_segment_bytes(&message, &first->reply_header, (uint16_t)burst->vectors[0].iov_len);
    if (!send_stamped(fd, &message, burst->exchanges, count, &sent_ns))
        return false;
    for (unsigned i = 0; i < count; i++)
        count_reply(burst->exchanges[i], sent_ns, tally);
    return true;
}

/* Of one size. After an error each reply has its own chance. A device without checksums of its own
 * refuses segments with EIO, but may not be the one for the next. */
static void send_burst(struct mmsg_worker *worker, struct mmsg_source *source, struct burst *burst,
                       unsigned count, struct tally *tally)
{
    if (count > 1) {
        struct mmsg_slot *first = slot_of(worker, burst->exchanges[0]);
        if (send_segmented(source->fd, first, burst, count, tally))
            return;
        if (errno == EIO)
            source->pause = PAUSE_BATCHES;
    }
    for (unsigned i = 0; i < count; i++) {
        struct exchange *exchange = burst->exchanges[i];
        send_one(source->fd, slot_of(worker, exchange), exchange, tally);
    }
}

static void send_chain(struct mmsg_worker *worker, struct mmsg_source *source,
                       const struct mmsg_chains *chains, unsigned i, struct tally *tally)
{
    struct burst burst;
    unsigned count = 0;
    for (; i != MMSG_CHAIN_END; i = chains->next[i]) {
        struct exchange *exchange = &worker->exchanges[i];
        size_t bytes = exchange->verdict.reply_bytes;
        if (bytes == 0) {
            tally->silent++;
            continue;
        }
        if (count > 0 && bytes != burst.vectors[0].iov_len) {
            send_burst(worker, source, &burst, count, tally);
            count = 0;
        }
        burst.exchanges[count] = exchange;
        burst.vectors[count] = (struct iovec){exchange->reply, bytes};
        count++;
    }
    send_burst(worker, source, &burst, count, tally);
}

static void send_chains(struct mmsg_worker *worker, struct mmsg_source *source, unsigned count,
                        const struct mmsg_chains *chains, struct tally *tally)
{
    uint32_t heads = ~chains->followers & UINT32_MAX >> (MMSG_BATCH - count);
    for (; heads != 0; heads &= heads - 1)
        send_chain(worker, source, chains, (unsigned)__builtin_ctz(heads), tally);
}

static void send_each(struct mmsg_worker *worker, const struct mmsg_source *source, unsigned count,
                      struct tally *tally)
{
    const int fd = source->fd;
    for (unsigned i = 0; i < count; i++) {
        if (worker->exchanges[i].verdict.reply_bytes != 0)
            send_one(fd, &worker->slots[i], &worker->exchanges[i], tally);
        else
            tally->silent++;
    }
}

static bool may_segment(struct mmsg_source *source)
{
    if (source->pause == 0)
        return source->can_segment;
    source->pause--;
    return false;
}

void mmsg_replies_send(struct mmsg_worker *worker, struct mmsg_source *source, unsigned count,
                       const struct mmsg_chains *chains)
{
    struct counters *counters = worker->counters;
    struct tally tally = {.holds = &counters->hold_ns};
    if (chains->followers != 0 && may_segment(source))
        send_chains(worker, source, count, chains, &tally);
    else
        send_each(worker, source, count, &tally);
    counter_add(&counters->answered, count - tally.silent - tally.errors);
    counter_add(&counters->send_errors, tally.errors);
}

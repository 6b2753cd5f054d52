/* SPDX-License-Identifier: Apache-2.0 */
#include "net/outbox.h"

#include <endian.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/bind.h"

#define STAMP_BYTES 8

/* Datagrams that wait to be sent at once; more of them make an early start. */
#define OUT_MAX 64
#define OUT_NONE UINT8_MAX

/* Datagrams of one burst must fit every path: the smallest MTU of IPv6, without the headers. */
#define SEGMENT_MAX_BYTES 1232

/* What the kernel takes at once: the longest payload over IPv4. */
#define BURST_MAX_BYTES 65507

/* Batches without segments, after a device refused them. */
#define PAUSE_BATCHES 64

/* What one datagram needs on its way out. */
struct out {
    struct outlet *outlet;
    struct endpoint to, from;
    struct iovec vector;
    int64_t received_ns;
    int stamp_at;
    bool is_pinned, is_sent;
    uint8_t hops, traffic;
    uint8_t next; /* a later one by the same outlet, to the same peer, from the same address */
};

/* A message header with what it points to. */
struct letter {
    struct sockaddr_in6 to;
    alignas(
        struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                     2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
};

struct outbox {
    const struct neighbours *neighbours; /* NULL: none is missing */
    unsigned count;
    uint64_t flushes;    /* so far; begins at 1 */
    uint8_t latest[256]; /* in out, by the lower half of the peer's port */
    struct out out[OUT_MAX];
};

struct outbox *outbox_new(void)
{
    struct outbox *outbox = calloc(1, sizeof *outbox);

    if (outbox == NULL)
        return NULL;
    outbox->flushes = 1;
    memset(outbox->latest, OUT_NONE, sizeof outbox->latest);
    return outbox;
}

void outbox_free(struct outbox *outbox)
{
    free(outbox);
}

void outbox_watch(struct outbox *outbox, const struct neighbours *neighbours)
{
    outbox->neighbours = neighbours;
}

static inline void count_sent(const struct out *out, int64_t sent_ns)
{
    struct port_counters *counters = out->outlet->counters;
    counter_add(&counters->sent, 1);
    counter_add(&counters->sent_bytes, out->vector.iov_len);
    if (out->stamp_at >= 0) {
        int64_t hold_ns = sent_ns - out->received_ns;
        histogram_record(&counters->hold_ns, hold_ns > 0 ? (uint64_t)hold_ns : 0);
    }
}

/* Without the padding behind the last one the kernel needs no memory for an address. */
static void *add_control(struct msghdr *header, int level, int type, size_t bytes)
{
    size_t at = CMSG_ALIGN(header->msg_controllen);
    struct cmsghdr *message = (struct cmsghdr *)((char *)header->msg_control + at);
    message->cmsg_level = level;
    message->cmsg_type = type;
    message->cmsg_len = CMSG_LEN(bytes);
    header->msg_controllen = at + CMSG_LEN(bytes);
    return CMSG_DATA(message);
}

static void add_number(struct msghdr *header, int level, int type, int number)
{
    memcpy(add_control(header, level, type, sizeof number), &number, sizeof number);
}

/* Addresses one datagram, and names the address that it leaves from. */
static void write_letter(struct out *out, struct letter *letter, struct msghdr *header)
{
    memset(letter->control, 0, sizeof letter->control); /* the kernel is given its padding, too */
    *header = (struct msghdr){.msg_name = &letter->to,
                              .msg_namelen =
                                  endpoint_to_socket(&out->to, out->outlet->family, &letter->to),
                              .msg_iov = &out->vector,
                              .msg_iovlen = 1,
                              .msg_control = letter->control};
    /* An IPv4 datagram has what is IPv4's, also on a dual-stack socket. */
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&out->to.address);
    if (out->hops != 0)
        add_number(header, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_TTL : IPV6_HOPLIMIT,
                   out->hops);
    if (out->traffic != 0)
        add_number(header, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_TOS : IPV6_TCLASS,
                   out->traffic);
    if (!out->is_pinned)
        return;

    if (out->outlet->family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = out->from.address, .ipi6_ifindex = out->from.scope};
        memcpy(add_control(header, IPPROTO_IPV6, IPV6_PKTINFO, sizeof info), &info, sizeof info);
    } else {
        struct in_pktinfo info = {.ipi_ifindex = 0};
        memcpy(&info.ipi_spec_dst, &out->from.address.s6_addr[12], sizeof info.ipi_spec_dst);
        memcpy(add_control(header, IPPROTO_IP, IP_PKTINFO, sizeof info), &info, sizeof info);
    }
}

/* Sends one message with the datagrams of one burst in it, stamped as late as it can be. Returns 0
 * or an errno value. */
static int send_message(const struct msghdr *header, struct out *const *burst, unsigned count)
{
    int64_t sent_ns;
    ssize_t sent;

    do {
        sent_ns = clock_wall_ns();
        for (unsigned i = 0; i < count; i++) {
            uint64_t big_endian = htobe64((uint64_t)sent_ns);
            if (burst[i]->stamp_at >= 0)
                memcpy((char *)burst[i]->vector.iov_base + burst[i]->stamp_at, &big_endian,
                       STAMP_BYTES);
        }
        sent = sendmsg(burst[0]->outlet->fd, header, MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno;

    for (unsigned i = 0; i < count; i++) {
        burst[i]->is_sent = true;
        count_sent(burst[i], sent_ns);
    }
    return 0;
}

/* Sends a chain as far as its datagrams are of one size, in one call that the kernel cuts into
 * datagrams. A device without checksums of its own refuses that with EIO, but may not be the one
 * for the next peer. After any error each datagram has its own chance. */
static void send_burst(struct outbox *outbox, struct out *first)
{
    struct out *burst[OUT_MAX];
    struct iovec vectors[OUT_MAX];
    struct letter letter;
    struct msghdr header;
    unsigned count = 0;
    size_t bytes = first->vector.iov_len;

    for (struct out *out = first;; out = &outbox->out[out->next]) {
        burst[count] = out;
        vectors[count++] = out->vector;
        if (out->next == OUT_NONE || (count + 1) * bytes > BURST_MAX_BYTES ||
            outbox->out[out->next].vector.iov_len != bytes)
            break;
    }
    if (count < 2)
        return;

    uint16_t segment_bytes = (uint16_t)bytes;
    write_letter(first, &letter, &header);
    memcpy(add_control(&header, SOL_UDP, UDP_SEGMENT, sizeof segment_bytes), &segment_bytes,
           sizeof segment_bytes);
    header.msg_iov = vectors;
    header.msg_iovlen = count;
    int error = send_message(&header, burst, count);
    if (error == EIO)
        first->outlet->pause = PAUSE_BATCHES;
    for (unsigned i = 0; i < count && error != 0; i++)
        burst[i]->next = OUT_NONE;
}

/* Sends those of a run of datagrams that go by the first one's outlet and are not stamped, in one
 * call. Those that were sent in bursts end it. */
static void send_run(struct out *run, const struct out *end)
{
    struct mmsghdr messages[OUT_MAX];
    struct letter letters[OUT_MAX];
    struct outlet *outlet = run->outlet;
    unsigned count = 0, done = 0, tries = 0;

    for (; run + count < end; count++) {
        struct out *out = &run[count];
        if (out->outlet != outlet || out->stamp_at >= 0 || out->is_sent ||
            (count > 0 && out->next != OUT_NONE))
            break;
        write_letter(out, &letters[count], &messages[count].msg_hdr);
    }
    while (done < count) {
        int sent = sendmmsg(outlet->fd, messages + done, count - done, MSG_DONTWAIT);
        int error = sent < 0 ? errno : 0;
        if (error == EINTR || (error != 0 && outlet_is_earlier(outlet, error, tries++)))
            continue;
        for (int i = 0; i < sent; i++)
            count_sent(&run[done + (unsigned)i], 0);
        if (error != 0)
            outlet_fail(outlet, error, &run[done].to);
        done += sent > 0 ? (unsigned)sent : 1;
        tries = 0;
    }
    for (unsigned i = 0; i < count; i++)
        run[i].is_sent = true;
}

void outbox_flush(struct outbox *outbox)
{
    const struct out *end = &outbox->out[outbox->count];

    for (struct out *out = outbox->out; out < end; out++) {
        outbox->latest[((const uint8_t *)&out->to.port)[1]] = OUT_NONE;
        if (!out->is_sent && out->next != OUT_NONE && out->outlet->can_segment &&
            out->outlet->pause == 0 && out->vector.iov_len - 1 < SEGMENT_MAX_BYTES)
            send_burst(outbox, out);
        if (out->is_sent)
            continue;
        if (out->stamp_at < 0) {
            send_run(out, end);
            continue;
        }

        struct letter letter;
        struct msghdr header;
        write_letter(out, &letter, &header);
        int error = send_message(&header, &(struct out *){out}, 1);
        if (error != 0)
            outlet_fail(out->outlet, error, &out->to);
    }
    outbox->count = 0;
    outbox->flushes++;
}

/* Takes room in the half of the send buffer that what is doubtful may use. What another port
 * received may leave by this outlet, so the kernel is asked anew after each flush. */
static bool take_room(struct outlet *outlet)
{
    if (outlet->room_at != outlet->outbox->flushes) {
        size_t used, size;
        outlet->room_at = outlet->outbox->flushes;
        outlet->room = bind_send_buffer(outlet->fd, &used, &size) == 0
                           ? (int64_t)(size / 2) - (int64_t)used
                           : INT64_MAX;
    }
    if (outlet->room < BIND_DATAGRAM_COST_BYTES)
        return false;
    outlet->room -= BIND_DATAGRAM_COST_BYTES;
    return true;
}

void outbox_add(struct outlet *outlet, const struct port_message *message)
{
    struct outbox *outbox = outlet->outbox;
    const struct neighbours *neighbours = outbox->neighbours;
    bool is_doubtful =
        message->is_doubtful ||
        (neighbours != NULL && neighbours_is_missing(neighbours, &message->to->address));

    if (outlet->family == AF_INET && !IN6_IS_ADDR_V4MAPPED(&message->to->address)) {
        outlet_fail(outlet, ENETUNREACH, message->to); /* the host has no IPv6 */
        return;
    }
    if (is_doubtful && !take_room(outlet)) {
        outlet_fail(outlet, ENOBUFS, message->to);
        return;
    }
    if (outbox->count == OUT_MAX)
        outbox_flush(outbox);

    uint8_t index = (uint8_t)outbox->count++;
    struct out *out = &outbox->out[index];
    *out = (struct out){.outlet = outlet,
                        .to = *message->to,
                        .vector = {message->data, message->bytes},
                        .received_ns = message->received_ns,
                        .stamp_at = message->stamp_at,
                        .is_pinned = message->from != NULL,
                        .hops = message->hops,
                        .traffic = message->traffic,
                        .next = OUT_NONE};
    if (out->is_pinned)
        out->from =
            (struct endpoint){.address = message->from->address, .scope = message->from->scope};

    /* Where peers with like ports take turns a chain breaks, which costs a call more. */
    uint8_t *latest = &outbox->latest[((const uint8_t *)&message->to->port)[1]];
    if (*latest != OUT_NONE) {
        struct out *before = &outbox->out[*latest];
        if (before->outlet == outlet && before->is_pinned == out->is_pinned &&
            before->hops == out->hops && before->traffic == out->traffic &&
            endpoint_equals(&before->to, &out->to) && endpoint_equals(&before->from, &out->from))
            before->next = index;
    }
    *latest = index;
}

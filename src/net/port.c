/* SPDX-License-Identifier: Apache-2.0 */
#include "net/port.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h> /* before linux/errqueue.h, which uses struct timespec without it */
#include <unistd.h>

#include <linux/errqueue.h>

#include "base/clock.h"
#include "net/address.h"
#include "net/bind.h"

#define STAMP_BYTES 8

/* Datagrams that wait to be sent at once; more of them make an early start. */
#define OUT_MAX 64
#define OUT_NONE UINT8_MAX

/* The least buffers that must be free for datagrams which are added to those that wait. */
#define GATHER_PACKETS 8

/* Datagrams of one burst must fit every path: the smallest MTU of IPv6, without the headers. */
#define SEGMENT_MAX_BYTES 1232

/* What the kernel takes at once: the longest payload over IPv4. */
#define BURST_MAX_BYTES 65507

/* Batches without segments, after a device refused them. */
#define PAUSE_BATCHES 64

/* A failure that does not pass must not hold up the end for long. */
#define DRAIN_RETRIES 50
#define RETRY_MS 1

/* What the datagrams of one part of a gathered message need, with room around each. */
#define SEGMENTS_BYTES                                                                             \
    (PACKET_MAX_BYTES + (size_t)PACKET_BATCH * (PACKET_HEAD + PACKET_ROOM + PACKET_ROOM))

/* Slots begin on a cache line, and are apart by no power of two, so that their beginnings do not
 * share a cache set. */
#define SLOT_BYTES                                                                                 \
    ((PACKET_HEAD + (size_t)PACKET_ROOM + PACKET_MAX_BYTES + PACKET_ROOM + 63) / 64 * 64)
_Static_assert(SLOT_BYTES % 4096 != 0, "slots share no cache set");

/* Errors that one call reads; so many until port_hear_again() make a port deaf. */
#define ERROR_BATCH 16
#define ERRORS_MOST 64

/* Calls for one datagram, of those that fail for an earlier one. */
#define ERROR_TRIES 4

/* More calls than errors that a port hears before it is deaf. */
#define RECEIVE_TRIES (2 * ERRORS_MOST)

/* The messages of a dual-stack socket that the kernel stamps. */
#define CONTROL_BYTES                                                                              \
    (CMSG_SPACE(sizeof(struct scm_timestamping)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) +        \
     CMSG_SPACE(sizeof(struct in_pktinfo)) + 4 * CMSG_SPACE(sizeof(int)))

struct slot {
    struct sockaddr_in6 peer;
    uint32_t segment_bytes; /* one datagram of several that the kernel has gathered; 0: it is one */
    struct iovec vector;
    alignas(struct cmsghdr) char control[CONTROL_BYTES];
};

/* What one datagram needs on its way out. */
struct out {
    struct port *port;
    struct endpoint to, from;
    struct iovec vector;
    int64_t received_ns;
    int stamp_at;
    bool is_pinned, is_sent;
    uint8_t hops, traffic;
    uint8_t next; /* a later one by the same port, to the same peer, from the same address */
};

/* A message header with what it points to. */
struct letter {
    struct sockaddr_in6 to;
    alignas(
        struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
                                     2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
};

struct port_batch {
    struct mmsghdr messages[PACKET_BATCH];
    struct slot slots[PACKET_BATCH];
    struct packet packets[PACKET_BATCH];
    const struct neighbours *neighbours; /* NULL: none is missing */
    int64_t read_ns;
    uint32_t max_bytes; /* of the port that received last */
    unsigned used;      /* packets whose bytes wait to be sent */
    unsigned out_count;
    uint64_t flushes;    /* so far; begins at 1 */
    uint8_t latest[256]; /* in out, by the lower half of the peer's port */
    struct out out[OUT_MAX];
    uint8_t *data;     /* PACKET_BATCH times SLOT_BYTES; pages are used as datagrams need them */
    uint8_t *segments; /* SEGMENTS_BYTES */
    struct packet gathered[PACKET_BATCH]; /* in them */
};

struct port {
    struct port_options options;
    struct port *next; /* of the ring of those beside it */
    sa_family_t family;
    in_port_t number;
    bool can_segment, is_drained;
    unsigned pause;   /* batches of which each datagram leaves by itself all the same */
    int64_t room;     /* bytes for what is doubtful, since the flush of this number */
    uint64_t room_at; /* port_batch.flushes */
    unsigned counted; /* packets of the batch in hand */
    unsigned heard;   /* errors, since it began to hear of them */
};

struct port_counters *port_counters_new(unsigned workers)
{
    struct port_counters *counters =
        aligned_alloc(alignof(struct port_counters), workers * sizeof *counters);
    if (counters == NULL)
        return NULL;

    memset(counters, 0, workers * sizeof *counters);
    for (unsigned i = 0; i < workers; i++) {
        histogram_init(&counters[i].batch_packets, &histogram_batch_bounds);
        histogram_init(&counters[i].hold_ns, &histogram_time_bounds);
        histogram_init(&counters[i].queue_delay_ns, &histogram_time_bounds);
    }
    return counters;
}

void port_counters_add(struct port_sum *sum, const struct port_counters *counters, unsigned workers)
{
    for (const struct port_counters *c = counters; c < counters + workers; c++) {
        for (unsigned i = 0; i < PORT_MAX_OUTCOMES; i++) {
            uint64_t packets = counter_read(&c->outcomes[i].packets);
            sum->packets[i] += packets;
            sum->received += packets;
            sum->bytes[i] += counter_read(&c->outcomes[i].bytes);
        }
        for (unsigned i = 0; i < PORT_ERRORS; i++) {
            uint64_t errors = counter_read(&c->send_errors[i]);
            sum->errors[i] += errors;
            sum->send_errors += errors;
        }
        sum->sent += counter_read(&c->sent);
        sum->sent_bytes += counter_read(&c->sent_bytes);
        sum->receive_errors += counter_read(&c->receive_errors);
        histogram_add(&sum->batch_packets, &c->batch_packets);
        histogram_add(&sum->hold_ns, &c->hold_ns);
        histogram_add(&sum->queue_delay_ns, &c->queue_delay_ns);
    }
}

/* The kernel says in a header what it has written. */
static void prepare(struct port_batch *batch, unsigned i)
{
    batch->messages[i].msg_hdr.msg_namelen = sizeof batch->slots[i].peer;
    batch->messages[i].msg_hdr.msg_controllen = CONTROL_BYTES;
}

struct port_batch *port_batch_new(void)
{
    struct port_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL)
        return NULL;
    batch->data = calloc(PACKET_BATCH, SLOT_BYTES);
    batch->segments = calloc(1, SEGMENTS_BYTES);
    if (batch->data == NULL || batch->segments == NULL) {
        port_batch_free(batch);
        return NULL;
    }

    batch->flushes = 1;
    memset(batch->latest, OUT_NONE, sizeof batch->latest);
    for (unsigned i = 0; i < PACKET_BATCH; i++) {
        struct slot *slot = &batch->slots[i];
        batch->packets[i].data = batch->data + (size_t)i * SLOT_BYTES + PACKET_HEAD + PACKET_ROOM;
        slot->vector.iov_base = batch->packets[i].data;
        batch->messages[i].msg_hdr = (struct msghdr){.msg_name = &slot->peer,
                                                     .msg_iov = &slot->vector,
                                                     .msg_iovlen = 1,
                                                     .msg_control = slot->control};
        prepare(batch, i);
    }
    return batch;
}

void port_batch_watch(struct port_batch *batch, const struct neighbours *neighbours)
{
    batch->neighbours = neighbours;
}

void port_batch_free(struct port_batch *batch)
{
    if (batch == NULL)
        return;
    free(batch->segments);
    free(batch->data);
    free(batch);
}

int port_open(struct port **port, const struct port_options *options)
{
    struct sockaddr_storage own = {0};
    socklen_t bytes = sizeof own;
    struct port *opened = calloc(1, sizeof *opened);
    if (opened == NULL) {
        close(options->fd);
        return -ENOMEM;
    }

    getsockname(options->fd, (struct sockaddr *)&own, &bytes);
    opened->options = *options;
    opened->next = opened;
    opened->family = own.ss_family;
    opened->number = endpoint_from_socket((const struct sockaddr *)&own).port;
    if (options->refused != NULL)
        bind_hear_errors(options->fd, true);
    opened->can_segment = !options->is_connected && bind_can_segment(options->fd);
    if (options->is_gathering)
        bind_gather(options->fd);
    *port = opened;
    return 0;
}

void port_close(struct port *port)
{
    if (port == NULL)
        return;
    close(port->options.fd);
    free(port);
}

void port_join(struct port *port, struct port *other)
{
    port->next = other->next;
    other->next = port;
}

struct port *port_beside(struct port *port, const struct port_batch *batch)
{
    struct port *found = port;
    while (found->options.batch != batch && found->next != port)
        found = found->next;
    return found->options.batch == batch ? found : NULL;
}

int port_fd(const struct port *port)
{
    return port->options.fd;
}

int64_t port_read_ns(const struct port *port)
{
    return port->options.batch->read_ns;
}

void port_count(struct port *port, unsigned outcome, const struct packet *packet)
{
    struct port_counters *counters = port->options.counters;
    port->counted++;
    counter_add(&counters->outcomes[outcome].packets, 1);
    counter_add(&counters->outcomes[outcome].bytes, packet->bytes);
}

/* A local address that the kernel would not answer from is a broadcast address of this host. */
static struct in6_addr local_ipv4(const struct in_pktinfo *info)
{
    bool is_broadcast =
        info->ipi_ifindex != 0 && info->ipi_spec_dst.s_addr != info->ipi_addr.s_addr;
    const struct in_addr broadcast = {INADDR_BROADCAST};
    return address_from_ipv4(is_broadcast ? broadcast : info->ipi_addr);
}

/* Reads what the kernel says of a datagram beside its bytes. An IPv4 datagram on a dual-stack
 * socket has both kinds of packet info, that of IPv4 later. Returns whether there was a stamp. */
static bool read_control(const struct port *port, struct msghdr *header, struct packet *packet,
                         uint32_t *segment_bytes)
{
    bool is_stamped = false;
    *segment_bytes = 0;
    packet->local = (struct endpoint){.address = in6addr_loopback, .port = port->number};
    packet->hops = packet->traffic = 0;
    for (struct cmsghdr *message = CMSG_FIRSTHDR(header); message != NULL;
         message = CMSG_NXTHDR(header, message)) {
        if (message->cmsg_level == SOL_SOCKET) {
            const struct scm_timestamping *stamps =
                (const struct scm_timestamping *)CMSG_DATA(message);
            packet->received_ns =
                (int64_t)stamps->ts[0].tv_sec * 1000000000 + stamps->ts[0].tv_nsec;
            is_stamped = packet->received_ns != 0;
        } else if (message->cmsg_type ==
                   (message->cmsg_level == IPPROTO_IP ? IP_TTL : IPV6_HOPLIMIT)) {
            int hops;
            memcpy(&hops, CMSG_DATA(message), sizeof hops);
            packet->hops = (uint8_t)hops;
        } else if (message->cmsg_level == SOL_UDP) {
            int bytes;
            memcpy(&bytes, CMSG_DATA(message), sizeof bytes);
            *segment_bytes = (uint32_t)bytes;
        } else if (message->cmsg_level == IPPROTO_IP && message->cmsg_type == IP_TOS) {
            packet->traffic = *CMSG_DATA(message); /* the one that is a byte */
        } else if (message->cmsg_level == IPPROTO_IPV6 && message->cmsg_type == IPV6_TCLASS) {
            int traffic;
            memcpy(&traffic, CMSG_DATA(message), sizeof traffic);
            packet->traffic = (uint8_t)traffic;
        } else if (message->cmsg_level == IPPROTO_IPV6) {
            const struct in6_pktinfo *info = (const struct in6_pktinfo *)CMSG_DATA(message);
            packet->local.address = info->ipi6_addr;
            packet->local.scope =
                address_is_link_local(&info->ipi6_addr) ? (uint32_t)info->ipi6_ifindex : 0;
        } else {
            packet->local.address = local_ipv4((const struct in_pktinfo *)CMSG_DATA(message));
        }
    }
    return is_stamped;
}

static void describe(struct port *port, unsigned i)
{
    struct port_batch *batch = port->options.batch;
    struct mmsghdr *message = &batch->messages[i];
    struct packet *packet = &batch->packets[i];

    packet->bytes = message->msg_len;
    packet->is_cut = (message->msg_hdr.msg_flags & MSG_TRUNC) != 0;
    packet->peer = endpoint_from_socket((const struct sockaddr *)&batch->slots[i].peer);
    packet->data = batch->slots[i].vector.iov_base;
    packet->received_ns = 0;
    if (read_control(port, &message->msg_hdr, packet, &batch->slots[i].segment_bytes)) {
        int64_t delay_ns = batch->read_ns - packet->received_ns;
        histogram_record(&port->options.counters->queue_delay_ns,
                         delay_ns > 0 ? (uint64_t)delay_ns : 0);
    } else {
        packet->received_ns = batch->read_ns;
    }
    prepare(batch, i);
}

static enum port_error classify(int error)
{
    static const struct {
        int error;
        enum port_error class;
    } classes[] = {{EAGAIN, PORT_ERROR_NO_BUFFERS},
                   {ENOBUFS, PORT_ERROR_NO_BUFFERS},
                   {ENOMEM, PORT_ERROR_NO_BUFFERS},
                   {ECONNREFUSED, PORT_ERROR_REFUSED},
                   {EPERM, PORT_ERROR_REFUSED},
                   {EACCES, PORT_ERROR_REFUSED},
                   {ENOPROTOOPT, PORT_ERROR_REFUSED},
                   {EOPNOTSUPP, PORT_ERROR_REFUSED},
                   {EPROTO, PORT_ERROR_REFUSED},
                   {ENETUNREACH, PORT_ERROR_UNREACHABLE},
                   {EHOSTUNREACH, PORT_ERROR_UNREACHABLE},
                   {EHOSTDOWN, PORT_ERROR_UNREACHABLE},
                   {ENONET, PORT_ERROR_UNREACHABLE},
                   {EADDRNOTAVAIL, PORT_ERROR_UNREACHABLE},
                   {EMSGSIZE, PORT_ERROR_TOO_LARGE}};
    enum port_error class = PORT_ERROR_IO;

    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (classes[i].error == error)
            class = classes[i].class;
    }
    return class;
}

static void count_error(struct port *port, int error)
{
    counter_add(&port->options.counters->send_errors[classify(error)], 1);
}

static void tell_refused(const struct port *port, int error, const struct endpoint *to)
{
    enum port_error class = classify(error);
    if (port->options.refused != NULL &&
        (class == PORT_ERROR_REFUSED || class == PORT_ERROR_UNREACHABLE))
        port->options.refused(to, port->options.user);
}

/* The error number in a message of the error queue, or 0. */
static int reported_error(struct msghdr *header)
{
    for (struct cmsghdr *message = CMSG_FIRSTHDR(header); message != NULL;
         message = CMSG_NXTHDR(header, message)) {
        struct sock_extended_err error;
        if (message->cmsg_type != (message->cmsg_level == IPPROTO_IP ? IP_RECVERR : IPV6_RECVERR))
            continue;
        memcpy(&error, CMSG_DATA(message), sizeof error);
        return (int)error.ee_errno;
    }
    return 0;
}

unsigned port_hear(struct port *port)
{
    struct mmsghdr messages[ERROR_BATCH];
    struct notice {
        struct sockaddr_in6 to;
        alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct sock_extended_err) +
                                                        sizeof(struct sockaddr_in6))];
    } notices[ERROR_BATCH] = {0};

    for (unsigned i = 0; i < ERROR_BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_name = &notices[i].to,
                                              .msg_namelen = sizeof notices[i].to,
                                              .msg_control = notices[i].control,
                                              .msg_controllen = sizeof notices[i].control};
    int count =
        recvmmsg(port->options.fd, messages, ERROR_BATCH, MSG_ERRQUEUE | MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        const struct endpoint to = messages[i].msg_hdr.msg_namelen > 0
                                       ? endpoint_from_socket((struct sockaddr *)&notices[i].to)
                                       : (struct endpoint){.port = 0};
        tell_refused(port, reported_error(&messages[i].msg_hdr), &to);
    }
    if (count <= 0)
        return 0;
    port->heard += (unsigned)count;
    if (port->heard >= ERRORS_MOST)
        bind_hear_errors(port->options.fd, false);
    return (unsigned)count;
}

void port_hear_again(struct port *port)
{
    if (port->heard >= ERRORS_MOST)
        bind_hear_errors(port->options.fd, true);
    port->heard = 0;
}

/* Whether the network may have said an error, which then takes the place of a call. */
static bool may_be_heard(const struct port *port, int error)
{
    enum port_error class = classify(error);
    return port->options.refused != NULL && class != PORT_ERROR_IO &&
           class != PORT_ERROR_NO_BUFFERS;
}

/* Whether a send that has failed should be tried again, as the error may be that of an earlier
 * datagram. It may still be this datagram's. */
static bool is_earlier(struct port *port, int error, unsigned tries)
{
    if (port->options.is_connected)
        return tries == 0;
    if (!may_be_heard(port, error))
        return false;
    return port_hear(port) > 0 ? tries < ERROR_TRIES : tries == 0;
}

/* Whether a failure to receive is that of a datagram which was sent. None is the call's own, so it
 * is tried until all is heard, or the port is deaf; an error can come before its message. */
static bool is_of_sending(struct port *port, int error, unsigned tries)
{
    if (tries == RECEIVE_TRIES || !may_be_heard(port, error))
        return false;
    port_hear(port);
    return true;
}

static void count_sent(const struct out *out, int64_t sent_ns)
{
    struct port_counters *counters = out->port->options.counters;
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
    const struct port *port = out->port;
    memset(letter->control, 0, sizeof letter->control); /* the kernel is given its padding, too */
    *header =
        (struct msghdr){.msg_name = &letter->to,
                        .msg_namelen = endpoint_to_socket(&out->to, port->family, &letter->to),
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

    if (port->family == AF_INET6) {
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
        sent = sendmsg(burst[0]->port->options.fd, header, MSG_DONTWAIT);
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
static void send_burst(struct port_batch *batch, struct out *first)
{
    struct out *burst[OUT_MAX];
    struct iovec vectors[OUT_MAX];
    struct letter letter;
    struct msghdr header;
    unsigned count = 0;
    size_t bytes = first->vector.iov_len;

    for (struct out *out = first;; out = &batch->out[out->next]) {
        burst[count] = out;
        vectors[count++] = out->vector;
        if (out->next == OUT_NONE || (count + 1) * bytes > BURST_MAX_BYTES ||
            batch->out[out->next].vector.iov_len != bytes)
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
        first->port->pause = PAUSE_BATCHES;
    for (unsigned i = 0; i < count && error != 0; i++)
        burst[i]->next = OUT_NONE;
}

/* Sends the datagrams from @p first on that go by the same port and are not stamped, in one call.
 * Those that were sent in bursts end it. */
static void send_run(struct port_batch *batch, unsigned first)
{
    struct mmsghdr messages[OUT_MAX];
    struct letter letters[OUT_MAX];
    struct out *run = &batch->out[first];
    struct port *port = run->port;
    unsigned count = 0, done = 0, tries = 0;

    for (; first + count < batch->out_count; count++) {
        struct out *out = &run[count];
        if (out->port != port || out->stamp_at >= 0 || out->is_sent ||
            (count > 0 && out->next != OUT_NONE))
            break;
        write_letter(out, &letters[count], &messages[count].msg_hdr);
    }
    while (done < count) {
        int sent = sendmmsg(port->options.fd, messages + done, count - done, MSG_DONTWAIT);
        int error = sent < 0 ? errno : 0;
        if (error == EINTR || (error != 0 && is_earlier(port, error, tries++)))
            continue;
        for (int i = 0; i < sent; i++)
            count_sent(&run[done + (unsigned)i], 0);
        if (error != 0) {
            count_error(port, error);
            tell_refused(port, error, &run[done].to);
        }
        done += sent > 0 ? (unsigned)sent : 1;
        tries = 0;
    }
    for (unsigned i = 0; i < count; i++)
        run[i].is_sent = true;
}

static void flush(struct port_batch *batch)
{
    for (unsigned i = 0; i < batch->out_count; i++) {
        struct out *out = &batch->out[i];
        batch->latest[((const uint8_t *)&out->to.port)[1]] = OUT_NONE;
        if (!out->is_sent && out->next != OUT_NONE && out->port->can_segment &&
            out->port->pause == 0 && out->vector.iov_len - 1 < SEGMENT_MAX_BYTES)
            send_burst(batch, out);
        if (out->is_sent)
            continue;
        if (out->stamp_at < 0) {
            send_run(batch, i);
            continue;
        }

        struct letter letter;
        struct msghdr header;
        write_letter(out, &letter, &header);
        int error = send_message(&header, &out, 1);
        if (error != 0)
            count_error(out->port, error);
    }
    batch->used = 0;
    batch->out_count = 0;
    batch->flushes++;
}

/* Takes room in the half of the send buffer that what is doubtful may use. What another port
 * received may leave by this one, so the kernel is asked anew after each flush. */
static bool take_room(struct port *port)
{
    if (port->room_at != port->options.batch->flushes) {
        size_t used, size;
        port->room_at = port->options.batch->flushes;
        port->room = bind_send_buffer(port->options.fd, &used, &size) == 0
                         ? (int64_t)(size / 2) - (int64_t)used
                         : INT64_MAX;
    }
    if (port->room < BIND_DATAGRAM_COST_BYTES)
        return false;
    port->room -= BIND_DATAGRAM_COST_BYTES;
    return true;
}

void port_send(struct port *port, const struct port_message *message)
{
    struct port_batch *batch = port->options.batch;
    const struct neighbours *neighbours = batch->neighbours;
    bool is_doubtful =
        message->is_doubtful ||
        (neighbours != NULL && neighbours_is_missing(neighbours, &message->to->address));

    if (port->family == AF_INET && !IN6_IS_ADDR_V4MAPPED(&message->to->address)) {
        count_error(port, ENETUNREACH); /* the host has no IPv6 */
        tell_refused(port, ENETUNREACH, message->to);
        return;
    }
    if (is_doubtful && !take_room(port)) {
        count_error(port, ENOBUFS);
        return;
    }
    if (batch->out_count == OUT_MAX)
        flush(batch);

    uint8_t index = (uint8_t)batch->out_count++;
    struct out *out = &batch->out[index];
    *out = (struct out){.port = port,
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
    uint8_t *latest = &batch->latest[((const uint8_t *)&message->to->port)[1]];
    if (*latest != OUT_NONE) {
        struct out *before = &batch->out[*latest];
        if (before->port == port && before->is_pinned == out->is_pinned &&
            before->hops == out->hops && before->traffic == out->traffic &&
            endpoint_equals(&before->to, &out->to) && endpoint_equals(&before->from, &out->from))
            before->next = index;
    }
    *latest = index;
}

void port_flush(struct port *port)
{
    flush(port->options.batch);
}

void port_batch_flush(struct port_batch *batch)
{
    flush(batch);
}

static void hand_over(struct port *port, struct packet *packets, unsigned count)
{
    port->counted = 0;
    port->options.receive(port, packets, count, port->options.user);
    assert(port->counted == count);
}

/* Cuts what the kernel has gathered into the datagrams that came, and hands them over in parts; the
 * memory of a part is that of the next. Returns how many there were. */
static unsigned hand_over_gathered(struct port *port, unsigned i)
{
    struct port_batch *batch = port->options.batch;
    const struct packet *whole = &batch->packets[i];
    uint32_t segment_bytes = batch->slots[i].segment_bytes, at = 0;
    unsigned total = 0;

    while (at < whole->bytes) {
        uint8_t *to = batch->segments;
        unsigned count = 0;
        for (; count < PACKET_BATCH && at < whole->bytes; count++) {
            struct packet *packet = &batch->gathered[count];
            uint32_t left = whole->bytes - at;
            *packet = *whole;
            packet->bytes = left < segment_bytes ? left : segment_bytes;
            packet->data = to + PACKET_HEAD + PACKET_ROOM;
            memcpy(packet->data, whole->data + at, packet->bytes);
            to = packet->data + packet->bytes + PACKET_ROOM;
            at += packet->bytes;
        }
        hand_over(port, batch->gathered, count);
        flush(batch);
        total += count;
    }
    return total;
}

static bool is_gathered(const struct port_batch *batch, unsigned i)
{
    uint32_t segment_bytes = batch->slots[i].segment_bytes;
    return segment_bytes != 0 && batch->packets[i].bytes > segment_bytes;
}

static unsigned hand_over_all(struct port *port, unsigned first, unsigned end)
{
    struct port_batch *batch = port->options.batch;
    unsigned total = 0;

    for (unsigned i = first; i < end;) {
        unsigned begin = i;
        while (i < end && !is_gathered(batch, i))
            i++;
        if (i > begin)
            hand_over(port, &batch->packets[begin], i - begin);
        total += i - begin;
        if (i < end)
            total += hand_over_gathered(port, i++);
    }
    return total;
}

/* Receives into the buffers that are free. */
static int receive(struct port *port)
{
    struct port_batch *batch = port->options.batch;
    unsigned first = batch->used, most = PACKET_BATCH - first, tries = 0;
    int received, error;

    for (unsigned i = 0; i < PACKET_BATCH && batch->max_bytes != port->options.max_bytes; i++)
        batch->slots[i].vector.iov_len = port->options.max_bytes;
    batch->max_bytes = port->options.max_bytes;
    do { /* MSG_TRUNC makes the kernel tell true sizes */
        received = recvmmsg(port->options.fd, &batch->messages[first], most,
                            MSG_DONTWAIT | MSG_TRUNC, NULL);
        error = received < 0 ? errno : 0;
    } while (error == EINTR || (error != 0 && is_of_sending(port, error, tries++)));
    if (error == EAGAIN)
        return 0;
    if (error != 0) {
        counter_add(&port->options.counters->receive_errors, 1);
        return -error;
    }

    batch->read_ns = port->options.is_unstamped ? 0 : clock_wall_ns();
    for (unsigned i = first; i < first + (unsigned)received; i++)
        describe(port, i);
    port->pause -= port->pause > 0;
    port->is_drained = (unsigned)received < most;
    unsigned datagrams = hand_over_all(port, first, first + (unsigned)received);
    histogram_record(&port->options.counters->batch_packets, datagrams);
    batch->used = first + (unsigned)received;
    return (int)datagrams;
}

int port_turn(struct port *port)
{
    flush(port->options.batch);
    int received = receive(port);
    flush(port->options.batch);
    return received;
}

bool port_is_drained(const struct port *port)
{
    return port->is_drained;
}

int port_gather(struct port *port)
{
    if (port->options.batch->used > PACKET_BATCH - GATHER_PACKETS)
        flush(port->options.batch);
    return receive(port);
}

void port_drain(struct port *port, size_t most)
{
    unsigned retries = DRAIN_RETRIES;
    int received;

    while (most > 0 && (received = port_turn(port)) != 0) {
        if (received < 0 && retries-- == 0)
            return;
        if (received < 0)
            poll(NULL, 0, RETRY_MS); /* an error may pass, and what is queued would be lost */
        else
            most -= (size_t)received < most ? (size_t)received : most;
    }
}

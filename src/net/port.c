/* SPDX-License-Identifier: Apache-2.0 */
#include "net/port.h"

#include <assert.h>
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
#include "net/outbox.h"

/* The least buffers that must be free for datagrams which are added to those that wait. */
#define GATHER_PACKETS 8

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

struct port_batch {
    struct mmsghdr messages[PACKET_BATCH];
    struct slot slots[PACKET_BATCH];
    struct packet packets[PACKET_BATCH];
    struct outbox *outbox;
    int64_t read_ns;
    uint32_t max_bytes; /* of the port that received last */
    unsigned used;      /* packets whose bytes wait to be sent */
    uint8_t *data;      /* PACKET_BATCH times SLOT_BYTES; pages are used as datagrams need them */
    uint8_t *segments;  /* SEGMENTS_BYTES */
    struct packet gathered[PACKET_BATCH]; /* in them */
};

struct port {
    struct outlet outlet;
    struct port_options options;
    struct port *next; /* of the ring of those beside it */
    in_port_t number;
    bool is_full;     /* the last batch was as large as it could be */
    unsigned counted; /* packets of the batch in hand */
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
    batch->outbox = outbox_new();
    if (batch->data == NULL || batch->segments == NULL || batch->outbox == NULL) {
        port_batch_free(batch);
        return NULL;
    }

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
    outbox_watch(batch->outbox, neighbours);
}

void port_batch_free(struct port_batch *batch)
{
    if (batch == NULL)
        return;
    outbox_free(batch->outbox);
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
    opened->outlet =
        (struct outlet){.outbox = options->batch->outbox,
                        .fd = options->fd,
                        .family = own.ss_family,
                        .can_segment = !options->is_connected && bind_can_segment(options->fd),
                        .is_connected = options->is_connected,
                        .counters = options->counters,
                        .refused = options->refused,
                        .user = options->user};
    opened->number = endpoint_from_socket((const struct sockaddr *)&own).port;
    if (options->refused != NULL)
        bind_hear_errors(options->fd, true);
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

void port_send(struct port *port, const struct port_message *message)
{
    outbox_add(&port->outlet, message);
}

void port_batch_flush(struct port_batch *batch)
{
    outbox_flush(batch->outbox);
    batch->used = 0;
}

void port_flush(struct port *port)
{
    port_batch_flush(port->options.batch);
}

unsigned port_hear(struct port *port)
{
    return outlet_hear(&port->outlet);
}

void port_hear_again(struct port *port)
{
    outlet_hear_again(&port->outlet);
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
        port_batch_flush(batch);
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
    } while (error == EINTR || (error != 0 && outlet_is_of_sending(&port->outlet, error, tries++)));
    if (error == EAGAIN)
        return 0;
    if (error != 0) {
        counter_add(&port->options.counters->receive_errors, 1);
        return -error;
    }

    batch->read_ns = port->options.is_unstamped ? 0 : clock_wall_ns();
    for (unsigned i = first; i < first + (unsigned)received; i++)
        describe(port, i);
    port->outlet.pause -= port->outlet.pause > 0;
    port->is_full = (unsigned)received == most;
    unsigned datagrams = hand_over_all(port, first, first + (unsigned)received);
    histogram_record(&port->options.counters->batch_packets, datagrams);
    batch->used = first + (unsigned)received;
    return (int)datagrams;
}

int port_turn(struct port *port)
{
    port_flush(port);
    int received = receive(port);
    port_flush(port);
    return received;
}

bool port_is_drained(const struct port *port)
{
    struct pollfd waiting = {.fd = port->options.fd, .events = POLLIN};
    return !port->is_full || poll(&waiting, 1, 0) == 0;
}

int port_gather(struct port *port)
{
    if (port->options.batch->used > PACKET_BATCH - GATHER_PACKETS)
        port_flush(port);
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

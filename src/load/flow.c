/* SPDX-License-Identifier: Apache-2.0 */
#include "load/flow.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/bind.h"

#define RECEIVE_BUFFER_BYTES (4 << 20)

void flow_io_init(struct flow_io *io, bool gso)
{
    *io = (struct flow_io){.gso = gso};
    for (unsigned i = 0; i < FLOW_BATCH; i++) {
        io->send_parts[i] = (struct iovec){io->pings[i], sizeof io->pings[i]};
        io->sends[i].msg_hdr = (struct msghdr){.msg_iov = &io->send_parts[i], .msg_iovlen = 1};
        io->receive_parts[i] = (struct iovec){io->pieces[i].data, FLOW_KEPT_BYTES};
        io->receives[i].msg_hdr = (struct msghdr){
            .msg_iov = &io->receive_parts[i], .msg_iovlen = 1, .msg_control = io->control[i]};
    }
}

void flow_raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int flow_open(const struct sockaddr_storage *target, socklen_t target_bytes, bool gro)
{
    const int bytes = RECEIVE_BUFFER_BYTES;
    const int on = 1;
    int fd = socket(target->ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    /* No option is needed to measure: without the stamp the time of reading counts. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    if (gro)
        (void)setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)target, target_bytes) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

/* The pings lie behind each other, so that together they are what the kernel cuts up. */
static int send_as_one(struct flow_io *io, int fd, unsigned count)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    const uint16_t segment = QCMP_PING_BYTES;
    struct iovec all = {io->pings, (size_t)count * QCMP_PING_BYTES};
    struct msghdr message = {
        .msg_iov = &all, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(header), &segment, sizeof segment);
    return sendmsg(fd, &message, 0) >= 0 ? (int)count : -errno;
}

int flow_send(struct flow_io *io, int fd, unsigned count)
{
    if (io->gso && count > 1) {
        int sent = send_as_one(io, fd, count);
        /* Kernels say so that know no GSO, or not for this device. */
        if (sent != -EINVAL && sent != -EIO && sent != -ENOPROTOOPT && sent != -EOPNOTSUPP)
            return sent;
        io->gso = false;
    }
    if (count == 1)
        return send(fd, io->pings[0], sizeof io->pings[0], 0) >= 0 ? 1 : -errno;
    int sent = sendmmsg(fd, io->sends, count, 0);
    return sent >= 0 ? sent : -errno;
}

bool flow_error_is_reported(int error)
{
    return error == -ECONNREFUSED || error == -EHOSTUNREACH || error == -ENETUNREACH ||
           error == -EHOSTDOWN || error == -EPROTO || error == -EMSGSIZE;
}

int flow_receive(struct flow_io *io, int fd)
{
    for (unsigned i = 0; i < FLOW_BATCH; i++)
        io->receives[i].msg_hdr.msg_controllen = FLOW_CONTROL_BYTES;
    int count = recvmmsg(fd, io->receives, FLOW_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    /* In this order: a generator that is kept from a CPU in between must not take a late answer for
     * one in time. */
    int64_t wall_ns = clock_wall_ns();
    int64_t monotonic_ns = clock_monotonic_ns();
    for (int i = 0; i < count; i++) {
        struct flow_piece *piece = &io->pieces[i];
        struct msghdr *head = &io->receives[i].msg_hdr;
        piece->bytes = io->receives[i].msg_len;
        piece->datagram_bytes = piece->bytes > 0 ? piece->bytes : 1;
        piece->received_ns = monotonic_ns;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL; c = CMSG_NXTHDR(head, c)) {
            struct timespec stamp;
            int segment;
            if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
                memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
                int64_t age_ns = wall_ns - ((int64_t)stamp.tv_sec * 1000000000 + stamp.tv_nsec);
                /* Negative when somebody set the clock meanwhile. */
                piece->received_ns -= age_ns > 0 ? age_ns : 0;
            } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
                memcpy(&segment, CMSG_DATA(c), sizeof segment);
                if (segment > 0)
                    piece->datagram_bytes = (size_t)segment;
            }
        }
    }
    return count;
}

size_t flow_piece_count(const struct flow_piece *piece)
{
    size_t count = (piece->bytes + piece->datagram_bytes - 1) / piece->datagram_bytes;
    return count > 0 ? count : 1;
}

const void *flow_piece_datagram(const struct flow_piece *piece, size_t index, size_t *bytes)
{
    size_t at = index * piece->datagram_bytes;
    size_t left = piece->bytes - at;
    size_t whole = left < piece->datagram_bytes ? left : piece->datagram_bytes;
    size_t needed = whole < QCMP_MAX_BYTES ? whole : QCMP_MAX_BYTES;
    *bytes = at + needed <= FLOW_KEPT_BYTES ? whole : 0;
    return *bytes > 0 ? piece->data + at : NULL;
}

uint32_t flow_drops(int fd)
{
    uint32_t drops = 0;

    bind_drops(fd, &drops);
    return drops;
}

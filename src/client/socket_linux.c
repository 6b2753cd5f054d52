/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/socket.h"

#include <errno.h>
#include <time.h> /* before linux/errqueue.h, which uses struct timespec without it */

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <poll.h>
#include <stdalign.h>
#include <string.h>
#include <unistd.h>

#include "client/address.h"
#include "client/clock.h"

/* An answer of 33 bytes occupies some 768 bytes of the buffer on loopback, more with other devices;
 * the kernel doubles what is asked for, and grants no more than net.core.rmem_max. */
#define RECEIVE_BYTES_A_SLOT 1024
#define RECEIVE_BYTES_LEAST (1 << 20)
#define RECEIVE_BYTES_MOST (1 << 26)
#define SLOTS_OF_ANY_BUFFER 16

#define RECEIVE_BATCH 32

/* A time_t has 32 bits on some systems. */
#define MOST_WAIT_S 1000000000
#define MOST_WAIT_NS (MOST_WAIT_S * INT64_C(1000000000))

/* ICMP errors that one call gets out of its way: a flood of them must not hold it up for ever. */
#define PENDING_ERRORS 64

/* Each transmit stamp comes with the packet that it is about: the kernel's numbering (OPT_ID)
 * counts some failed sends and not others. OPT_CMSG adds the interface, which a link-local address
 * needs. */
#define STAMP_FLAGS                                                                                \
    (SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE |     \
     SOF_TIMESTAMPING_OPT_CMSG)

/* A ping as a device sends it: link layer, IP, UDP, payload, padding. */
#define FRAME_BYTES 256
#define UDP_HEADER_BYTES 8
#define IPV4_HEADER_BYTES 20
#define IPV6_HEADER_BYTES 40

struct control {
    alignas(size_t) char bytes[256]; /* as the headers in it are aligned */
};

static int os_error(void)
{
    return qcmp_error_from_os(errno);
}

static int64_t to_ns(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static bool set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

static int receive_bytes(size_t slots)
{
    if (slots > RECEIVE_BYTES_MOST / RECEIVE_BYTES_A_SLOT)
        return RECEIVE_BYTES_MOST;
    int bytes = (int)slots * RECEIVE_BYTES_A_SLOT;
    return bytes > RECEIVE_BYTES_LEAST ? bytes : RECEIVE_BYTES_LEAST;
}

int qcmp_socket_open(struct qcmp_socket *sock, const struct qcmp_client_options *options,
                     size_t slots)
{
    int error = qcmp_socket_create(sock, options, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (error != 0)
        return error;
    /* These make things better where they are granted; nothing depends on them. */
    if (slots > SLOTS_OF_ANY_BUFFER)
        set_option(sock->fd, SOL_SOCKET, SO_RCVBUF, receive_bytes(slots));
    set_option(sock->fd, IPPROTO_IP, IP_RECVERR, 1);
    if (sock->ipv6)
        set_option(sock->fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    if (!options->user_stamps_only &&
        set_option(sock->fd, SOL_SOCKET, SO_TIMESTAMPING, STAMP_FLAGS) && sock->ipv6)
        set_option(sock->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    return 0;
}

void qcmp_socket_close(struct qcmp_socket *sock)
{
    close(sock->fd);
}

/* An ICMP error about an earlier ping makes the next send fail, once, with the number that a
 * failure of its own would have; only ECONNREFUSED is never an unconnected send's own. */
static bool may_be_anothers(int error)
{
    switch (qcmp_error_to_os(error)) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EPROTO:
    case EMSGSIZE:
    case EACCES:
        return true;
    default:
        return false;
    }
}

int qcmp_socket_send(struct qcmp_socket *sock, const struct qcmp_endpoint *to, const void *data,
                     size_t bytes)
{
    int error = qcmp_socket_send_once(sock, to, data, bytes);
    for (int tries = 1; may_be_anothers(error) && tries < PENDING_ERRORS; tries++) {
        sock->refused = true;
        error = qcmp_socket_send_once(sock, to, data, bytes);
    }
    return error;
}

/* The kernel's software stamp among the control messages, or 0. */
static int64_t find_stamp(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPING) {
            struct scm_timestamping stamps;
            memcpy(&stamps, CMSG_DATA(c), sizeof stamps);
            return to_ns(&stamps.ts[0]);
        }
    }
    return 0;
}

static bool find_extended_error(struct msghdr *message, struct sock_extended_err *error)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
            memcpy(error, CMSG_DATA(c), sizeof *error);
            return true;
        }
    }
    return false;
}

/* Member by member, because the order and the padding of the struct are the C library's. */
static void message_init(struct msghdr *message, struct sockaddr_storage *name, struct iovec *data,
                         struct control *control)
{
    memset(message, 0, sizeof *message);
    message->msg_name = name;
    message->msg_namelen = sizeof *name;
    message->msg_iov = data;
    message->msg_iovlen = 1;
    message->msg_control = control;
    message->msg_controllen = sizeof *control;
}

static int receive_batch(struct qcmp_socket *sock, struct mmsghdr *messages, unsigned capacity)
{
    /* Pending ICMP errors come before data, each with a number of its own; their texts are in the
     * error queue. */
    for (int tries = 0; tries < PENDING_ERRORS; tries++) {
        int received = recvmmsg(sock->fd, messages, capacity, MSG_DONTWAIT | MSG_TRUNC, NULL);
        if (received >= 0)
            return received;
        if (errno == EAGAIN)
            return 0;
        if (errno == EBADF || errno == ENOTSOCK || errno == EFAULT || errno == ENOMEM)
            break;
        sock->refused = true;
    }
    return os_error();
}

int qcmp_socket_receive(struct qcmp_socket *sock, struct qcmp_arrival *arrivals, int capacity)
{
    struct mmsghdr messages[RECEIVE_BATCH];
    struct sockaddr_storage from[RECEIVE_BATCH];
    struct control controls[RECEIVE_BATCH];
    struct iovec data[RECEIVE_BATCH];
    int limit = capacity < RECEIVE_BATCH ? capacity : RECEIVE_BATCH;
    for (int i = 0; i < limit; i++) {
        data[i].iov_base = arrivals[i].data;
        data[i].iov_len = sizeof arrivals[i].data;
        message_init(&messages[i].msg_hdr, &from[i], &data[i], &controls[i]);
    }
    int received = receive_batch(sock, messages, (unsigned)limit);
    struct qcmp_reading now = qcmp_clock_read();
    for (int i = 0; i < received; i++) {
        struct msghdr *message = &messages[i].msg_hdr;
        arrivals[i].read = now;
        arrivals[i].kernel_ns = find_stamp(message);
        arrivals[i].bytes = messages[i].msg_len;
        memset(&arrivals[i].from, 0, sizeof arrivals[i].from);
        qcmp_endpoint_from_sockaddr(&arrivals[i].from, (struct sockaddr *)&from[i],
                                    message->msg_namelen);
    }
    return received;
}

/* The interface that a looped-back packet left by, or 0. */
static uint32_t find_interface(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            return info.ipi6_ifindex;
        }
    }
    return 0;
}

/* Where the headers say that a ping whose payload begins at @p payload goes; false when they are
 * not those of a ping. */
static bool frame_target(const uint8_t *frame, size_t payload, struct sockaddr_in6 *to)
{
    const uint8_t udp_bytes = UDP_HEADER_BYTES + QCMP_PING_BYTES;
    const uint8_t *udp = frame + payload - UDP_HEADER_BYTES;
    const uint8_t *ipv4 = udp - IPV4_HEADER_BYTES;
    if (udp[4] != 0 || udp[5] != udp_bytes)
        return false;
    memcpy(&to->sin6_port, udp + 2, sizeof to->sin6_port);
    if (ipv4[0] == 0x45 && ipv4[3] == IPV4_HEADER_BYTES + udp_bytes && ipv4[9] == IPPROTO_UDP) {
        memset(to->sin6_addr.s6_addr, 0, 10);
        memset(to->sin6_addr.s6_addr + 10, 0xff, 2);
        memcpy(to->sin6_addr.s6_addr + 12, ipv4 + 16, 4);
        return true;
    }
    if (payload < IPV6_HEADER_BYTES + UDP_HEADER_BYTES)
        return false;
    const uint8_t *ipv6 = udp - IPV6_HEADER_BYTES;
    memcpy(to->sin6_addr.s6_addr, ipv6 + 24, 16);
    return ipv6[0] >> 4 == 6 && ipv6[5] == udp_bytes && ipv6[6] == IPPROTO_UDP;
}

/* Finds the ping in a frame from its end, because a link layer can have any size. */
static bool frame_read(const uint8_t *frame, size_t bytes, struct msghdr *message,
                       struct qcmp_notice *notice)
{
    const size_t headers = IPV4_HEADER_BYTES + UDP_HEADER_BYTES;
    for (size_t end = bytes; end >= headers + QCMP_PING_BYTES; end--) {
        struct sockaddr_in6 to;
        memset(&to, 0, sizeof to);
        to.sin6_family = AF_INET6;
        if (frame_target(frame, end - QCMP_PING_BYTES, &to)) {
            to.sin6_scope_id = find_interface(message);
            notice->bytes = QCMP_PING_BYTES;
            memcpy(notice->data, frame + end - QCMP_PING_BYTES, QCMP_PING_BYTES);
            return qcmp_endpoint_from_sockaddr(&notice->to, (struct sockaddr *)&to, sizeof to) == 0;
        }
    }
    return false;
}

static bool notice_fill(struct msghdr *message, const uint8_t *data, size_t bytes,
                        struct qcmp_notice *notice)
{
    struct sock_extended_err error;
    if (!find_extended_error(message, &error))
        return false;
    notice->transmitted = error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING;
    if (notice->transmitted) {
        notice->kernel_ns = find_stamp(message);
        return notice->kernel_ns != 0 && error.ee_info == SCM_TSTAMP_SND &&
               frame_read(data, bytes, message, notice);
    }
    notice->error = qcmp_error_from_os((int)error.ee_errno);
    notice->bytes = bytes < sizeof notice->data ? bytes : sizeof notice->data;
    memcpy(notice->data, data, notice->bytes);
    return qcmp_endpoint_from_sockaddr(&notice->to, (struct sockaddr *)message->msg_name,
                                       message->msg_namelen) == 0;
}

int qcmp_socket_notice(struct qcmp_socket *sock, struct qcmp_notice *notice)
{
    struct sockaddr_storage to;
    struct control control;
    uint8_t frame[FRAME_BYTES];
    struct iovec data = {frame, sizeof frame};
    struct msghdr message;
    message_init(&message, &to, &data, &control);
    ssize_t bytes;
    do
        bytes = recvmsg(sock->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    while (bytes < 0 && errno == EINTR);
    if (bytes < 0)
        return 0;
    return notice_fill(&message, frame, (size_t)bytes, notice) ? 1 : -1;
}

int qcmp_socket_wait(const struct qcmp_socket *sock, int64_t timeout_ns)
{
    struct pollfd poll_fd = {sock->fd, POLLIN, 0};
    struct timespec timeout;
    timeout.tv_sec = (time_t)(timeout_ns < MOST_WAIT_NS ? timeout_ns / 1000000000 : MOST_WAIT_S);
    timeout.tv_nsec = (long)(timeout_ns % 1000000000);
    return ppoll(&poll_fd, 1, &timeout, NULL) < 0 ? os_error() : 0;
}

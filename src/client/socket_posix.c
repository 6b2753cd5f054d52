/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/clock.h"

int qcmp_socket_open(struct qcmp_socket *sock, const struct qcmp_client_options *options,
                     size_t slots)
{
    struct qcmp_socket made;
    (void)slots;
    int error = qcmp_socket_create(&made, options, SOCK_DGRAM);
    if (error != 0)
        return error;
    int flags = fcntl(made.fd, F_GETFL);
    if (flags < 0 || fcntl(made.fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(made.fd, F_SETFD, FD_CLOEXEC) != 0) {
        error = qcmp_error_from_os(errno);
        close(made.fd);
        return error;
    }
    *sock = made;
    return 0;
}

void qcmp_socket_close(struct qcmp_socket *sock)
{
    close(sock->fd);
}

int qcmp_socket_send(struct qcmp_socket *sock, const struct qcmp_endpoint *to, const void *data,
                     size_t bytes)
{
    return qcmp_socket_send_once(sock, to, data, bytes);
}

int qcmp_socket_receive(struct qcmp_socket *sock, struct qcmp_arrival *arrivals, int capacity)
{
    int received = 0;
    while (received < capacity) {
        struct qcmp_arrival *arrival = &arrivals[received];
        struct sockaddr_storage from;
        socklen_t from_bytes = sizeof from;
        ssize_t bytes = recvfrom(sock->fd, arrival->data, sizeof arrival->data, 0,
                                 (struct sockaddr *)&from, &from_bytes);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0 && (received > 0 || errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (bytes < 0)
            return qcmp_error_from_os(errno);
        received++;
        arrival->read = qcmp_clock_read();
        arrival->kernel_ns = 0;
        arrival->bytes = (size_t)bytes;
        memset(&arrival->from, 0, sizeof arrival->from);
        qcmp_endpoint_from_sockaddr(&arrival->from, (struct sockaddr *)&from, from_bytes);
    }
    return received;
}

int qcmp_socket_notice(struct qcmp_socket *sock, struct qcmp_notice *notice)
{
    (void)sock;
    (void)notice;
    return 0;
}

int qcmp_socket_wait(const struct qcmp_socket *sock, int64_t timeout_ns)
{
    struct pollfd poll_fd = {sock->fd, POLLIN, 0};
    int64_t timeout_ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    int limited_ms = timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX;
    return poll(&poll_fd, 1, limited_ms) < 0 ? qcmp_error_from_os(errno) : 0;
}

#include "client/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/clock.h"

static int os_error(void)
{
    return qcmp_error_from_os(errno);
}

int qcmp_socket_open(struct qcmp_socket *sock, enum qcmp_family family, bool kernel_stamps,
                     size_t slots)
{
    (void)kernel_stamps;
    (void)slots;
    struct qcmp_socket made;
    int error = qcmp_socket_create(&made, family, SOCK_DGRAM);
    if (error != 0)
        return error;
    int flags = fcntl(made.fd, F_GETFL);
    if (flags < 0 || fcntl(made.fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(made.fd, F_SETFD, FD_CLOEXEC) != 0) {
        error = os_error();
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
    /* One byte more than any packet has, so that a longer datagram does not look like a packet. */
    uint8_t data[QCMP_MAX_BYTES + 1];
    int received = 0;
    while (received < capacity) {
        struct sockaddr_storage from;
        socklen_t from_bytes = sizeof from;
        ssize_t bytes =
            recvfrom(sock->fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_bytes);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return received > 0 || errno == EAGAIN || errno == EWOULDBLOCK ? received : os_error();
        struct qcmp_arrival *arrival = &arrivals[received++];
        memset(arrival, 0, sizeof *arrival);
        arrival->read = qcmp_clock_read();
        arrival->bytes = (size_t)bytes;
        memcpy(arrival->data, data, sizeof arrival->data);
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
    struct pollfd poll_fd = {.fd = sock->fd, .events = POLLIN};
    int64_t timeout_ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    int limited_ms = timeout_ms < INT32_MAX ? (int)timeout_ms : INT32_MAX;
    return poll(&poll_fd, 1, limited_ms) < 0 ? os_error() : 0;
}

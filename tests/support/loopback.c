/* SPDX-License-Identifier: Apache-2.0 */
#include "support/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#ifdef _WIN32
#define close closesocket
#define RECEIVE_FLAGS 0
typedef int io_size;
#else
#include <sys/select.h>
#include <unistd.h>
#define RECEIVE_FLAGS MSG_TRUNC
typedef size_t io_size;
#endif

#include <cmocka.h>

#ifndef SOCK_CLOEXEC
#define SOCK_CLOEXEC 0
#endif

/* Winsock wants to be started, each time that somebody may be the first. */
static void start(void)
{
#ifdef _WIN32
    WSADATA winsock;
    assert_int_equal(WSAStartup(MAKEWORD(2, 2), &winsock), 0);
#endif
}

static socklen_t any_port(int family, struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)address;
        v4->sin_family = AF_INET;
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    v6->sin6_family = AF_INET6;
    v6->sin6_addr = in6addr_loopback;
    return sizeof *v6;
}

static qcmp_fd bind_any_port(int family, struct sockaddr_storage *address, socklen_t *bytes)
{
    start();
    qcmp_fd fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *bytes = any_port(family, address);
    if (fd != QCMP_NO_FD && (bind(fd, (struct sockaddr *)address, *bytes) != 0 ||
                             getsockname(fd, (struct sockaddr *)address, bytes) != 0)) {
        close(fd);
        return QCMP_NO_FD;
    }
    return fd;
}

struct loopback loopback_open(int family)
{
    struct loopback opened;
    opened.fd = bind_any_port(family, &opened.address, &opened.address_bytes);
    assert_true(opened.fd != QCMP_NO_FD);
    return opened;
}

struct loopback loopback_open_beside(const struct loopback *other, uint8_t host)
{
    struct loopback opened = *other;
    struct sockaddr_in *address = (struct sockaddr_in *)&opened.address;
    address->sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffU) | host);
    opened.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(opened.fd != QCMP_NO_FD);
    assert_int_equal(bind(opened.fd, (struct sockaddr *)address, sizeof *address), 0);
    return opened;
}

void loopback_close(struct loopback *socket)
{
    assert_int_equal(close(socket->fd), 0);
}

bool loopback_has_ipv6(void)
{
    struct sockaddr_storage address;
    socklen_t bytes;
    qcmp_fd fd = bind_any_port(AF_INET6, &address, &bytes);
    if (fd != QCMP_NO_FD)
        close(fd);
    return fd != QCMP_NO_FD;
}

bool loopback_wait_readable(const struct loopback *socket, int timeout_ms)
{
    struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(socket->fd, &readable);
    return select((int)socket->fd + 1, &readable, NULL, NULL, &timeout) == 1;
}

size_t loopback_receive(const struct loopback *socket, void *data, size_t capacity,
                        struct sockaddr_storage *from, socklen_t *from_bytes)
{
    struct sockaddr_storage ignored;
    socklen_t bytes = sizeof ignored;
    assert_true(loopback_wait_readable(socket, LOOPBACK_PATIENCE_MS));
    ptrdiff_t received = recvfrom(socket->fd, data, (io_size)capacity, RECEIVE_FLAGS,
                                  (struct sockaddr *)(from != NULL ? from : &ignored), &bytes);
    assert_true(received >= 0);
    if (from_bytes != NULL)
        *from_bytes = bytes;
    return (size_t)received;
}

bool loopback_is_socket(qcmp_fd fd)
{
    int type;
    socklen_t bytes = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, (void *)&type, &bytes) == 0;
}

bool loopback_readable(const struct loopback *socket)
{
    return loopback_wait_readable(socket, 0);
}

void loopback_send(const struct loopback *socket, const void *data, size_t bytes,
                   const struct sockaddr_storage *to, socklen_t to_bytes)
{
    ptrdiff_t sent =
        sendto(socket->fd, data, (io_size)bytes, 0, (const struct sockaddr *)to, to_bytes);
    assert_int_equal(sent, (ptrdiff_t)bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "support/loopback.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

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

static int bind_any_port(int family, struct sockaddr_storage *address, socklen_t *bytes)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *bytes = any_port(family, address);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)address, *bytes) != 0 ||
                    getsockname(fd, (struct sockaddr *)address, bytes) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

struct loopback loopback_open(int family)
{
    struct loopback opened;
    opened.fd = bind_any_port(family, &opened.address, &opened.address_bytes);
    assert_true(opened.fd >= 0);
    return opened;
}

struct loopback loopback_open_beside(const struct loopback *other, uint8_t host)
{
    struct loopback opened = *other;
    struct sockaddr_in *address = (struct sockaddr_in *)&opened.address;
    address->sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xffU) | host);
    opened.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(opened.fd >= 0);
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
    int fd = bind_any_port(AF_INET6, &address, &bytes);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool wait_readable(const struct loopback *socket, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = socket->fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1;
}

size_t loopback_receive(const struct loopback *socket, void *data, size_t capacity,
                        struct sockaddr_storage *from, socklen_t *from_bytes)
{
    struct sockaddr_storage ignored;
    socklen_t bytes = sizeof ignored;
    assert_true(wait_readable(socket, LOOPBACK_PATIENCE_MS));
    ssize_t received = recvfrom(socket->fd, data, capacity, MSG_TRUNC,
                                (struct sockaddr *)(from != NULL ? from : &ignored), &bytes);
    assert_true(received >= 0);
    if (from_bytes != NULL)
        *from_bytes = bytes;
    return (size_t)received;
}

bool loopback_readable(const struct loopback *socket)
{
    return wait_readable(socket, 0);
}

void loopback_send(const struct loopback *socket, const void *data, size_t bytes,
                   const struct sockaddr_storage *to, socklen_t to_bytes)
{
    ssize_t sent = sendto(socket->fd, data, bytes, 0, (const struct sockaddr *)to, to_bytes);
    assert_int_equal(sent, (ssize_t)bytes);
}

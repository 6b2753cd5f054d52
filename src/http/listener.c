/* SPDX-License-Identifier: Apache-2.0 */
#include "http/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "net/address.h"

/* What a connection may keep in the kernel beyond what its client has taken. */
#define UNSENT_BYTES 131072

static int open_address(const struct sockaddr *address, socklen_t bytes)
{
    static const int on = 1, off = 0, unsent = UNSENT_BYTES;

    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;

    /* What a server that ended left in TIME_WAIT is no hindrance; a socket that listens is. */
    int failed = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (failed == 0 && address->sa_family == AF_INET6)
        failed = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (failed == 0)
        failed = setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
    if (failed == 0)
        failed = bind(fd, address, bytes);
    if (failed == 0)
        failed = listen(fd, SOMAXCONN);
    if (failed == 0)
        return fd;

    int error = -errno;
    close(fd);
    return error;
}

int listener_open(const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    struct sockaddr_storage v4;

    if (address->sa_family == AF_INET)
        return open_address(address, sizeof(struct sockaddr_in));
    if (address->sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    int fd = open_address(address, sizeof v6);
    memcpy(&v6, address, sizeof v6);
    if (!address_fall_back(&v6.sin6_addr, fd))
        return fd;
    socklen_t bytes = address_to_socket(&v6.sin6_addr, ntohs(v6.sin6_port), &v4);
    return open_address((const struct sockaddr *)&v4, bytes);
}

#include "admin/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "net/address.h"

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

static int bind_and_listen(int fd, const struct sockaddr *address, socklen_t bytes)
{
    /* What a server that ended left in TIME_WAIT is no hindrance; a socket that listens is. */
    int error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (error == 0 && address->sa_family == AF_INET6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (error == 0 && bind(fd, address, bytes) != 0)
        error = -errno;
    if (error == 0 && listen(fd, SOMAXCONN) != 0)
        error = -errno;
    return error;
}

static int open_address(const struct sockaddr *address, socklen_t bytes)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = bind_and_listen(fd, address, bytes);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

int listener_open(const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    if (address->sa_family == AF_INET)
        return open_address(address, sizeof(struct sockaddr_in));
    if (address->sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    int fd = open_address(address, sizeof v6);
    memcpy(&v6, address, sizeof v6);
    if (!address_fall_back(&v6.sin6_addr, fd))
        return fd;
    struct sockaddr_storage v4;
    socklen_t bytes = address_to_socket(&v6.sin6_addr, ntohs(v6.sin6_port), &v4);
    return open_address((const struct sockaddr *)&v4, bytes);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "net/bind.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h> /* before linux/errqueue.h, which uses struct timespec without it */

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <unistd.h>

#include "net/address.h"

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : -errno;
}

/* As much as is granted: FORCE is for the privileged, and net.core.rmem_max limits the others. The
 * kernel doubles what it is given, for its own bookkeeping. */
static void size_receive_buffer(int fd, size_t bytes)
{
    int half = bytes / 2 < INT_MAX / 2 ? (int)(bytes / 2) : INT_MAX / 2;
    if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, half) != 0)
        set_option(fd, SOL_SOCKET, SO_RCVBUF, half);
}

static int enable_stamps(int fd)
{
    return set_option(fd, SOL_SOCKET, SO_TIMESTAMPING,
                      SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE);
}

/* IP_PKTINFO as well on a dual-stack socket: it alone tells a broadcast destination of an IPv4
 * datagram. */
static int configure(int fd, const struct binding *binding)
{
    bool ipv6 = binding_is_ipv6(binding);
    size_receive_buffer(fd, binding->buffer_bytes);
    int error = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    if (error == 0 && ipv6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, binding->ipv6_only);
    if (error == 0 && ipv6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    if (error == 0)
        error = enable_stamps(fd);
    return error;
}

/* The first socket joins the others only after its bind, which would else succeed beside another
 * process's socket. */
static int open_one(const struct binding *binding, uint16_t port, bool first)
{
    struct sockaddr_storage address;
    socklen_t bytes = address_to_socket(&binding->address, port, &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int error = configure(fd, binding);
    if (error == 0 && !first)
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (error == 0)
        error = bind(fd, (const struct sockaddr *)&address, bytes) == 0 ? 0 : -errno;
    if (error == 0 && first)
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

bool binding_is_ipv6(const struct binding *binding)
{
    return !IN6_IS_ADDR_V4MAPPED(&binding->address);
}

int bind_open(int *fds, unsigned n, struct binding *binding, uint16_t port)
{
    struct binding used = *binding;
    int first = open_one(&used, port, true);
    if (!used.ipv6_only && address_fall_back(&used.address, first))
        first = open_one(&used, port, true);
    if (first < 0)
        return first;
    fds[0] = first;
    port = address_bound_port(first);
    for (unsigned i = 1; i < n; i++) {
        int other = open_one(&used, port, false);
        if (other < 0) {
            while (i-- > 0)
                close(fds[i]);
            return other;
        }
        fds[i] = other;
    }
    *binding = used;
    return 0;
}

int bind_connected(const struct sockaddr *peer, socklen_t peer_bytes, size_t buffer_bytes)
{
    int fd = socket(peer->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    size_receive_buffer(fd, buffer_bytes);
    int error = enable_stamps(fd);
    if (error == 0 && connect(fd, peer, peer_bytes) != 0)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

int bind_stop_receiving(int fd)
{
    struct sock_filter nothing[] = {{.code = BPF_RET | BPF_K, .k = 0}};
    struct sock_fprog program = {.len = 1, .filter = nothing};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : -errno;
}

int bind_drops(int fd, uint32_t *drops)
{
    uint32_t info[SK_MEMINFO_VARS];
    socklen_t bytes = sizeof info;
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) != 0)
        return -errno;
    if (bytes <= SK_MEMINFO_DROPS * sizeof info[0])
        return -ENOPROTOOPT;
    *drops = info[SK_MEMINFO_DROPS];
    return 0;
}

size_t bind_receive_buffer(int fd)
{
    int size;
    socklen_t bytes = sizeof size;
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &bytes) != 0 || size < 0)
        return 0;
    return (size_t)size;
}

bool bind_can_segment(int fd)
{
    int size;
    socklen_t bytes = sizeof size;
    return getsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, &bytes) == 0;
}

/* In floating point, because no length of time overflows it. */
size_t bind_buffer_bytes(int64_t length_ns)
{
    double datagrams = (double)length_ns * 1e-9 * BIND_FULL_RATE;
    double bytes = datagrams * BIND_DATAGRAM_COST_BYTES;
    return bytes < INT_MAX ? (size_t)bytes : INT_MAX;
}

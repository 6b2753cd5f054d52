/* SPDX-License-Identifier: Apache-2.0 */
#include "net/bind.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h> /* before linux/errqueue.h, which uses struct timespec without it */

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <sys/syscall.h>
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

/* A smaller one than the system's default is never asked for. */
static void size_send_buffer(int fd)
{
    const int half = BIND_SEND_BUFFER_BYTES / 2;
    size_t used = 0, size = 0;

    bind_send_buffer(fd, &used, &size);
    if (size >= BIND_SEND_BUFFER_BYTES)
        return;
    if (set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, half) != 0)
        set_option(fd, SOL_SOCKET, SO_SNDBUF, half);
}

static int enable_stamps(int fd)
{
    return set_option(fd, SOL_SOCKET, SO_TIMESTAMPING,
                      SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE);
}

/* A dual-stack socket tells of IPv4 by the option of IPv4. */
static int tell_traffic(int fd, bool ipv6)
{
    int error = set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
    return error == 0 && ipv6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1) : error;
}

/* IP_PKTINFO as well on a dual-stack socket: it alone tells a broadcast destination of an IPv4
 * datagram. */
static int configure(int fd, const struct binding *binding)
{
    bool ipv6 = binding_is_ipv6(binding);
    size_receive_buffer(fd, binding->buffer_bytes);
    size_send_buffer(fd);
    int error = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    if (error == 0 && ipv6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, binding->ipv6_only);
    if (error == 0 && ipv6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    if (error == 0 && binding->tells_hops)
        error = set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
    if (error == 0 && binding->tells_hops && ipv6)
        error = set_option(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    if (error == 0 && binding->tells_traffic)
        error = tell_traffic(fd, ipv6);
    if (error == 0 && !binding->is_unstamped)
        error = enable_stamps(fd);
    return error;
}

bool binding_is_ipv6(const struct binding *binding)
{
    return !IN6_IS_ADDR_V4MAPPED(&binding->address);
}

int bind_open(struct binding *binding, uint16_t port, bool joins)
{
    for (;;) {
        int family = binding_is_ipv6(binding) ? AF_INET6 : AF_INET;
        int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int error = fd >= 0 ? configure(fd, binding) : -errno;
        if (error == 0 && binding->is_missing) /* IPv6 sockets have this option, too */
            error = set_option(fd, IPPROTO_IP, IP_FREEBIND, 1);
        if (error == 0 && joins)
            error = bind_join(fd);
        if (error == 0) {
            struct sockaddr_storage address;
            socklen_t bytes = address_to_socket(&binding->address, port, &address);
            error = bind(fd, (const struct sockaddr *)&address, bytes) == 0 ? 0 : -errno;
        }
        if (error == 0)
            return fd;

        if (fd >= 0)
            close(fd);
        if (!binding->ipv6_only && address_fall_back(&binding->address, error))
            continue;
        if (error != -EADDRNOTAVAIL || binding->is_missing)
            return error;
        binding->is_missing = true;
    }
}

int bind_join(int fd)
{
    return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

/* Addresses and ports are read where they are without IP options and extension headers; with them,
 * the choice is still one and the same for datagrams that have the same ones. */
int bind_choose_by_source(int fd, unsigned count)
{
#define NETWORK(offset) ((uint32_t)SKF_NET_OFF + (offset))
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NETWORK(0)),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 6, 5, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NETWORK(12)),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, NETWORK(20)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_JMP | BPF_JA, 10),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NETWORK(12)), /* the network's part of the address */
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NETWORK(16)), /* the interface's part */
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NETWORK(20)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, NETWORK(40)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 8),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
#undef NETWORK
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) == 0
               ? 0
               : -errno;
}

int bind_free_port(uint16_t *port, bool tells_traffic, bool tells_local)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    socklen_t bytes = sizeof any;
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = fd >= 0 ? set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) : -errno;
    if (fd < 0 && error == -EAFNOSUPPORT) {
        any.sin6_family = AF_INET; /* the rest of it is the unspecified address as well */
        bytes = sizeof(struct sockaddr_in);
        fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        error = fd >= 0 ? 0 : -errno;
    }
    if (error == 0 && tells_traffic)
        error = tell_traffic(fd, any.sin6_family == AF_INET6);
    if (error == 0 && tells_local)
        error = any.sin6_family == AF_INET6 ? set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                                            : set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    if (error == 0 && bind(fd, (const struct sockaddr *)&any, bytes) != 0)
        error = -errno;
    if (error == 0 && getsockname(fd, (struct sockaddr *)&any, &bytes) != 0)
        error = -errno;
    if (error != 0) {
        if (fd >= 0)
            close(fd);
        return error;
    }
    *port = ntohs(any.sin6_port); /* where an IPv4 address has it, too */
    return fd;
}

int bind_connected(const struct sockaddr *peer, socklen_t peer_bytes, size_t buffer_bytes)
{
    int fd = socket(peer->sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    size_receive_buffer(fd, buffer_bytes);
    size_send_buffer(fd);
    int error = enable_stamps(fd);
    if (error == 0 && connect(fd, peer, peer_bytes) != 0)
        error = -errno;
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

/* An error that was heard of and not told yet is that of SO_ERROR, which is reset by reading it. */
void bind_hear_errors(int fd, bool hears)
{
    int pending;
    socklen_t bytes = sizeof pending;
    set_option(fd, IPPROTO_IP, IP_RECVERR, hears);
    set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, hears); /* IPv4 sockets refuse it */
    if (!hears)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &bytes);
}

int bind_stop_receiving(int fd)
{
    struct sock_filter nothing[] = {{.code = BPF_RET | BPF_K, .k = 0}};
    struct sock_fprog program = {.len = 1, .filter = nothing};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : -errno;
}

void bind_leave(int fd)
{
    struct sockaddr_storage own;
    socklen_t bytes = sizeof own;
    if (getsockname(fd, (struct sockaddr *)&own, &bytes) == 0)
        (void)connect(fd, (struct sockaddr *)&own, bytes); /* or else it drops until close() */
}

void bind_settle(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

static int read_memory(int fd, uint32_t info[SK_MEMINFO_VARS])
{
    socklen_t bytes = SK_MEMINFO_VARS * sizeof info[0];
    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) != 0)
        return -errno;
    return bytes > SK_MEMINFO_DROPS * sizeof info[0] ? 0 : -ENOPROTOOPT;
}

int bind_drops(int fd, uint32_t *drops)
{
    uint32_t info[SK_MEMINFO_VARS];
    int error = read_memory(fd, info);
    if (error == 0)
        *drops = info[SK_MEMINFO_DROPS];
    return error;
}

int bind_send_buffer(int fd, size_t *used, size_t *size)
{
    uint32_t info[SK_MEMINFO_VARS];
    int error = read_memory(fd, info);
    if (error != 0)
        return error;
    *used = info[SK_MEMINFO_WMEM_ALLOC];
    *size = info[SK_MEMINFO_SNDBUF];
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

void bind_gather(int fd)
{
    set_option(fd, SOL_UDP, UDP_GRO, 1);
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

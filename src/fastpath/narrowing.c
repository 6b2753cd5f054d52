/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/narrowing.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/address.h"

int fastpath_narrowing_open(int family, int program_fd)
{
    int protocol = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program_fd, sizeof program_fd) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

bool fastpath_narrowing_read(int fd, struct in6_addr *peer)
{
    uint8_t said[128] = {0}; /* as far as the packet's addresses, whatever comes before */
    struct in_addr ipv4;
    if (recv(fd, said, sizeof said, 0) < 0)
        return false;
    /* No message of ICMPv6 that the filter keeps begins with a 4. */
    if (said[0] >> 4 != 4) {
        memcpy(peer, said + sizeof(struct icmphdr) + offsetof(struct ipv6hdr, daddr), sizeof *peer);
        return true;
    }
    const uint8_t *packet = said + 4 * (size_t)(said[0] & 0x0f) + sizeof(struct icmphdr);
    memcpy(&ipv4, packet + offsetof(struct iphdr, daddr), sizeof ipv4);
    *peer = address_from_ipv4(ipv4);
    return true;
}

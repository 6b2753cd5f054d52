/* SPDX-License-Identifier: Apache-2.0 */
#include "load/xdp_frame.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <qcmp/wire.h>

#define ETHERNET_BYTES 14
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8
#define HOPS 64

static void store16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* The number of bytes is even. */
static uint32_t sum_words(const uint8_t *at, size_t bytes)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes; i += 2)
        sum += (uint32_t)at[i] << 8 | at[i + 1];
    return sum;
}

static uint32_t fold(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

/* Returns the sum of the addresses. */
static uint32_t write_ipv4(const struct xdp_frame_ends *ends, uint8_t *ip)
{
    struct sockaddr_in own, target;
    memcpy(&own, &ends->own, sizeof own);
    memcpy(&target, &ends->target, sizeof target);
    ip[0] = 0x45;
    store16(ip + 2, IPV4_BYTES + UDP_BYTES + QCMP_PING_BYTES);
    ip[6] = 0x40; /* not to be cut in fragments */
    ip[8] = HOPS;
    ip[9] = IPPROTO_UDP;
    memcpy(ip + 12, &own.sin_addr, 4);
    memcpy(ip + 16, &target.sin_addr, 4);
    store16(ip + 10, ~fold(sum_words(ip, IPV4_BYTES)));
    return sum_words(ip + 12, 8);
}

static uint32_t write_ipv6(const struct xdp_frame_ends *ends, uint8_t *ip)
{
    struct sockaddr_in6 own, target;
    memcpy(&own, &ends->own, sizeof own);
    memcpy(&target, &ends->target, sizeof target);
    ip[0] = 0x60;
    store16(ip + 4, UDP_BYTES + QCMP_PING_BYTES);
    ip[6] = IPPROTO_UDP;
    ip[7] = HOPS;
    memcpy(ip + 8, &own.sin6_addr, 16);
    memcpy(ip + 24, &target.sin6_addr, 16);
    return sum_words(ip + 8, 32);
}

size_t xdp_frame_write(const struct xdp_frame_ends *ends, uint8_t *frame, uint32_t *sum)
{
    const struct qcmp_packet ping = {.kind = QCMP_PING};
    bool is_ipv6 = ends->target.ss_family == AF_INET6;
    struct sockaddr_in target; /* where an IPv6 address has its port, too */
    uint8_t *ip = frame + ETHERNET_BYTES;
    uint8_t *udp = ip + (is_ipv6 ? IPV6_BYTES : IPV4_BYTES);
    memset(frame, 0, LOAD_XDP_FRAME_BYTES);
    memcpy(frame, ends->target_mac, sizeof ends->target_mac);
    memcpy(frame + 6, ends->own_mac, sizeof ends->own_mac);
    store16(frame + 12, is_ipv6 ? 0x86dd : 0x0800);
    memcpy(&target, &ends->target, sizeof target);
    store16(udp + 2, ntohs(target.sin_port));
    store16(udp + 4, UDP_BYTES + QCMP_PING_BYTES);
    (void)qcmp_packet_encode(&ping, udp + UDP_BYTES, QCMP_PING_BYTES);
    *sum = is_ipv6 ? write_ipv6(ends, ip) : write_ipv4(ends, ip);
    *sum += IPPROTO_UDP + UDP_BYTES + QCMP_PING_BYTES;
    /* The byte after the ping is 0, as the checksum wants it. */
    *sum += sum_words(udp, UDP_BYTES + QCMP_PING_BYTES + 1);
    return is_ipv6 ? LOAD_XDP_IPV6_BYTES : LOAD_XDP_IPV4_BYTES;
}

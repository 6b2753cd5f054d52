/* SPDX-License-Identifier: Apache-2.0 */
/* The least that an XDP program can do and still answer, to compare with: it takes whatever is long
 * enough for a ping over IPv4, and answers with the client's own time. It checks
 * nothing but lengths, reads no clock, counts nothing. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <stdint.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <qcmp/wire.h>

#include "wire/layout.h"

#define GROWTH (QCMP_PONG_BYTES - QCMP_PING_BYTES)

struct headers {
    struct ethhdr ethernet;
    struct iphdr ip;
    struct udphdr udp;
} __attribute__((packed));

struct ping {
    struct headers headers;
    uint8_t data[QCMP_PING_BYTES];
} __attribute__((packed));

struct pong {
    struct headers headers;
    uint64_t header;
    uint8_t nonce;
    uint64_t client, start, transmit;
} __attribute__((packed));

/* The checksum of IP changes by the length alone: addresses are swapped. */
static __always_inline void turn(const struct headers *from, struct headers *to)
{
    *to = *from;
    __builtin_memcpy(to->ethernet.h_dest, from->ethernet.h_source, ETH_ALEN);
    __builtin_memcpy(to->ethernet.h_source, from->ethernet.h_dest, ETH_ALEN);
    to->ip.saddr = from->ip.daddr;
    to->ip.daddr = from->ip.saddr;
    to->ip.tot_len = bpf_htons(bpf_ntohs(from->ip.tot_len) + GROWTH);
    uint32_t check = bpf_ntohs(from->ip.check) + 0xffffU - GROWTH;
    to->ip.check = bpf_htons((uint16_t)((check & 0xffff) + (check >> 16)));
    to->udp.source = from->udp.dest;
    to->udp.dest = from->udp.source;
    to->udp.len = bpf_htons(sizeof to->udp + QCMP_PONG_BYTES);
    to->udp.check = 0;
}

SEC("xdp")
int echo(struct xdp_md *context)
{
    const struct ping *ping = (void *)(uintptr_t)context->data;
    if ((const void *)(ping + 1) > (const void *)(uintptr_t)context->data_end)
        return XDP_PASS;
    struct ping asked = *ping;
    if (asked.headers.udp.len != bpf_htons(sizeof asked.headers.udp + QCMP_PING_BYTES))
        return XDP_PASS;
    if (bpf_xdp_adjust_head(context, -GROWTH) != 0)
        return XDP_DROP;
    struct pong *pong = (void *)(uintptr_t)context->data;
    if ((void *)(pong + 1) > (void *)(uintptr_t)context->data_end)
        return XDP_DROP;
    turn(&asked.headers, &pong->headers);
    pong->header = bpf_cpu_to_be64(LAYOUT_HEADER(LAYOUT_PONG, LAYOUT_PONG_LENGTH));
    pong->nonce = asked.data[LAYOUT_NONCE_OFFSET];
    __builtin_memcpy(&pong->client, asked.data + LAYOUT_CLIENT_OFFSET, sizeof pong->client);
    pong->start = pong->client;
    pong->transmit = pong->client;
    return XDP_TX;
}

char LICENSE[] SEC("license") = "Apache-2.0";

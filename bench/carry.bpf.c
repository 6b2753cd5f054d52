/* SPDX-License-Identifier: Apache-2.0 */
/* Round trips through a proxy, without a socket: `carry_send` makes players' datagrams, `carry_far`
 * is server and players, and `carry_bare` is the least that can stand between them: a map both
 * ways, addresses and checksums. IPv4 alone, of which they check nothing. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "../bench/carry.h"

struct carry_settings settings;
uint64_t sent, reached, round_trips, lost; /* reached: the server */
uint64_t began_ns;
uint64_t idle; /* calls in a row in which nothing was to be sent */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2 * CARRY_MAX_PLAYERS);
    __type(key, struct carry_key);
    __type(value, struct carry_way);
} ways SEC(".maps");

struct frame {
    struct ethhdr ethernet;
    struct iphdr ip;
    struct udphdr udp;
    uint16_t balance; /* keeps the checksum, whatever the port is */
} __attribute__((packed));

static __always_inline struct frame *read(struct xdp_md *context)
{
    struct frame *frame = (void *)(uintptr_t)context->data;
    return (void *)(frame + 1) <= (void *)(uintptr_t)context->data_end ? frame : NULL;
}

/* Whether one more is due now. */
static __always_inline bool is_due(void)
{
    uint64_t in_flight = sent - *(volatile uint64_t *)&round_trips - lost;
    if (settings.offered > 0) {
        uint64_t now_ns = bpf_ktime_get_ns();
        if (began_ns == 0)
            began_ns = now_ns;
        return sent < (now_ns - began_ns) / 1000 * settings.offered / 1000000;
    }
    if (in_flight < CARRY_IN_FLIGHT) {
        idle = 0;
        return true;
    }
    if (++idle > CARRY_PATIENCE)
        lost += in_flight;
    return false;
}

SEC("xdp")
int carry_send(struct xdp_md *context)
{
    uint64_t *words = (void *)(uintptr_t)context->data;
    struct frame *frame = (void *)words;
    if ((void *)words + CARRY_FRAME_BYTES > (void *)(uintptr_t)context->data_end)
        return XDP_DROP;
    if (!is_due())
        return XDP_DROP;
    uint16_t number = (uint16_t)(sent++ % settings.players);
    /* The memory of a frame comes back as others have left it. */
    for (int i = 0; i < CARRY_FRAME_BYTES / 8; i++)
        words[i] = settings.frame[i];
    frame->udp.source = bpf_htons((uint16_t)(CARRY_FIRST_PORT + number));
    frame->balance = bpf_htons((uint16_t)(CARRY_MAX_PLAYERS - number));
    return XDP_TX;
}

SEC("xdp")
int carry_far(struct xdp_md *context)
{
    struct frame *frame = read(context);
    if (frame == NULL || frame->ethernet.h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS;
    if (frame->udp.source == bpf_htons(CARRY_PORT)) {
        round_trips++;
        return XDP_DROP;
    }
    if (frame->udp.dest != bpf_htons(CARRY_SERVER_PORT))
        return XDP_PASS;
    reached++;
    struct frame came = *frame;
    __builtin_memcpy(frame->ethernet.h_dest, came.ethernet.h_source, ETH_ALEN);
    __builtin_memcpy(frame->ethernet.h_source, came.ethernet.h_dest, ETH_ALEN);
    frame->ip.saddr = came.ip.daddr;
    frame->ip.daddr = came.ip.saddr;
    frame->udp.source = came.udp.dest;
    frame->udp.dest = came.udp.source;
    return XDP_TX;
}

static __always_inline uint16_t change(uint16_t check, uint32_t by)
{
    uint32_t sum = (uint16_t)~check + by;
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t) ~(sum + (sum >> 16));
}

SEC("xdp")
int carry_bare(struct xdp_md *context)
{
    struct frame *frame = read(context);
    if (frame == NULL || frame->ethernet.h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS;
    struct carry_key key = {frame->ip.saddr, frame->udp.source, frame->udp.dest};
    const struct carry_way *way = bpf_map_lookup_elem(&ways, &key);
    if (way == NULL)
        return XDP_PASS;
    uint8_t own[ETH_ALEN];
    __builtin_memcpy(own, frame->ethernet.h_dest, ETH_ALEN);
    __builtin_memcpy(frame->ethernet.h_dest, frame->ethernet.h_source, ETH_ALEN);
    __builtin_memcpy(frame->ethernet.h_source, own, ETH_ALEN);
    frame->ip.saddr = way->source;
    frame->ip.daddr = way->destination;
    frame->ip.check = change(frame->ip.check, way->addresses);
    frame->udp.source = way->source_port;
    frame->udp.dest = way->port;
    frame->udp.check = change(frame->udp.check, way->all);
    return XDP_TX;
}

/* For the players' end while sessions are made. */
SEC("xdp")
int carry_pass(struct xdp_md *context)
{
    (void)context;
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Apache-2.0";

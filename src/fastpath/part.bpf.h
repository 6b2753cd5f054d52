/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the programs of the fast path have in common. A part finds the parsed datagram in its map
 * `cpus`, which is the one of the program on the interface; it answers with part_transmit(), or by
 * another interface and counts that as transmitted, passes the unchanged frame on, or drops it and
 * counts that.
 */
#ifndef PADDOCK_FASTPATH_PART_BPF_H
#define PADDOCK_FASTPATH_PART_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "base/shared_word.h"
#include "fastpath/shared.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define PART_HOP_LIMIT 64
#define PART_DO_NOT_FRAGMENT 0x4000
/** In an IPv4 header: more fragments follow, or this one is not the first. */
#define PART_FRAGMENT 0x3fff

#define PART_TAG_BYTES 4

/** One for each CPU, in an array so that it can be mapped, which a per-CPU map cannot: this process
 * reads it without a system call. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); /* set to the number of CPUs before it is loaded */
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct fastpath_cpu);
} cpus SEC(".maps");

/** The memory of this CPU. Nothing else that writes there runs on the CPU meanwhile. */
ALWAYS_INLINE struct fastpath_cpu *part_cpu(uint32_t cpu)
{
    return bpf_map_lookup_elem(&cpus, &cpu);
}

/** How a packet leaves: its TTL or hop limit, its DSCP and ECN. */
struct part_hops {
    uint8_t hops, traffic;
};

/** The monotonic clock of this host's process, which may be in a time namespace. */
ALWAYS_INLINE uint64_t part_monotonic_ns(const struct fastpath_cpu *own)
{
    return bpf_ktime_get_ns() + (uint64_t)own->monotonic_offset_ns;
}

/** UTC at a time of part_monotonic_ns(). */
ALWAYS_INLINE uint64_t part_wall_ns(const struct fastpath_cpu *own, uint64_t monotonic_ns)
{
    return monotonic_ns + (uint64_t)own->clock_offset_ns;
}

ALWAYS_INLINE bool part_is_ipv4(const struct fastpath_datagram *datagram)
{
    return datagram->type == bpf_htons(ETH_P_IP);
}

ALWAYS_INLINE uint32_t part_ip_bytes(const struct fastpath_datagram *datagram)
{
    return part_is_ipv4(datagram) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

/** A VLAN tag, behind a type that says so. */
struct part_tag {
    uint16_t control;
    uint16_t type; /**< what follows */
};

ALWAYS_INLINE bool part_is_tag(uint16_t type)
{
    return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/** A tag as struct fastpath_address has it. An id of 0 says a priority alone: as if there were no
 * tag. */
ALWAYS_INLINE uint32_t part_tag_number(uint16_t type, uint16_t control)
{
    uint32_t id = bpf_ntohs(control) & 0x0fff;

    return id != 0 && type == bpf_htons(ETH_P_8021AD) ? id | FASTPATH_TAG_IS_8021AD : id;
}

/** A sum of numbers below 2^48, as Internet checksums have it, without the last complement. */
ALWAYS_INLINE uint16_t part_fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

/** The halves of a number, added. */
ALWAYS_INLINE uint64_t part_halves(uint64_t number)
{
    return (number >> 32) + (number & 0xffffffff);
}

/** Makes the frame @p growth bytes longer, in front or behind. In front, where the driver left
 * room, since that is one call; with padding to be cut as well, one call may do behind. On a
 * failure the frame holds what it held, but for padding.
 * @param stays the headers are to stay where they are. */
ALWAYS_INLINE bool part_grow(struct xdp_md *context, const struct fastpath_datagram *datagram,
                             int32_t growth, bool stays)
{
    /* All of the frame, since a program that does not know of fragments gets none. By itself: the
     * verifier lets nothing but pointers be subtracted from one. */
    uint64_t bytes = shared_word_opaque(
        (uint64_t)((void *)(uintptr_t)context->data_end - (void *)(uintptr_t)context->data));
    int32_t padding = (int32_t)(bytes - datagram->udp_at - datagram->udp_bytes);

    if (!stays && padding == 0 && bpf_xdp_adjust_head(context, -growth) == 0)
        return true;
    if (bpf_xdp_adjust_tail(context, growth - padding) == 0)
        return true;
    if (stays)
        return false;
    if (padding != 0 && bpf_xdp_adjust_tail(context, -padding) != 0)
        return false;
    return bpf_xdp_adjust_head(context, -growth) == 0;
}

/** Each part_write_ function moves @p next on by the header that it has written, and returns
 * whether there was room. The frame goes back where it came from. */
ALWAYS_INLINE bool part_write_ethernet(void **next, void *end,
                                       const struct fastpath_datagram *datagram)
{
    void *at = *next;

    if (at + sizeof(struct ethhdr) > end)
        return false;
    *(uint32_t *)at = (uint32_t)datagram->peer_mac;
    *(uint16_t *)(at + 4) = (uint16_t)(datagram->peer_mac >> 32);
    *(uint32_t *)(at + 6) = (uint32_t)datagram->own_mac;
    *(uint16_t *)(at + 10) = (uint16_t)(datagram->own_mac >> 32);
    at += offsetof(struct ethhdr, h_proto);
#pragma unroll
    for (uint32_t i = 0; i < FASTPATH_MAX_TAGS; i++) {
        if (i >= datagram->tags_count)
            break;
        if (at + PART_TAG_BYTES > end)
            return false;
        *(uint32_t *)at = datagram->raw_tags[i];
        at += PART_TAG_BYTES;
    }
    if (at + sizeof datagram->type > end)
        return false;
    *(uint16_t *)at = datagram->type;
    *next = at + sizeof datagram->type;
    return true;
}

ALWAYS_INLINE bool part_write_ipv4(void **next, void *end, const struct fastpath_datagram *datagram,
                                   uint32_t udp_bytes, struct part_hops hops)
{
    void *at = *next;
    struct iphdr *ip = at;

    if (at + sizeof *ip > end)
        return false;
    uint32_t source = bpf_ntohl(datagram->destination.address[3]);
    uint32_t destination = bpf_ntohl(datagram->source[3]);
    uint32_t bytes = sizeof *ip + udp_bytes;
    uint16_t first = (uint16_t)(0x4500 | hops.traffic);
    uint64_t sum = (uint64_t)first + bytes + PART_DO_NOT_FRAGMENT +
                   ((uint32_t)hops.hops << 8 | IPPROTO_UDP) + source + destination;
    *(uint16_t *)at = bpf_htons(first);
    ip->tot_len = bpf_htons((uint16_t)bytes);
    ip->id = 0;
    ip->frag_off = bpf_htons(PART_DO_NOT_FRAGMENT);
    ip->ttl = hops.hops;
    ip->protocol = IPPROTO_UDP;
    ip->check = bpf_htons((uint16_t)~part_fold(sum));
    ip->saddr = datagram->destination.address[3];
    ip->daddr = datagram->source[3];
    *next = at + sizeof *ip;
    return true;
}

ALWAYS_INLINE bool part_write_ipv6(void **next, void *end, const struct fastpath_datagram *datagram,
                                   uint32_t udp_bytes, struct part_hops hops)
{
    void *at = *next;
    struct ipv6hdr *ip = at;

    if (at + sizeof *ip > end)
        return false;
    *(uint32_t *)at = bpf_htonl(0x60000000 | (uint32_t)hops.traffic << 20);
    ip->payload_len = bpf_htons((uint16_t)udp_bytes);
    ip->nexthdr = IPPROTO_UDP;
    ip->hop_limit = hops.hops;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        ip->saddr.in6_u.u6_addr32[i] = datagram->destination.address[i];
        ip->daddr.in6_u.u6_addr32[i] = datagram->source[i];
    }
    *next = at + sizeof *ip;
    return true;
}

/** What addresses, ports and lengths add to the checksum of UDP of an answer. The ends of a
 * v4-mapped address are the IPv4 address. */
ALWAYS_INLINE uint64_t part_sum_addresses(const struct fastpath_datagram *datagram,
                                          uint32_t udp_bytes)
{
    uint64_t sum = IPPROTO_UDP + 2 * (uint64_t)udp_bytes + bpf_ntohs(datagram->source_port) +
                   bpf_ntohs(datagram->port) + bpf_ntohl(datagram->source[3]) +
                   bpf_ntohl(datagram->destination.address[3]);

    if (!part_is_ipv4(datagram)) {
#pragma unroll
        for (int i = 0; i < 3; i++)
            sum += (uint64_t)bpf_ntohl(datagram->source[i]) +
                   bpf_ntohl(datagram->destination.address[i]);
    }
    return sum;
}

/** What stands in the UDP header, in network order, for a checksum that the sender left to its
 * interface; the same for an answer of this length. */
ALWAYS_INLINE uint16_t part_partial_checksum(const struct fastpath_datagram *datagram,
                                             uint32_t udp_bytes)
{
    return bpf_htons(part_fold(part_sum_addresses(datagram, udp_bytes) - udp_bytes -
                               bpf_ntohs(datagram->source_port) - bpf_ntohs(datagram->port)));
}

/** Sends the frame, and counts it. */
ALWAYS_INLINE int part_transmit(struct fastpath_cpu *own)
{
    own->transmitted++;
    return XDP_TX;
}

#endif

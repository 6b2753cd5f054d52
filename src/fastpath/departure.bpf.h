/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * For parts that want to know where the kernel sends what sockets of this host send: reading of
 * frames in a socket filter that fastpath_watch_departures() has put before them.
 */
#ifndef PADDOCK_FASTPATH_DEPARTURE_BPF_H
#define PADDOCK_FASTPATH_DEPARTURE_BPF_H

#include <linux/if_packet.h>

#include "fastpath/part.bpf.h"

/** A UDP datagram that leaves. Addresses and ports as in struct fastpath_datagram. */
struct departure {
    uint64_t from_mac, to_mac; /**< as fastpath_mac() */
    uint32_t tag;              /**< part_tag_number(); 0: none */
    uint32_t own[4], peer[4];
    uint32_t ports; /**< the peer's, and above it the own one */
    /** The length of the IP packet on the wire; 0: routers may cut it, so that it says nothing. */
    uint16_t ip_bytes;
};

ALWAYS_INLINE bool departure_bytes(struct __sk_buff *frame, uint32_t at, void *to, uint32_t bytes)
{
    return bpf_skb_load_bytes(frame, at, to, bytes) == 0;
}

ALWAYS_INLINE bool departure_mac(struct __sk_buff *frame, uint32_t at, uint64_t *mac)
{
    uint32_t first = 0;
    uint16_t last = 0;
    bool is_read = departure_bytes(frame, at, &first, sizeof first) &&
                   departure_bytes(frame, at + sizeof first, &last, sizeof last);

    *mac = fastpath_mac(first, last);
    return is_read;
}

/* Reads MAC addresses, and the tag, which stands in the frame or beside it for the interface to
 * add. Returns where the network layer begins, or 0: there are more tags. */
ALWAYS_INLINE uint32_t departure_ethernet(struct __sk_buff *frame, struct departure *departure,
                                          uint16_t *type)
{
    uint32_t at = offsetof(struct ethhdr, h_proto), tags = 0;
    struct part_tag tag = {0};

    if (!departure_mac(frame, 0, &departure->to_mac) ||
        !departure_mac(frame, ETH_ALEN, &departure->from_mac) ||
        !departure_bytes(frame, at, type, sizeof *type))
        return 0;
    at += sizeof *type;
    if (frame->vlan_present) {
        departure->tag =
            part_tag_number((uint16_t)frame->vlan_proto, bpf_htons((uint16_t)frame->vlan_tci));
        tags++;
    }
    if (part_is_tag(*type)) {
        if (!departure_bytes(frame, at, &tag, sizeof tag))
            return 0;
        departure->tag = part_tag_number(*type, tag.control);
        *type = tag.type;
        at += sizeof tag;
        tags++;
    }
    return tags <= 1 ? at : 0;
}

/* Reads a whole datagram behind a header. Moves on by what it has read. */
ALWAYS_INLINE bool departure_ipv4(struct __sk_buff *frame, struct departure *departure,
                                  uint32_t *at)
{
    struct iphdr ip = {0};

    if (!departure_bytes(frame, *at, &ip, sizeof ip) || *(uint8_t *)&ip != 0x45 ||
        ip.protocol != IPPROTO_UDP || (ip.frag_off & bpf_htons(PART_FRAGMENT)) != 0)
        return false;
    departure->own[2] = departure->peer[2] = bpf_htonl(0xffff);
    departure->own[3] = ip.saddr;
    departure->peer[3] = ip.daddr;
    if ((ip.frag_off & bpf_htons(PART_DO_NOT_FRAGMENT)) != 0)
        departure->ip_bytes = bpf_ntohs(ip.tot_len);
    *at += sizeof ip;
    return true;
}

ALWAYS_INLINE bool departure_ipv6(struct __sk_buff *frame, struct departure *departure,
                                  uint32_t *at)
{
    struct ipv6hdr ip = {0};

    if (!departure_bytes(frame, *at, &ip, sizeof ip) || ip.nexthdr != IPPROTO_UDP ||
        bpf_ntohs(ip.payload_len) > UINT16_MAX - sizeof ip)
        return false;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        departure->own[i] = ip.saddr.in6_u.u6_addr32[i];
        departure->peer[i] = ip.daddr.in6_u.u6_addr32[i];
    }
    departure->ip_bytes = (uint16_t)(sizeof ip + bpf_ntohs(ip.payload_len));
    *at += sizeof ip;
    return true;
}

ALWAYS_INLINE bool departure_ports(struct __sk_buff *frame, struct departure *departure,
                                   uint32_t at)
{
    struct udphdr udp = {0};
    bool is_read = departure_bytes(frame, at, &udp, sizeof udp);

    departure->ports = udp.dest | (uint32_t)udp.source << 16;
    return is_read;
}

/** Reads what leaves. @return false for what comes in, and for all that is no whole datagram in at
 * most one tag. */
ALWAYS_INLINE bool departure_read(struct __sk_buff *frame, struct departure *departure)
{
    uint16_t type = 0;

    if (frame->pkt_type != PACKET_OUTGOING)
        return false;
    uint32_t at = departure_ethernet(frame, departure, &type), network_at = at;
    if (at == 0 || !(type == bpf_htons(ETH_P_IP)     ? departure_ipv4(frame, departure, &at)
                     : type == bpf_htons(ETH_P_IPV6) ? departure_ipv6(frame, departure, &at)
                                                     : false))
        return false;
    if (!departure_ports(frame, departure, at))
        return false;
    /* What the interface will cut into datagrams of one size. */
    if (frame->gso_size != 0 && departure->ip_bytes != 0)
        departure->ip_bytes = (uint16_t)(at - network_at + sizeof(struct udphdr) + frame->gso_size);
    return true;
}

/** Type and code of ICMP's "fragmentation needed" and of ICMPv6's "packet too big", whose headers
 * are as long; linux/icmp.h wants the C library. */
#define DEPARTURE_ICMP_TOO_LONG 0x0304
#define DEPARTURE_ICMPV6_TOO_LONG 0x0200
#define DEPARTURE_ICMP_BYTES 8

/** Reads the datagram of which a router says that it is too long for the rest of its path, in a
 * filter of fastpath_narrowing_open(). @return false for all other messages. */
ALWAYS_INLINE bool departure_read_refused(struct __sk_buff *frame, struct departure *departure)
{
    bool is_ipv4 = frame->protocol == bpf_htons(ETH_P_IP);
    uint16_t first = 0, type_and_code = 0;

    if (is_ipv4 && !departure_bytes(frame, 0, &first, sizeof first))
        return false;
    uint32_t at = 4 * (bpf_ntohs(first) >> 8 & 0x0f); /* behind an IPv4 header */
    if (!departure_bytes(frame, at, &type_and_code, sizeof type_and_code))
        return false;
    at += DEPARTURE_ICMP_BYTES;
    if (type_and_code == bpf_htons(DEPARTURE_ICMP_TOO_LONG))
        return is_ipv4 && departure_ipv4(frame, departure, &at) &&
               departure_ports(frame, departure, at);
    return !is_ipv4 && type_and_code == bpf_htons(DEPARTURE_ICMPV6_TOO_LONG) &&
           departure_ipv6(frame, departure, &at) && departure_ports(frame, departure, at);
}

#endif

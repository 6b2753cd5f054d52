/* SPDX-License-Identifier: Apache-2.0 */
/* The program on the interface: parses frames, and jumps to the part that claims a datagram's port.
 * Frames that it does not understand, or that the kernel would not give to a socket of this host,
 * it passes on as they are: so it need not know every case, but what it takes for a datagram must
 * be one that the sockets would get. */
#include "fastpath/part.bpf.h"
#include "fastpath/parts.h"
#include "net/unicast.h"

struct fastpath_settings settings;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, FASTPATH_MAX_ADDRESSES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct fastpath_address);
    __type(value, uint8_t);
} addresses SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, FASTPATH_PARTS);
    __type(key, uint32_t);
    __type(value, uint32_t);
} parts SEC(".maps");

/* The ends of a datagram, in registers as long as they are looked at. */
struct ends {
    uint32_t source[4];
    struct fastpath_address destination;
};

/* Moves on by what it has read, and returns whether it could. */
ALWAYS_INLINE bool read_ethernet(void **next, void *end, struct fastpath_datagram *datagram,
                                 uint32_t *tags)
{
    void *at = *next;
    struct ethhdr *ethernet = at;

    if (at + sizeof *ethernet > end)
        return false;
    datagram->own_mac = fastpath_mac(*(uint32_t *)at, *(uint16_t *)(at + 4));
    datagram->peer_mac = fastpath_mac(*(uint32_t *)(at + 6), *(uint16_t *)(at + 10));
    /* No sender has the address of a group: an answer would go to many. */
    if (datagram->own_mac != settings.mac || (ethernet->h_source[0] & 1) != 0)
        return false;
    uint16_t type = ethernet->h_proto;
    uint32_t shift = 0, count = 0;
    at += sizeof *ethernet;
#pragma unroll
    for (uint32_t i = 0; i < FASTPATH_MAX_TAGS; i++) {
        if (!part_is_tag(type))
            break;
        struct part_tag *tag = at;
        if (at + sizeof *tag > end)
            return false;
        datagram->raw_tags[i] = (uint32_t)tag->control << 16 | type;
        count = i + 1;
        uint32_t number = part_tag_number(type, tag->control);
        *tags |= number << shift;
        shift += number != 0 ? FASTPATH_TAG_BITS : 0;
        type = tag->type;
        at += sizeof *tag;
    }
    datagram->tags_count = count;
    datagram->type = type;
    *next = at;
    return true;
}

/* Whether the source is one that no other host may have. */
ALWAYS_INLINE bool is_no_source(const struct ends *ends)
{
    if ((settings.sources & fastpath_source_bit(ends->source)) == 0)
        return false;
    struct fastpath_address key = {.tags = FASTPATH_TAGS_NO_SOURCE |
                                           (ends->destination.tags & FASTPATH_TAGS_IPV6)};
    __builtin_memcpy(key.address, ends->source, sizeof key.address);
    return bpf_map_lookup_elem(&addresses, &key) != NULL;
}

ALWAYS_INLINE bool is_same_address(const uint32_t one[4], const uint32_t other[4])
{
    uint32_t differs = 0;

#pragma unroll
    for (int i = 0; i < 4; i++)
        differs |= one[i] ^ other[i];
    return differs == 0;
}

/* Most datagrams are for the same address as the one before, for which the map need not be asked
 * again. */
ALWAYS_INLINE bool is_destination(struct fastpath_cpu *own, const struct fastpath_address *address)
{
    uint32_t version =
        *(volatile uint32_t *)&settings.addresses_version; /* before the map is asked */

    if (version != 0 && own->version == version && own->destination.tags == address->tags &&
        is_same_address(own->destination.address, address->address))
        return true;
    struct fastpath_address key = *address;
    if (bpf_map_lookup_elem(&addresses, &key) == NULL)
        return false;
    own->destination = key;
    own->version = version;
    return true;
}

/* A checksum of 0 is none, which IPv6 forbids; another value is not verified. Returns the part that
 * claims the port. */
ALWAYS_INLINE uint8_t read_udp(struct fastpath_cpu *own, void *at, void *end,
                               const struct ends *ends, uint16_t udp_bytes)
{
    struct fastpath_datagram *datagram = &own->datagram;
    struct udphdr *udp = at;

    if (at + sizeof *udp > end || (uint64_t)(end - at) < udp_bytes)
        return FASTPATH_NOBODY;
    uint8_t part = settings.parts[shared_word_16(bpf_ntohs(udp->dest))];
    if (part == FASTPATH_NOBODY || udp->source == 0 ||
        is_same_address(ends->source, ends->destination.address) ||
        udp->len != bpf_htons(udp_bytes) || udp_bytes < sizeof *udp ||
        (udp->check == 0 && !part_is_ipv4(datagram)) || !is_destination(own, &ends->destination) ||
        is_no_source(ends))
        return FASTPATH_NOBODY;
    __builtin_memcpy(datagram->source, ends->source, sizeof datagram->source);
    datagram->destination = ends->destination;
    datagram->source_port = udp->source;
    datagram->port = udp->dest;
    datagram->udp_bytes = udp_bytes;
    return part;
}

/* Checks what the kernel would check. */
ALWAYS_INLINE uint8_t read_ipv4(struct fastpath_cpu *own, void *at, void *end, uint32_t tags)
{
    struct iphdr *ip = at;

    if (at + sizeof *ip > end)
        return FASTPATH_NOBODY;
    uint16_t bytes = bpf_ntohs(ip->tot_len);
    if (*(uint8_t *)at != 0x45 || ip->protocol != IPPROTO_UDP || bytes < sizeof *ip ||
        (ip->frag_off & bpf_htons(PART_FRAGMENT)) != 0)
        return FASTPATH_NOBODY;
    uint32_t *words = at;
    uint64_t sum = 0;
#pragma unroll
    for (uint32_t i = 0; i < sizeof *ip / sizeof *words; i++)
        sum += words[i];
    own->datagram.hops = ip->ttl;
    own->datagram.traffic = ip->tos;
    uint32_t source = bpf_ntohl(ip->saddr);
    if (part_fold(sum) != 0xffff || !unicast_is_ipv4(source) || source >> 24 == 127)
        return FASTPATH_NOBODY;
    const struct ends ends = {.source = {0, 0, bpf_htonl(0xffff), ip->saddr},
                              .destination = {{0, 0, bpf_htonl(0xffff), ip->daddr}, tags}};
    return read_udp(own, at + sizeof *ip, end, &ends, (uint16_t)(bytes - sizeof *ip));
}

/* Sources that have no business on a wire are left to the kernel: all that begin with eight zeros,
 * among them the unspecified, the loopback and v4-mapped ones. */
ALWAYS_INLINE uint8_t read_ipv6(struct fastpath_cpu *own, void *at, void *end, uint32_t tags)
{
    struct ipv6hdr *ip = at;

    if (at + sizeof *ip > end)
        return FASTPATH_NOBODY;
    const uint8_t *source = (const uint8_t *)&ip->saddr;
    if (*(uint8_t *)at >> 4 != 6 || ip->nexthdr != IPPROTO_UDP || source[0] == 0xff ||
        source[0] == 0)
        return FASTPATH_NOBODY;
    own->datagram.hops = ip->hop_limit;
    own->datagram.traffic = (uint8_t)(bpf_ntohl(*(uint32_t *)at) >> 20);
    struct ends ends = {.destination.tags = tags | FASTPATH_TAGS_IPV6};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        ends.source[i] = ip->saddr.in6_u.u6_addr32[i];
        ends.destination.address[i] = ip->daddr.in6_u.u6_addr32[i];
    }
    return read_udp(own, at + sizeof *ip, end, &ends, bpf_ntohs(ip->payload_len));
}

/* Reads a datagram that a socket would get, were it not answered here. Returns the part that claims
 * its port. */
ALWAYS_INLINE uint8_t read_datagram(struct xdp_md *context, struct fastpath_cpu *own)
{
    void *end = (void *)(uintptr_t)context->data_end;
    void *start = (void *)(uintptr_t)context->data;
    void *at = start;
    uint32_t tags = 0;

    if (!read_ethernet(&at, end, &own->datagram, &tags))
        return FASTPATH_NOBODY;
    if (part_is_ipv4(&own->datagram)) {
        own->datagram.udp_at = (uint32_t)(at - start) + sizeof(struct iphdr);
        return read_ipv4(own, at, end, tags);
    }
    own->datagram.udp_at = (uint32_t)(at - start) + sizeof(struct ipv6hdr);
    return own->datagram.type == bpf_htons(ETH_P_IPV6) ? read_ipv6(own, at, end, tags)
                                                       : FASTPATH_NOBODY;
}

SEC("xdp")
int paddock(struct xdp_md *context)
{
    struct fastpath_cpu *own = part_cpu(bpf_get_smp_processor_id());

    if (own == NULL)
        return XDP_PASS;
    uint8_t part = read_datagram(context, own);
    if (part == FASTPATH_NOBODY)
        return XDP_PASS;
    own->clock_offset_ns = settings.clock_offset_ns;
    own->monotonic_offset_ns = settings.monotonic_offset_ns;
    own->interface = settings.interface;
    /* By a constant index, which the kernel makes a direct jump. A slot that is empty comes back.
     */
#pragma unroll
    for (uint32_t i = FASTPATH_NOBODY + 1; i < FASTPATH_PARTS; i++) {
        if (part == i)
            bpf_tail_call_static(context, &parts, i);
    }
    return XDP_PASS;
}

char LICENSE[] SEC("license") = "Apache-2.0";

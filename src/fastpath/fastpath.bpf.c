/* SPDX-License-Identifier: Apache-2.0 */
/* The program on the interface: parses frames, and jumps to the part that claims a datagram's port.
 * Frames that it does not understand, or that the kernel would not give to a socket of this host,
 * it passes on as they are: so it need not know every case, but what it takes for a datagram must
 * be one that the sockets would get. */
#include "fastpath/part.bpf.h"
#include "fastpath/parts.h"
#include "net/unicast.h"

#define FRAGMENT 0x3fff /* more of them, or an offset */
#define VLAN_ID 0x0fff

/* Behind the type, if that says so. */
struct tag {
    uint16_t control;
    uint16_t type;
};

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

ALWAYS_INLINE bool is_tag(uint16_t type)
{
    return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* An id of 0 says a priority alone: as if there were no tag. */
ALWAYS_INLINE uint32_t tag_number(uint16_t type, uint16_t control)
{
    uint32_t id = bpf_ntohs(control) & VLAN_ID;

    return id != 0 && type == bpf_htons(ETH_P_8021AD) ? id | FASTPATH_TAG_IS_8021AD : id;
}

/* No sender has such an address: an answer would go to many. */
ALWAYS_INLINE bool is_group(const uint16_t mac[3])
{
    return (mac[0] & bpf_htons(0x0100)) != 0;
}

ALWAYS_INLINE bool is_source_the_destination(const struct fastpath_datagram *datagram)
{
    uint32_t differs = 0;

#pragma unroll
    for (int i = 0; i < 4; i++)
        differs |= datagram->source[i] ^ datagram->destination.address[i];
    return differs == 0;
}

/* Each function that reads moves on by what it has read, and returns whether it could. */
ALWAYS_INLINE bool read_ethernet(void **next, void *end, struct fastpath_datagram *datagram)
{
    void *at = *next;
    struct part_ethernet *ethernet = at;

    if (at + sizeof *ethernet > end)
        return false;
    __builtin_memcpy(datagram->destination_mac, ethernet->destination,
                     sizeof datagram->destination_mac);
    __builtin_memcpy(datagram->source_mac, ethernet->source, sizeof datagram->source_mac);
    if (fastpath_mac(ethernet->destination) != settings.mac || is_group(ethernet->source))
        return false;
    uint16_t type = ethernet->type;
    uint32_t shift = 0, tags = 0, count = 0;
    at += sizeof *ethernet;
#pragma unroll
    for (uint32_t i = 0; i < FASTPATH_MAX_TAGS; i++) {
        if (!is_tag(type))
            break;
        struct tag *tag = at;
        if (at + sizeof *tag > end)
            return false;
        datagram->raw_tags[i] = (uint32_t)tag->control << 16 | type;
        count = i + 1;
        uint32_t number = tag_number(type, tag->control);
        tags |= number << shift;
        shift += number != 0 ? FASTPATH_TAG_BITS : 0;
        type = tag->type;
        at += sizeof *tag;
    }
    datagram->tags_count = count;
    datagram->destination.tags = tags;
    datagram->type = type;
    *next = at;
    return true;
}

ALWAYS_INLINE void set_ipv4(uint32_t mapped[4], uint32_t address)
{
    mapped[0] = 0;
    mapped[1] = 0;
    mapped[2] = bpf_htonl(0xffff);
    mapped[3] = address;
}

/* Checks what the kernel would check. */
ALWAYS_INLINE bool read_ipv4(void **next, void *end, struct fastpath_datagram *datagram)
{
    void *at = *next;
    struct iphdr *ip = at;

    if (at + sizeof *ip > end)
        return false;
    uint16_t bytes = bpf_ntohs(ip->tot_len);
    if (*(uint8_t *)at != 0x45 || ip->protocol != IPPROTO_UDP || bytes < sizeof *ip ||
        (ip->frag_off & bpf_htons(FRAGMENT)) != 0)
        return false;
    uint32_t *words = at;
    uint64_t sum = 0;
#pragma unroll
    for (uint32_t i = 0; i < sizeof *ip / sizeof *words; i++)
        sum += words[i];
    uint32_t source = bpf_ntohl(ip->saddr);
    if (part_fold(sum) != 0xffff || !unicast_is_ipv4(source) || source >> 24 == 127)
        return false;
    datagram->udp_bytes = (uint16_t)(bytes - sizeof *ip);
    set_ipv4(datagram->source, ip->saddr);
    set_ipv4(datagram->destination.address, ip->daddr);
    *next = at + sizeof *ip;
    return true;
}

/* Sources that have no business on a wire are left to the kernel: all that begin with eight zeros,
 * among them the unspecified, the loopback and v4-mapped ones. */
ALWAYS_INLINE bool read_ipv6(void **next, void *end, struct fastpath_datagram *datagram)
{
    void *at = *next;
    struct ipv6hdr *ip = at;

    if (at + sizeof *ip > end)
        return false;
    const uint8_t *source = (const uint8_t *)&ip->saddr;
    if (*(uint8_t *)at >> 4 != 6 || ip->nexthdr != IPPROTO_UDP || source[0] == 0xff ||
        source[0] == 0)
        return false;
    datagram->udp_bytes = bpf_ntohs(ip->payload_len);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        datagram->source[i] = ip->saddr.in6_u.u6_addr32[i];
        datagram->destination.address[i] = ip->daddr.in6_u.u6_addr32[i];
    }
    datagram->destination.tags |= FASTPATH_TAGS_IPV6;
    *next = at + sizeof *ip;
    return true;
}

/* A checksum of 0 is none, which IPv6 forbids; another value is not verified. Returns the part that
 * claims the port. */
ALWAYS_INLINE uint8_t read_udp(void *at, void *end, struct fastpath_datagram *datagram)
{
    struct udphdr *udp = at;

    if (at + sizeof *udp > end || (uint64_t)(end - at) < datagram->udp_bytes)
        return FASTPATH_NOBODY;
    uint8_t part = settings.parts[bpf_ntohs(udp->dest)];
    if (part == FASTPATH_NOBODY || udp->source == 0 || is_source_the_destination(datagram) ||
        udp->len != bpf_htons(datagram->udp_bytes) || datagram->udp_bytes < sizeof *udp ||
        (udp->check == 0 && !part_is_ipv4(datagram)))
        return FASTPATH_NOBODY;
    datagram->source_port = udp->source;
    datagram->port = udp->dest;
    return part;
}

/* Reads a datagram that a socket would get, were it not answered here. */
ALWAYS_INLINE uint8_t read_datagram(struct xdp_md *context, struct fastpath_datagram *datagram)
{
    void *end = (void *)(uintptr_t)context->data_end;
    void *start = (void *)(uintptr_t)context->data;
    void *at = start;

    if (!read_ethernet(&at, end, datagram))
        return FASTPATH_NOBODY;
    if (datagram->type == bpf_htons(ETH_P_IP)) {
        if (!read_ipv4(&at, end, datagram))
            return FASTPATH_NOBODY;
    } else if (datagram->type != bpf_htons(ETH_P_IPV6) || !read_ipv6(&at, end, datagram)) {
        return FASTPATH_NOBODY;
    }
    datagram->udp_at = (uint32_t)(at - start);
    return read_udp(at, end, datagram);
}

/* Whether the source is one that no other host may have. */
ALWAYS_INLINE bool is_no_source(const struct fastpath_datagram *datagram)
{
    if ((settings.sources & fastpath_source_bit(datagram->source)) == 0)
        return false;
    struct fastpath_address key = {.tags = FASTPATH_TAGS_NO_SOURCE |
                                           (datagram->destination.tags & FASTPATH_TAGS_IPV6)};
    __builtin_memcpy(key.address, datagram->source, sizeof key.address);
    return bpf_map_lookup_elem(&addresses, &key) != NULL;
}

ALWAYS_INLINE bool is_same_address(const struct fastpath_address *one,
                                   const struct fastpath_address *other)
{
    uint32_t differs = one->tags ^ other->tags;

#pragma unroll
    for (int i = 0; i < 4; i++)
        differs |= one->address[i] ^ other->address[i];
    return differs == 0;
}

/* Most datagrams are for the same address as the one before, for which the map need not be asked
 * again. */
ALWAYS_INLINE bool is_destination(struct fastpath_cpu *own)
{
    uint32_t version =
        *(volatile uint32_t *)&settings.addresses_version; /* before the map is asked */

    if (version != 0 && own->version == version &&
        is_same_address(&own->destination, &own->datagram.destination))
        return true;
    struct fastpath_address key = own->datagram.destination;
    if (bpf_map_lookup_elem(&addresses, &key) == NULL)
        return false;
    own->destination = key;
    own->version = version;
    return true;
}

SEC("xdp")
int paddock(struct xdp_md *context)
{
    struct fastpath_cpu *own = part_cpu(bpf_get_smp_processor_id());

    if (own == NULL)
        return XDP_PASS;
    uint8_t part = read_datagram(context, &own->datagram);
    if (part == FASTPATH_NOBODY || !is_destination(own) || is_no_source(&own->datagram))
        return XDP_PASS;
    own->clock_offset_ns = settings.clock_offset_ns;
    own->monotonic_offset_ns = settings.monotonic_offset_ns;
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

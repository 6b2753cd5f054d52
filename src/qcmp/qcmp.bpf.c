/* Answers pings in the driver. What it does not answer it leaves as it is and passes on: the
 * sockets behind it decide about that, and count it. So it need not know every case, but what it
 * takes for a ping must be one that the sockets would answer. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stdint.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <qcmp/wire.h>

#include "fastpath/shared.h"
#include "guard/guard_core.h"
#include "net/unicast.h"
#include "wire/layout.h"

#define GROWTH (QCMP_PONG_BYTES - QCMP_PING_BYTES)
#define PING_UDP_BYTES (sizeof(struct udphdr) + QCMP_PING_BYTES)
#define PONG_UDP_BYTES (sizeof(struct udphdr) + QCMP_PONG_BYTES)
#define HOP_LIMIT 64
#define DO_NOT_FRAGMENT 0x4000
#define FRAGMENT 0x3fff /* more of them, or an offset */
#define VLAN_ID 0x0fff
#define TAG_BYTES 4
#define PASS_ON (-1)

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Ethernet's header in half words, as it lies in memory: the kernel's struct has bytes. */
struct ethernet {
    uint16_t destination[3];
    uint16_t source[3];
    uint16_t type;
};

/* Behind the type, if that says so. */
struct tag {
    uint16_t control;
    uint16_t type;
};

/* All that the answer takes from the question: what the frame holds is gone once it has grown.
 * Network order, unless it says otherwise. */
struct ping {
    uint16_t destination_mac[3], source_mac[3];
    uint32_t raw_tags[XDP_MAX_TAGS]; /* type and control of each */
    uint32_t tags_count;
    uint32_t source[4];         /* IPv4 as v4-mapped */
    struct xdp_address address; /* the destination, with the tags */
    uint16_t source_port, port;
    uint16_t type;      /* of what the last header of Ethernet is before */
    uint16_t udp_bytes; /* host order, as the two below */
    bool is_ping;       /* or something else that reaches the sockets */
    bool is_judged;     /* by rules, which takes its time */
    uint8_t nonce;
    uint64_t client;
    uint64_t seen_ns; /* monotonic */
    uint64_t received_ns;
};

struct xdp_settings settings;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, XDP_MAX_ADDRESSES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct xdp_address);
    __type(value, uint8_t);
} addresses SEC(".maps");

/* One for each CPU, in an array so that it can be mapped, which a per-CPU one cannot: read without
 * asking the kernel. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); /* set to the number of CPUs before it is loaded */
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct xdp_counters);
} counters SEC(".maps");

/* The guard's, which the sockets' workers map: a source has its tokens once, whichever way its
 * pings take. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, GUARD_TABLE_SETS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct guard_set);
} table SEC(".maps");

/* Two versions of the rules, each with a trie: one is in use, the other waits to be the next. */
struct version {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __type(value, struct xdp_rules);
} first_rules SEC(".maps"), second_rules SEC(".maps");

struct prefixes {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, XDP_MAX_PREFIXES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct xdp_prefix);
    __type(value, uint8_t);
} first_prefixes SEC(".maps"), second_prefixes SEC(".maps");

/* The same for IPv4 in short: of each version one half. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2 * XDP_NETWORKS_WORDS);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, uint64_t);
} networks SEC(".maps");

/* The version in use. Whoever changes an array of maps goes on only when no program can be using
 * what was there before, so that it may be written to again. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 1);
    __type(key, uint32_t);
    __array(values, struct version);
} current_rules SEC(".maps") = {.values = {&first_rules}};

ALWAYS_INLINE uint64_t wall_ns(uint64_t monotonic_ns)
{
    return monotonic_ns + (uint64_t)settings.clock_offset_ns;
}

/* A sum of numbers below 2^48, as Internet checksums have it, without the last complement. */
ALWAYS_INLINE uint16_t fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

/* The halves of a number, added. */
ALWAYS_INLINE uint64_t halves(uint64_t number)
{
    return (number >> 32) + (number & 0xffffffff);
}

ALWAYS_INLINE bool is_tag(uint16_t type)
{
    return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* An id of 0 says a priority alone: as if there were no tag. */
ALWAYS_INLINE uint32_t tag_number(uint16_t type, uint16_t control)
{
    uint32_t id = bpf_ntohs(control) & VLAN_ID;
    return id != 0 && type == bpf_htons(ETH_P_8021AD) ? id | XDP_TAG_IS_8021AD : id;
}

/* Which no sender has: an answer would go to many. */
ALWAYS_INLINE bool is_group(const uint16_t mac[3])
{
    return (mac[0] & bpf_htons(0x0100)) != 0;
}

ALWAYS_INLINE bool is_source_the_destination(const struct ping *ping)
{
    uint32_t differs = 0;
#pragma unroll
    for (int i = 0; i < 4; i++)
        differs |= ping->source[i] ^ ping->address.address[i];
    return differs == 0;
}

/* Each of what reads and writes moves on by what it has read or written, and returns whether it
 * could. */
ALWAYS_INLINE bool read_ethernet(void **next, void *end, struct ping *ping)
{
    void *at = *next;
    struct ethernet *ethernet = at;
    if (at + sizeof *ethernet > end)
        return false;
    __builtin_memcpy(ping->destination_mac, ethernet->destination, sizeof ping->destination_mac);
    __builtin_memcpy(ping->source_mac, ethernet->source, sizeof ping->source_mac);
    if (xdp_mac(ping->destination_mac) != settings.mac || is_group(ping->source_mac))
        return false;
    ping->type = ethernet->type;
    at += sizeof *ethernet;
    uint32_t shift = 0;
#pragma unroll
    for (uint32_t i = 0; i < XDP_MAX_TAGS; i++) {
        if (!is_tag(ping->type))
            break;
        struct tag *tag = at;
        if (at + sizeof *tag > end)
            return false;
        ping->raw_tags[i] = (uint32_t)tag->control << 16 | ping->type;
        ping->tags_count = i + 1;
        uint32_t number = tag_number(ping->type, tag->control);
        ping->address.tags |= number << shift;
        shift += number != 0 ? XDP_TAG_BITS : 0;
        ping->type = tag->type;
        at += sizeof *tag;
    }
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
ALWAYS_INLINE bool read_ipv4(void **next, void *end, struct ping *ping)
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
    if (fold(sum) != 0xffff || !unicast_is_ipv4(source) || source >> 24 == 127)
        return false;
    ping->udp_bytes = (uint16_t)(bytes - sizeof *ip);
    set_ipv4(ping->source, ip->saddr);
    set_ipv4(ping->address.address, ip->daddr);
    *next = at + sizeof *ip;
    return true;
}

/* Of the sources it leaves those to the kernel that have no business on a wire: all that begin with
 * eight zeros, among them the unspecified, the loopback and v4-mapped ones. */
ALWAYS_INLINE bool read_ipv6(void **next, void *end, struct ping *ping)
{
    void *at = *next;
    struct ipv6hdr *ip = at;
    if (at + sizeof *ip > end)
        return false;
    const uint8_t *source = (const uint8_t *)&ip->saddr;
    if (*(uint8_t *)at >> 4 != 6 || ip->nexthdr != IPPROTO_UDP || source[0] == 0xff ||
        source[0] == 0)
        return false;
    ping->udp_bytes = bpf_ntohs(ip->payload_len);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        ping->source[i] = ip->saddr.in6_u.u6_addr32[i];
        ping->address.address[i] = ip->daddr.in6_u.u6_addr32[i];
    }
    ping->address.tags |= XDP_TAGS_IPV6;
    *next = at + sizeof *ip;
    return true;
}

ALWAYS_INLINE bool is_served(uint16_t port)
{
    return settings.ports[port / 64] >> (port % 64) & 1;
}

/* Takes what a datagram says if it is a ping. */
ALWAYS_INLINE void read_payload(void *at, void *end, struct ping *ping)
{
    uint8_t *data = at + sizeof(struct udphdr);
    if (at + PING_UDP_BYTES > end || ping->udp_bytes != PING_UDP_BYTES ||
        *(uint64_t *)data != bpf_cpu_to_be64(LAYOUT_HEADER(LAYOUT_PING, LAYOUT_PING_LENGTH)))
        return;
    ping->nonce = data[LAYOUT_NONCE_OFFSET];
    ping->client = bpf_be64_to_cpu(*(uint64_t *)(data + LAYOUT_CLIENT_OFFSET));
    ping->is_ping = true;
}

/* A checksum of 0 is none, which IPv6 forbids; what else it says is not looked at. */
ALWAYS_INLINE bool read_udp(void *at, void *end, struct ping *ping)
{
    struct udphdr *udp = at;
    if (at + sizeof *udp > end || (uint64_t)(end - at) < ping->udp_bytes)
        return false;
    if (!is_served(bpf_ntohs(udp->dest)) || udp->source == 0 || is_source_the_destination(ping) ||
        udp->len != bpf_htons(ping->udp_bytes) || ping->udp_bytes < sizeof *udp ||
        (udp->check == 0 && ping->type == bpf_htons(ETH_P_IPV6)))
        return false;
    ping->source_port = udp->source;
    ping->port = udp->dest;
    read_payload(at, end, ping);
    return true;
}

/* Reads a datagram that a socket of ours would get, were it not answered here. */
ALWAYS_INLINE bool read_datagram(struct xdp_md *context, struct ping *ping)
{
    void *end = (void *)(uintptr_t)context->data_end;
    void *at = (void *)(uintptr_t)context->data;
    if (!read_ethernet(&at, end, ping))
        return false;
    if (ping->type == bpf_htons(ETH_P_IP))
        return read_ipv4(&at, end, ping) && read_udp(at, end, ping);
    if (ping->type == bpf_htons(ETH_P_IPV6))
        return read_ipv6(&at, end, ping) && read_udp(at, end, ping);
    return false;
}

/* Nothing else runs on this CPU meanwhile that writes there. */
ALWAYS_INLINE struct xdp_counters *find_own(void)
{
    uint32_t cpu = bpf_get_smp_processor_id();
    return bpf_map_lookup_elem(&counters, &cpu);
}

/* Whom to answer. In what follows NULL stands for everybody. */
ALWAYS_INLINE struct xdp_rules *find_rules(void)
{
    uint32_t key = 0;
    void *version = bpf_map_lookup_elem(&current_rules, &key);
    return version != NULL ? bpf_map_lookup_elem(version, &key) : NULL;
}

/* What the lists say of an IPv4 address; XDP_NETWORK_MIXED, too, where there is none. */
ALWAYS_INLINE uint64_t find_network(const struct xdp_rules *rules, uint32_t address)
{
    uint32_t network = address >> 8;
    uint32_t at = (rules->prefixes != 0) * XDP_NETWORKS_WORDS + network / XDP_NETWORKS_PER_WORD;
    const uint64_t *word = bpf_map_lookup_elem(&networks, &at);
    return word != NULL ? *word >> 2 * (network % XDP_NETWORKS_PER_WORD) & 3 : XDP_NETWORK_MIXED;
}

ALWAYS_INLINE const uint8_t *find_prefix(const struct xdp_rules *rules, const struct ping *ping)
{
    struct xdp_prefix key = {.bits = 8 * sizeof key.address};
    __builtin_memcpy(key.address, ping->source, sizeof key.address);
    return rules->prefixes == 0 ? bpf_map_lookup_elem(&first_prefixes, &key)
                                : bpf_map_lookup_elem(&second_prefixes, &key);
}

/* What the access lists say of a source: OUTCOME_VALID or OUTCOME_ACCESS_DENIED; or PASS_ON if they
 * are not there. */
ALWAYS_INLINE int ask_lists(const struct xdp_rules *rules, const struct ping *ping)
{
    if (ping->type == bpf_htons(ETH_P_IP)) {
        uint64_t network = find_network(rules, bpf_ntohl(ping->source[3]));
        if (network != XDP_NETWORK_MIXED)
            return network == XDP_NETWORK_ALLOWED ? OUTCOME_VALID : OUTCOME_ACCESS_DENIED;
    }
    const uint8_t *may_ask = find_prefix(rules, ping);
    if (may_ask == NULL)
        return PASS_ON;
    return *may_ask ? OUTCOME_VALID : OUTCOME_ACCESS_DENIED;
}

/* Whether the source is one that no other host may have. */
ALWAYS_INLINE bool is_no_source(const struct ping *ping)
{
    if ((settings.sources & xdp_source_bit(ping->source)) == 0)
        return false;
    struct xdp_address key = {.tags = XDP_TAGS_NO_SOURCE | (ping->address.tags & XDP_TAGS_IPV6)};
    __builtin_memcpy(key.address, ping->source, sizeof key.address);
    return bpf_map_lookup_elem(&addresses, &key) != NULL;
}

ALWAYS_INLINE bool is_same_address(const struct xdp_address *one, const struct xdp_address *other)
{
    uint32_t differs = one->tags ^ other->tags;
#pragma unroll
    for (int i = 0; i < 4; i++)
        differs |= one->address[i] ^ other->address[i];
    return differs == 0;
}

/* Most are for the same address as the one before, for which the map need not be asked again. */
ALWAYS_INLINE bool is_destination(struct xdp_counters *own, const struct ping *ping)
{
    uint32_t version =
        *(volatile uint32_t *)&settings.addresses_version; /* before the map is asked */
    if (version != 0 && own->version == version &&
        is_same_address(&own->destination, &ping->address))
        return true;
    if (bpf_map_lookup_elem(&addresses, &ping->address) == NULL)
        return false;
    own->destination = ping->address;
    own->version = version;
    return true;
}

/* Whether to decide here about a datagram, and whether its source may ask at all, before anything
 * of the frame is changed. Returns OUTCOME_VALID for a ping that may be answered, why not, or
 * PASS_ON to leave it to the sockets. Whoever may not ask is refused whatever he sends, as by them.
 */
ALWAYS_INLINE int admit(struct xdp_counters *own, const struct xdp_rules *rules,
                        const struct ping *ping)
{
    bool is_listed = rules != NULL && rules->is_listed;
    if ((!ping->is_ping && !is_listed) || !is_destination(own, ping) || is_no_source(ping))
        return PASS_ON;
    int asked = is_listed ? ask_lists(rules, ping) : OUTCOME_VALID;
    if (asked != OUTCOME_VALID)
        return asked;
    return ping->is_ping ? OUTCOME_VALID : PASS_ON;
}

ALWAYS_INLINE struct guard_set *find_set(void *map, uint32_t index)
{
    return bpf_map_lookup_elem(map, &index);
}

ALWAYS_INLINE uint64_t address_half(const uint32_t words[2])
{
    return (uint64_t)bpf_ntohl(words[0]) << 32 | bpf_ntohl(words[1]);
}

/* Whether a ping is within the limits, as the responder's sockets decide it. */
ALWAYS_INLINE int limit(const struct xdp_rules *rules, const struct ping *ping)
{
    if (rules == NULL || !rules->is_limited)
        return OUTCOME_VALID;
    struct guard_address source = {address_half(ping->source), address_half(ping->source + 2)};
    uint64_t now = ping->seen_ns;
    enum guard_verdict verdict = guard_decide(&rules->limits, &source, now, find_set, &table);
    if (verdict == GUARD_ANSWER)
        return OUTCOME_VALID;
    if (verdict == GUARD_CAPPED)
        return OUTCOME_PROCESS_CAP;
    return guard_leaks(&rules->limits, bpf_get_prandom_u32(), now, find_set, &table)
               ? OUTCOME_LEAKED
               : OUTCOME_RATE_LIMITED;
}

/* Makes the frame as long as the answer: in front, where the driver left room, since that is one
 * call; with padding to be cut as well, one call may do behind. On a failure the frame holds what
 * it held, but for padding. */
ALWAYS_INLINE bool grow(struct xdp_md *context, const struct ping *ping)
{
    uint32_t ip_bytes =
        ping->type == bpf_htons(ETH_P_IP) ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
    uint32_t used =
        sizeof(struct ethernet) + ping->tags_count * TAG_BYTES + ip_bytes + PING_UDP_BYTES;
    /* All of the frame, since a program that does not know of fragments gets none. */
    int32_t padding = (int32_t)(context->data_end - context->data - used);
    if (padding == 0 && bpf_xdp_adjust_head(context, -GROWTH) == 0)
        return true;
    if (bpf_xdp_adjust_tail(context, GROWTH - padding) == 0)
        return true;
    if (padding != 0 && bpf_xdp_adjust_tail(context, -padding) != 0)
        return false;
    return bpf_xdp_adjust_head(context, -GROWTH) == 0;
}

ALWAYS_INLINE bool write_ethernet(void **next, void *end, const struct ping *ping)
{
    void *at = *next;
    struct ethernet *ethernet = at;
    if (at + sizeof *ethernet > end)
        return false;
    __builtin_memcpy(ethernet->destination, ping->source_mac, sizeof ethernet->destination);
    __builtin_memcpy(ethernet->source, ping->destination_mac, sizeof ethernet->source);
    at += offsetof(struct ethernet, type);
#pragma unroll
    for (uint32_t i = 0; i < XDP_MAX_TAGS; i++) {
        if (i >= ping->tags_count)
            break;
        if (at + TAG_BYTES > end)
            return false;
        *(uint32_t *)at = ping->raw_tags[i];
        at += TAG_BYTES;
    }
    if (at + sizeof ping->type > end)
        return false;
    *(uint16_t *)at = ping->type;
    *next = at + sizeof ping->type;
    return true;
}

ALWAYS_INLINE bool write_ipv4(void **next, void *end, const struct ping *ping)
{
    void *at = *next;
    struct iphdr *ip = at;
    if (at + sizeof *ip > end)
        return false;
    uint32_t source = bpf_ntohl(ping->address.address[3]);
    uint32_t destination = bpf_ntohl(ping->source[3]);
    uint32_t bytes = sizeof *ip + PONG_UDP_BYTES;
    uint64_t sum = 0x4500 + bytes + DO_NOT_FRAGMENT + (HOP_LIMIT << 8 | IPPROTO_UDP) +
                   (uint64_t)source + destination;
    *(uint16_t *)at = bpf_htons(0x4500);
    ip->tot_len = bpf_htons((uint16_t)bytes);
    ip->id = 0;
    ip->frag_off = bpf_htons(DO_NOT_FRAGMENT);
    ip->ttl = HOP_LIMIT;
    ip->protocol = IPPROTO_UDP;
    ip->check = bpf_htons((uint16_t)~fold(sum));
    ip->saddr = ping->address.address[3];
    ip->daddr = ping->source[3];
    *next = at + sizeof *ip;
    return true;
}

ALWAYS_INLINE bool write_ipv6(void **next, void *end, const struct ping *ping)
{
    void *at = *next;
    struct ipv6hdr *ip = at;
    if (at + sizeof *ip > end)
        return false;
    *(uint32_t *)at = bpf_htonl(0x60000000);
    ip->payload_len = bpf_htons(PONG_UDP_BYTES);
    ip->nexthdr = IPPROTO_UDP;
    ip->hop_limit = HOP_LIMIT;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        ip->saddr.in6_u.u6_addr32[i] = ping->address.address[i];
        ip->daddr.in6_u.u6_addr32[i] = ping->source[i];
    }
    *next = at + sizeof *ip;
    return true;
}

/* What addresses, ports and lengths add to the checksum of UDP. The ends of a v4-mapped address are
 * the IPv4 address. */
ALWAYS_INLINE uint64_t sum_addresses(const struct ping *ping)
{
    uint64_t sum = IPPROTO_UDP + 2 * PONG_UDP_BYTES + bpf_ntohs(ping->source_port) +
                   (uint64_t)bpf_ntohs(ping->port) + bpf_ntohl(ping->source[3]) +
                   bpf_ntohl(ping->address.address[3]);
    if (ping->type == bpf_htons(ETH_P_IPV6)) {
#pragma unroll
        for (int i = 0; i < 3; i++)
            sum += (uint64_t)bpf_ntohl(ping->source[i]) + bpf_ntohl(ping->address.address[i]);
    }
    return sum;
}

/* Reading the clock takes a third of the program's time. As long as no rules had to be looked at
 * since the first reading, a second one would tell of itself alone: the frame was written in less.
 */
ALWAYS_INLINE uint64_t transmit_ns(const struct ping *ping)
{
    return ping->is_judged ? wall_ns(bpf_ktime_get_ns()) : ping->received_ns;
}

/* The pong as numbers of eight bytes: its fields do not lie at multiples of that. */
ALWAYS_INLINE bool write_udp(void *at, void *end, const struct ping *ping)
{
    struct udphdr *udp = at;
    uint8_t *data = at + sizeof *udp;
    if (at + PONG_UDP_BYTES > end)
        return false;
    uint64_t start = ping->received_ns, transmit = transmit_ns(ping);
    uint64_t words[] = {LAYOUT_HEADER(LAYOUT_PONG, LAYOUT_PONG_LENGTH),
                        (uint64_t)ping->nonce << 56 | ping->client >> 8,
                        ping->client << 56 | start >> 8, start << 56 | transmit >> 8};
    uint64_t sum = sum_addresses(ping) + (transmit & 0xff) * 0x100;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum += halves(words[i]);
        *(uint64_t *)(data + 8 * i) = bpf_cpu_to_be64(words[i]);
    }
    data[QCMP_PONG_BYTES - 1] = (uint8_t)transmit;
    uint16_t checksum = (uint16_t)~fold(sum);
    udp->source = ping->port;
    udp->dest = ping->source_port;
    udp->len = bpf_htons(PONG_UDP_BYTES);
    udp->check = checksum != 0 ? bpf_htons(checksum) : 0xffff; /* 0 would say that there is none */
    return true;
}

ALWAYS_INLINE bool write_pong(struct xdp_md *context, const struct ping *ping)
{
    void *end = (void *)(uintptr_t)context->data_end;
    void *at = (void *)(uintptr_t)context->data;
    if (!write_ethernet(&at, end, ping))
        return false;
    if (ping->type == bpf_htons(ETH_P_IP))
        return write_ipv4(&at, end, ping) && write_udp(at, end, ping);
    return write_ipv6(&at, end, ping) && write_udp(at, end, ping);
}

/* The verifier has to see the check of an
 * outcome, which the compiler would leave out. */
ALWAYS_INLINE void count(struct xdp_counters *own, int known_outcome, const struct ping *ping,
                         bool answered)
{
    uint64_t outcome = shared_word_opaque((uint32_t)known_outcome);
    if (outcome >= OUTCOME_COUNT)
        return;
    own->packets[outcome]++;
    own->bytes[outcome] += ping->udp_bytes - sizeof(struct udphdr);
    own->answered += answered;
}

ALWAYS_INLINE int refuse(struct xdp_counters *own, int outcome, const struct ping *ping)
{
    count(own, outcome, ping, false);
    return XDP_DROP;
}

SEC("xdp")
int paddock_qcmp(struct xdp_md *context)
{
    struct ping ping = {0};
    if (!read_datagram(context, &ping))
        return XDP_PASS;
    ping.seen_ns = bpf_ktime_get_ns();
    ping.received_ns = wall_ns(ping.seen_ns);
    struct xdp_counters *own = find_own();
    const struct xdp_rules *rules = settings.has_rules ? find_rules() : NULL;
    ping.is_judged = rules != NULL;
    if (own == NULL || (settings.has_rules && rules == NULL))
        return XDP_PASS;
    int outcome = admit(own, rules, &ping);
    if (outcome == PASS_ON)
        return XDP_PASS;
    if (outcome != OUTCOME_VALID)
        return refuse(own, outcome, &ping);
    /* Before it has cost its source anything: a ping that is passed on is judged by the sockets. */
    if (!grow(context, &ping))
        return XDP_PASS;
    outcome = limit(rules, &ping);
    if (outcome != OUTCOME_VALID && outcome != OUTCOME_LEAKED)
        return refuse(own, outcome, &ping);
    /* What does not fit cannot be written: the frame has just got its length. */
    if (!write_pong(context, &ping))
        return XDP_ABORTED;
    count(own, outcome, &ping, true);
    return XDP_TX;
}

char LICENSE[] SEC("license") = "Apache-2.0";

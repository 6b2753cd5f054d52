/* SPDX-License-Identifier: Apache-2.0 */
/* QCMP's part of the fast path: answers pings in the driver. Datagrams that it does not answer it
 * leaves as they are and passes on: the sockets decide about them, and count them. */
#include "fastpath/checksum.bpf.h"

#include <qcmp/wire.h>

#include "guard/driver.bpf.h"
#include "qcmp/shared.h"
#include "wire/layout.h"

#define GROWTH (QCMP_PONG_BYTES - QCMP_PING_BYTES)
#define PING_UDP_BYTES (sizeof(struct udphdr) + QCMP_PING_BYTES)
#define PONG_UDP_BYTES (sizeof(struct udphdr) + QCMP_PONG_BYTES)
#define PASS_ON (-1)

/* The UDP header of a frame is not behind this: Ethernet, two tags, IPv6. */
#define MAX_UDP_AT 127

/* What the answer takes from the payload, which is gone once the frame has grown. Host order. */
struct ping {
    bool is_ping;    /* or another datagram that reaches the sockets */
    bool is_judged;  /* by rules, which takes its time */
    bool is_partial; /* the pong must leave its checksum to an interface as well */
    uint8_t nonce;
    uint16_t checksum; /* network order */
    uint64_t client;
    uint64_t seen_ns; /* monotonic */
    uint64_t received_ns;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); /* set to the number of CPUs before it is loaded */
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct qcmp_fast_counters);
} counters SEC(".maps");

/* Takes what a datagram says if it is a ping. */
ALWAYS_INLINE void read_payload(struct xdp_md *context, const struct fastpath_datagram *datagram,
                                struct ping *ping)
{
    void *end = (void *)(uintptr_t)context->data_end;
    void *at = (void *)(uintptr_t)context->data + (datagram->udp_at & MAX_UDP_AT);
    uint8_t *data = at + sizeof(struct udphdr);

    if (datagram->udp_bytes != PING_UDP_BYTES || at + PING_UDP_BYTES > end ||
        *(uint64_t *)data != bpf_cpu_to_be64(LAYOUT_HEADER(LAYOUT_PING, LAYOUT_PING_LENGTH)))
        return;
    ping->checksum = ((struct udphdr *)at)->check;
    ping->nonce = data[LAYOUT_NONCE_OFFSET];
    ping->client = bpf_be64_to_cpu(*(uint64_t *)(data + LAYOUT_CLIENT_OFFSET));
    ping->is_ping = true;
}

/* In the generic mode a checksum that the sender left to its interface must stay such a one.
 * Returns whether the pong can have the right kind. One that is right as it is looks like it, and
 * would become wrong. */
ALWAYS_INLINE bool tell_checksum(struct xdp_md *context, const struct fastpath_cpu *own,
                                 struct ping *ping)
{
    const struct fastpath_datagram *datagram = &own->datagram;

    if ((own->interface & FASTPATH_IS_GENERIC) == 0 ||
        ping->checksum != part_partial_checksum(datagram, PING_UDP_BYTES))
        return true;
    uint64_t sum = checksum_sum(context, datagram->udp_at, PING_UDP_BYTES);
    ping->is_partial = true;
    return (own->interface & FASTPATH_IS_VETH) != 0 && part_fold(sum + ping->checksum) != 0xffff;
}

/* Whether to decide here about a datagram, and whether its source may ask at all, before anything
 * of the frame is changed. Returns OUTCOME_VALID for a ping that may be answered, why not, or
 * PASS_ON to leave it to the sockets. A source that may not ask is refused with any datagram, as by
 * the sockets. */
ALWAYS_INLINE int admit(const struct guard_driver_rules *rules,
                        const struct fastpath_datagram *datagram, const struct ping *ping)
{
    uint64_t asked = GUARD_NETWORK_ALLOWED;

    if (rules != NULL && rules->is_listed)
        asked = guard_driver_ask(rules, datagram->source, part_is_ipv4(datagram));
    if (asked == GUARD_NETWORK_DENIED)
        return OUTCOME_ACCESS_DENIED;
    return asked == GUARD_NETWORK_ALLOWED && ping->is_ping ? OUTCOME_VALID : PASS_ON;
}

/* Whether a ping is within the limits, as the sockets decide it. */
ALWAYS_INLINE int limit(const struct guard_driver_rules *rules,
                        const struct fastpath_datagram *datagram, uint64_t now)
{
    if (rules == NULL || !rules->is_limited)
        return OUTCOME_VALID;
    struct guard_address source = guard_driver_address(datagram->source);
    enum guard_verdict verdict =
        guard_decide(&rules->limits, &source, now, guard_driver_set, &table);
    if (verdict == GUARD_ANSWER)
        return OUTCOME_VALID;
    if (verdict == GUARD_CAPPED)
        return OUTCOME_PROCESS_CAP;
    return guard_leaks(&rules->limits, bpf_get_prandom_u32(), now, guard_driver_set, &table)
               ? OUTCOME_LEAKED
               : OUTCOME_RATE_LIMITED;
}

/* Reading the clock takes a third of the program's time. As long as no rules had to be looked at
 * since the first reading, a second one would tell of itself alone: the frame was written in less.
 */
ALWAYS_INLINE uint64_t transmit_ns(const struct fastpath_cpu *own, const struct ping *ping)
{
    return ping->is_judged ? part_wall_ns(own, part_monotonic_ns(own)) : ping->received_ns;
}

/* The pong as numbers of eight bytes: its fields do not lie at multiples of that. */
ALWAYS_INLINE bool write_udp(void *at, void *end, const struct fastpath_cpu *own,
                             const struct ping *ping)
{
    struct udphdr *udp = at;
    uint8_t *data = at + sizeof *udp;

    if (at + PONG_UDP_BYTES > end)
        return false;
    uint64_t start = ping->received_ns, transmit = transmit_ns(own, ping);
    uint64_t words[] = {LAYOUT_HEADER(LAYOUT_PONG, LAYOUT_PONG_LENGTH),
                        (uint64_t)ping->nonce << 56 | ping->client >> 8,
                        ping->client << 56 | start >> 8, start << 56 | transmit >> 8};
    uint64_t sum = part_sum_addresses(&own->datagram, PONG_UDP_BYTES) + (transmit & 0xff) * 0x100;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        sum += part_halves(words[i]);
        *(uint64_t *)(data + 8 * i) = bpf_cpu_to_be64(words[i]);
    }
    data[QCMP_PONG_BYTES - 1] = (uint8_t)transmit;
    uint16_t checksum = (uint16_t)~part_fold(sum);
    udp->source = own->datagram.port;
    udp->dest = own->datagram.source_port;
    udp->len = bpf_htons(PONG_UDP_BYTES);
    udp->check = checksum != 0 ? bpf_htons(checksum) : 0xffff; /* 0 would say that there is none */
    if (ping->is_partial)
        udp->check = part_partial_checksum(&own->datagram, PONG_UDP_BYTES);
    return true;
}

ALWAYS_INLINE bool write_pong(struct xdp_md *context, const struct fastpath_cpu *own,
                              const struct ping *ping)
{
    void *end = (void *)(uintptr_t)context->data_end;
    void *at = (void *)(uintptr_t)context->data;

    if (!part_write_ethernet(&at, end, &own->datagram))
        return false;
    const struct part_hops hops = {.hops = PART_HOP_LIMIT};
    if (part_is_ipv4(&own->datagram))
        return part_write_ipv4(&at, end, &own->datagram, PONG_UDP_BYTES, hops) &&
               write_udp(at, end, own, ping);
    return part_write_ipv6(&at, end, &own->datagram, PONG_UDP_BYTES, hops) &&
           write_udp(at, end, own, ping);
}

/* The verifier has to see the check of an outcome, which the compiler would leave out. */
ALWAYS_INLINE void count(uint32_t cpu, int known_outcome, const struct fastpath_datagram *datagram)
{
    uint64_t outcome = shared_word_opaque((uint32_t)known_outcome);
    struct qcmp_fast_counters *own = bpf_map_lookup_elem(&counters, &cpu);

    if (own == NULL || outcome >= OUTCOME_COUNT)
        return;
    own->packets[outcome]++;
    own->bytes[outcome] += datagram->udp_bytes - sizeof(struct udphdr);
}

SEC("xdp")
int paddock_qcmp(struct xdp_md *context)
{
    struct ping ping = {0};
    uint32_t cpu = bpf_get_smp_processor_id();
    struct fastpath_cpu *own = part_cpu(cpu);

    if (own == NULL)
        return XDP_PASS;
    ping.seen_ns = part_monotonic_ns(own);
    ping.received_ns = part_wall_ns(own, ping.seen_ns);
    bool is_ruled = has_rules;
    const struct guard_driver_rules *rules = is_ruled ? guard_driver_rules() : NULL;
    ping.is_judged = rules != NULL;
    if (is_ruled && rules == NULL)
        return XDP_PASS;
    read_payload(context, &own->datagram, &ping);
    int outcome = admit(rules, &own->datagram, &ping);
    if (outcome == PASS_ON)
        return XDP_PASS;
    /* Before the ping has cost its source anything: if it is passed on, the sockets judge it. */
    if (outcome == OUTCOME_VALID) {
        if (!tell_checksum(context, own, &ping) ||
            !part_grow(context, &own->datagram, GROWTH, ping.is_partial))
            return XDP_PASS;
        outcome = limit(rules, &own->datagram, ping.seen_ns);
    }
    count(cpu, outcome, &own->datagram);
    if (outcome != OUTCOME_VALID && outcome != OUTCOME_LEAKED)
        return XDP_DROP;
    /* It always fits: the frame has just got its length. */
    return write_pong(context, own, &ping) ? part_transmit(own) : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Apache-2.0";

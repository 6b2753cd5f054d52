/* SPDX-License-Identifier: Apache-2.0 */
/* The load generator in the kernel: load_send() makes a ping of a frame that BPF_PROG_RUN gives it,
 * if one is due, load_receive() takes the answers off the interface. BPF_PROG_RUN gives frames
 * without end, because each of its calls takes milliseconds to begin and to end. */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#include "base/shared_word.h"
#include "load/xdp_shared.h"
#include "wire/layout.h"

#define NONCE_BITS 8
#define ETHERNET_BYTES 14
#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define UDP_BYTES 8
#define UDP 17
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd

#define ALWAYS static inline __attribute__((always_inline))

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 256);
    __type(key, uint32_t);
    __type(value, struct load_xdp_slot);
} slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, LOAD_XDP_TIMES *HDR_HISTOGRAM_BUCKETS);
    __type(key, uint32_t);
    __type(value, uint64_t);
} buckets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, LOAD_XDP_TIMES);
    __type(key, uint32_t);
    __type(value, struct load_xdp_extremes);
} extremes SEC(".maps");

const volatile struct load_xdp_settings settings = {};

/* By the loader before anything is sent. */
uint64_t frame[LOAD_XDP_FRAME_BYTES / 8] = {};
uint32_t frame_sum =
    0; /* the sum of what the checksum covers, without ports and payload that change */
uint16_t ports[LOAD_XDP_FLOWS] = {};
uint64_t is_ours[65536 / 64] = {}; /* a bit for each port */

/* An open loop: when the next pings are due. */
int64_t due_ns[LOAD_XDP_AHEAD] = {};

struct load_xdp_control control = {};

/* Ethernet addresses of the first answer, both in its order; once they are learned. */
uint8_t learned[12] = {};
uint32_t learning = 0;

/* The sender's own. */
uint32_t flow = 0;
uint32_t flow_sent = 0;
uint32_t burst_left = 0;
int64_t idle_since_ns = 0; /* 0: it has sent since */

struct load_xdp_counts counts = {};

ALWAYS void count(uint64_t *counter)
{
    __sync_fetch_and_add(counter, 1);
}

ALWAYS void record(uint32_t which, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    uint32_t key = which * HDR_HISTOGRAM_BUCKETS + hdr_histogram_bucket(value);
    uint64_t *bucket = bpf_map_lookup_elem(&buckets, &key);
    struct load_xdp_extremes *extreme = bpf_map_lookup_elem(&extremes, &which);
    if (bucket == NULL || extreme == NULL)
        return;
    ++*bucket;
    if (extreme->min_plus_1 == 0 || value < extreme->min_plus_1 - 1)
        extreme->min_plus_1 = value + 1;
    if (value > extreme->max)
        extreme->max = value;
    extreme->sum += value;
}

ALWAYS uint16_t load16(const uint8_t *at)
{
    return bpf_ntohs(*(const uint16_t *)(const void *)at);
}

/* Everything, because a frame that comes back from a peer has whatever the peer made of it. */
ALWAYS void write_frame(uint8_t *out)
{
    uint64_t *words = (void *)out;
    for (int i = 0; i < 7; i++)
        words[i] = frame[i];
    if (!settings.is_ipv6) {
        *(uint32_t *)(words + 7) = (uint32_t)frame[7];
        return;
    }
    words[7] = frame[7];
    words[8] = frame[8];
    *(uint32_t *)(words + 9) = (uint32_t)frame[9];
    *(uint16_t *)(out + 76) = (uint16_t)(frame[9] >> 32);
    out[78] = (uint8_t)(frame[9] >> 48);
}

/* The nonce is the first byte of a 16-bit word, the timestamp begins in its second. */
ALWAYS uint16_t checksum(uint32_t port, uint8_t nonce, uint64_t stamp)
{
    uint32_t sum = frame_sum + port;
    sum += (uint32_t)nonce << 8 | (uint32_t)(stamp >> 56);
    sum += (uint32_t)(stamp >> 40) & 0xffff;
    sum += (uint32_t)(stamp >> 24) & 0xffff;
    sum += (uint32_t)(stamp >> 8) & 0xffff;
    sum += ((uint32_t)stamp & 0xff) << 8;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return sum == 0xffff ? 0xffff : (uint16_t)~sum;
}

ALWAYS void write_ping(uint8_t *udp, uint32_t port, uint8_t nonce, uint64_t stamp)
{
    *(uint16_t *)(void *)udp = bpf_htons((uint16_t)port);
    *(uint16_t *)(void *)(udp + 6) = bpf_htons(checksum(port, nonce, stamp));
    udp[UDP_BYTES + LAYOUT_NONCE_OFFSET] = nonce;
    *(uint64_t *)(void *)(udp + UDP_BYTES + LAYOUT_CLIENT_OFFSET) = bpf_cpu_to_be64(stamp);
}

ALWAYS uint32_t next_port(void)
{
    uint32_t port = ports[flow & (LOAD_XDP_FLOWS - 1)];
    if (++flow_sent >= settings.burst) {
        flow_sent = 0;
        flow = flow + 1 < settings.flows ? flow + 1 : 0;
    }
    return port;
}

/* What the sender waits for takes longer than this only where something else runs in between. */
#define IDLE_STEP_NS 1000

ALWAYS void note_idle(int64_t now_ns)
{
    int64_t step_ns = now_ns - idle_since_ns;
    if (idle_since_ns != 0 && step_ns < IDLE_STEP_NS)
        counts.idle_ns += (uint64_t)step_ns;
    idle_since_ns = now_ns;
}

/* A closed loop sends whole bursts, or all that may be in flight. */
ALWAYS bool is_room(void)
{
    if (burst_left > 0)
        return true;
    uint64_t ended = counts.overrun + *(volatile uint64_t *)&control.expired +
                     *(volatile uint64_t *)&counts.answered +
                     *(volatile uint64_t *)&counts.late_first;
    if (counts.sent - ended + settings.burst > settings.in_flight)
        return false;
    burst_left = settings.burst;
    return true;
}

/* When the next ping is due, or -1 if none may be sent now. */
ALWAYS int64_t next_due(int64_t now_ns)
{
    if (!*(volatile uint32_t *)&control.is_sending)
        return -1;
    if (!settings.is_open_loop)
        return is_room() ? now_ns : -1;
    if (counts.sent == *(volatile uint64_t *)&control.due_count)
        return -1;
    int64_t at_ns = due_ns[counts.sent & (LOAD_XDP_AHEAD - 1)];
    return at_ns <= now_ns ? at_ns : -1;
}

/* Nobody else may credit the slot's last ping from here on. */
ALWAYS void take_slot(struct load_xdp_slot *slot)
{
    uint64_t before = __sync_lock_test_and_set(&slot->word, 0);
    if (before != 0 && (before & (LOAD_XDP_ANSWERED | LOAD_XDP_LOST)) == 0)
        counts.overrun++;
}

SEC("xdp")
int load_send(struct xdp_md *context)
{
    uint8_t *out = (void *)(long)context->data;
    const uint32_t bytes = settings.is_ipv6 ? LOAD_XDP_IPV6_BYTES : LOAD_XDP_IPV4_BYTES;
    uint32_t number = (uint32_t)counts.sent & (settings.slots - 1);
    struct load_xdp_slot *slot = bpf_map_lookup_elem(&slots, &number);
    if (slot == NULL || out + bytes > (uint8_t *)(long)context->data_end)
        return XDP_DROP;
    int64_t now_ns = (int64_t)bpf_ktime_get_ns() + settings.monotonic_offset_ns;
    int64_t at_ns = next_due(now_ns);
    control.is_alive = 1;
    if (at_ns < 0) {
        note_idle(now_ns);
        return XDP_DROP;
    }
    idle_since_ns = 0;
    uint64_t mask = (UINT64_C(1) << settings.stamp_bits) - 1;
    uint64_t stamp = ((uint64_t)(now_ns + settings.epoch_ns) & ~mask) | (number & mask);
    take_slot(slot);
    slot->due_ns = at_ns;
    slot->sent_ns = now_ns;
    slot->port = next_port();
    *(volatile uint64_t *)&slot->word = stamp;
    if (settings.is_open_loop)
        record(LOAD_XDP_LAG, now_ns - at_ns);
    else
        burst_left--;
    write_frame(out);
    write_ping(out + ETHERNET_BYTES + (settings.is_ipv6 ? IPV6_BYTES : IPV4_BYTES), slot->port,
               (uint8_t)(number >> settings.stamp_bits), stamp);
    counts.sent++;
    return XDP_TX;
}

ALWAYS bool is_address(const uint8_t *at, const volatile uint8_t *address, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        if (at[i] != address[i])
            return false;
    return true;
}

/* Whether a packet is UDP in IPv4, whole and without options, from the target to this host. */
ALWAYS bool is_ipv4_for_us(const uint8_t *ip)
{
    return ip[0] == 0x45 && (load16(ip + 6) & 0x3fff) == 0 && ip[9] == UDP &&
           is_address(ip + 12, settings.target, 4) && is_address(ip + 16, settings.own, 4);
}

ALWAYS bool is_ipv6_for_us(const uint8_t *ip)
{
    return ip[0] >> 4 == 6 && ip[6] == UDP && is_address(ip + 8, settings.target, 16) &&
           is_address(ip + 24, settings.own, 16);
}

/* The UDP header of a datagram from the target to one of the flows; NULL: something else's. */
ALWAYS uint8_t *find_udp(uint8_t *data, const uint8_t *end)
{
    const uint32_t ip_bytes = settings.is_ipv6 ? IPV6_BYTES : IPV4_BYTES;
    const uint16_t type = settings.is_ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
    uint8_t *ip = data + ETHERNET_BYTES;
    uint8_t *udp = ip + ip_bytes;
    if (udp + UDP_BYTES > end || load16(data + 12) != type)
        return NULL;
    if (settings.is_ipv6 ? !is_ipv6_for_us(ip) : !is_ipv4_for_us(ip))
        return NULL;
    uint64_t port = shared_word_16(load16(udp + 2));
    if (load16(udp) != settings.target_port || !(is_ours[port / 64] >> port % 64 & 1))
        return NULL;
    return udp;
}

/* An answer that did not get the slot's word from what it should be. */
ALWAYS void count_other(uint64_t found, uint64_t stamp)
{
    count(found == (stamp | LOAD_XDP_ANSWERED) ? &counts.duplicates : &counts.foreign);
}

ALWAYS void credit_lost(struct load_xdp_slot *slot, uint64_t stamp)
{
    uint64_t lost = stamp | LOAD_XDP_LOST;
    uint64_t found = __sync_val_compare_and_swap(&slot->word, lost, stamp | LOAD_XDP_ANSWERED);
    if (found == lost)
        count(&counts.late);
    else
        count_other(found, stamp);
}

ALWAYS void credit_sent(int64_t now_ns, int64_t at_ns, int64_t sent_ns)
{
    if (now_ns - sent_ns >= settings.timeout_ns) {
        count(&counts.late);
        count(&counts.late_first);
        return;
    }
    record(LOAD_XDP_ROUND_TRIP, now_ns - sent_ns);
    if (settings.is_open_loop)
        record(LOAD_XDP_LATENCY, now_ns - at_ns);
    count(&counts.answered);
}

/* The slot's times are read before it is credited: afterwards they may be those of a newer ping. */
ALWAYS void credit(struct load_xdp_slot *slot, uint64_t stamp)
{
    int64_t now_ns = (int64_t)bpf_ktime_get_ns() + settings.monotonic_offset_ns;
    int64_t at_ns = slot->due_ns;
    int64_t sent_ns = slot->sent_ns;
    uint64_t found = __sync_val_compare_and_swap(&slot->word, stamp, stamp | LOAD_XDP_ANSWERED);
    if (found == stamp)
        credit_sent(now_ns, at_ns, sent_ns);
    else
        credit_lost(slot, stamp);
}

/* A timestamp with one of the slot's own bits would be a word that no ping has. */
ALWAYS void take_pong(const uint8_t *udp)
{
    const uint8_t *pong = udp + UDP_BYTES;
    uint64_t stamp = bpf_be64_to_cpu(*(const uint64_t *)(const void *)(pong + 9));
    uint32_t number = (uint32_t)pong[8] << settings.stamp_bits |
                      ((uint32_t)stamp & ((1U << settings.stamp_bits) - 1));
    struct load_xdp_slot *slot = bpf_map_lookup_elem(&slots, &number);
    bool is_possible = stamp != 0 && (stamp & (LOAD_XDP_ANSWERED | LOAD_XDP_LOST)) == 0;
    if (slot == NULL || !is_possible || slot->port != load16(udp + 2))
        count(&counts.foreign);
    else
        credit(slot, stamp);
}

ALWAYS void learn(const uint8_t *data)
{
    for (uint32_t i = 0; i < sizeof learned; i++)
        learned[i] = data[i];
    learning = 0;
}

SEC("xdp")
int load_receive(struct xdp_md *context)
{
    uint8_t *data = (void *)(long)context->data;
    const uint8_t *end = (void *)(long)context->data_end;
    const uint8_t *udp = find_udp(data, end);
    if (udp == NULL)
        return XDP_PASS;
    if (learning) {
        learn(data);
        return XDP_PASS;
    }
    const uint8_t *pong = udp + UDP_BYTES;
    if (load16(udp + 4) != UDP_BYTES + QCMP_PONG_BYTES || pong + QCMP_PONG_BYTES > end ||
        *(const uint64_t *)(const void *)pong !=
            bpf_cpu_to_be64(LAYOUT_HEADER(LAYOUT_PONG, LAYOUT_PONG_LENGTH)))
        count(&counts.foreign);
    else
        take_pong(udp);
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "Apache-2.0";

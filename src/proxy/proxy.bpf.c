/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's part of the fast path: carries datagrams of established sessions, and drops those
 * that are over a limit. All others it leaves as they are and passes on: the sockets decide about
 * them, and count them. */
#include "fastpath/checksum.bpf.h"
#include "fastpath/departure.bpf.h"
#include "proxy/shared.h"

/* Ethernet, a tag, IPv6. */
#define MAX_UDP_AT 127

/* The longest datagram that fits a frame which is not in pieces; more is the sockets'. */
#define MAX_UDP_BYTES 4095

#define TAG_MASK ((UINT32_C(1) << FASTPATH_TAG_BITS) - 1)

struct proxy_fast_settings settings;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); /* set before it is loaded, as in the next ones */
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct proxy_fast_bucket);
} directory SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct proxy_fast_slot);
} slots SEC(".maps");

/* By slot. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct proxy_fast_limit);
} limits SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, uint32_t);
    __type(value, struct proxy_fast_counters);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_DEVMAP);
    __uint(max_entries, PROXY_FAST_DOORS);
    __type(key, uint32_t);
    __type(value, uint32_t);
} doors SEC(".maps");

/* One way through a session. */
struct way {
    struct proxy_fast_slot *slot;
    struct proxy_fast_end *in, *out;
    struct proxy_fast_count *count;
    uint64_t link;                  /* that of the end where it leaves */
    uint64_t now_ns;                /* the coarse clock */
    struct proxy_fast_limit *limit; /* what the player may send; NULL: anything */
    struct rate_moment moment;      /* by the limit */
    uint32_t index;                 /* the slot's place in its map */
    uint32_t end;                   /* 0: read, 1: write */
    uint32_t token_bytes;           /* that are cut off */
    bool cuts_front;
    bool stays; /* on this interface, and the UDP header where it is */
};

/* A session, and one of its ends. */
struct place {
    struct proxy_fast_slot *slot;
    uint32_t index; /* of the slot */
    uint32_t end;
};

/* The end of a session to which datagrams between a peer and an own port seem to belong. */
ALWAYS_INLINE bool find_place(const uint32_t peer[4], uint16_t peer_port, uint16_t own_port,
                              struct place *place)
{
    uint64_t hash = proxy_fast_hash(&settings, peer, peer_port, own_port);
    uint32_t index = (uint32_t)(hash & settings.mask), found = 0;
    struct proxy_fast_bucket *bucket = bpf_map_lookup_elem(&directory, &index);

    if (bucket == NULL)
        return false;
#pragma unroll
    for (int i = 0; i < PROXY_FAST_ENTRIES; i++) {
        uint64_t entry = bucket->entries[i];
        if (entry >> 32 == hash >> 32)
            found = (uint32_t)entry;
    }
    if (found == 0)
        return false;
    place->end = (found - 1) & 1;
    place->index = (found - 1) >> 1;
    place->slot = bpf_map_lookup_elem(&slots, &place->index);
    return place->slot != NULL;
}

/* The session of which a datagram seems to be one, and at which end it came in. */
ALWAYS_INLINE bool find_way(const struct fastpath_datagram *datagram, struct way *way)
{
    struct place place = {0};

    if (!find_place(datagram->source, datagram->source_port, datagram->port, &place))
        return false;
    way->slot = place.slot;
    way->index = place.index;
    way->end = place.end;
    /* Not by an index that is computed: constants are what the compiler of clang 14 can follow. */
    bool is_write = way->end != 0;
    way->in = is_write ? &way->slot->ends[1] : &way->slot->ends[0];
    way->out = is_write ? &way->slot->ends[0] : &way->slot->ends[1];
    way->count = is_write ? &way->slot->counts[1] : &way->slot->counts[0];
    return true;
}

ALWAYS_INLINE bool is_end(const struct proxy_fast_end *end, const uint32_t peer[4],
                          const uint32_t own[4], uint32_t ports)
{
    uint32_t differs = (end->peer_port | (uint32_t)end->own_port << 16) ^ ports;

#pragma unroll
    for (int i = 0; i < 4; i++)
        differs |= (end->peer[i] ^ peer[i]) | (end->own[i] ^ own[i]);
    return differs == 0;
}

/* Whether the session of a way is in force, and has the datagram's ends. */
ALWAYS_INLINE bool is_its_way(const struct fastpath_datagram *datagram, const struct way *way)
{
    uint64_t version = *(volatile uint64_t *)&settings.version;

    return version != 0 && *(volatile uint64_t *)&way->slot->version == version &&
           is_end(way->in, datagram->source, datagram->destination.address,
                  datagram->source_port | (uint32_t)datagram->port << 16);
}

ALWAYS_INLINE uint32_t tag_of(uint64_t link)
{
    return (uint32_t)(link >> PROXY_FAST_MAC_BITS) & TAG_MASK;
}

ALWAYS_INLINE const struct fastpath_door *door_of(uint64_t link)
{
    return &settings.doors[link >> PROXY_FAST_DOOR_SHIFT];
}

/* Whether the kernel takes the datagram only by the interface by which its sender is answered. */
ALWAYS_INLINE bool is_strict(const struct fastpath_cpu *own)
{
    return (own->interface & FASTPATH_IS_STRICT) != 0 && part_is_ipv4(&own->datagram);
}

/* Whether the kernel would drop the datagram, as it came by another interface. It decides itself: a
 * sender may be answered by several. */
ALWAYS_INLINE bool is_astray(const struct fastpath_cpu *own, const struct way *way)
{
    uint64_t link = *(volatile uint64_t *)&way->in->link;

    return is_strict(own) && link != 0 &&
           (link >> PROXY_FAST_DOOR_SHIFT != own->interface >> FASTPATH_NUMBER_SHIFT ||
            tag_of(link) != own->datagram.destination.tags);
}

/* Whether the kernel sends packets as long as this one in one piece: it has, or no way through the
 * network takes shorter ones only. */
ALWAYS_INLINE bool fits(const struct fastpath_datagram *datagram, const struct way *way,
                        uint32_t ip_bytes)
{
    uint16_t longest = way->end != 0 ? way->slot->longest[0] : way->slot->longest[1];
    uint32_t shortest_mtu = part_is_ipv4(datagram) ? PROXY_FAST_IPV4_MTU : PROXY_FAST_IPV6_MTU;

    return ip_bytes <= longest || (ip_bytes <= shortest_mtu && ip_bytes <= door_of(way->link)->mtu);
}

/* Closes a direction in which nothing can be carried for now, and so nothing be overtaken. */
ALWAYS_INLINE bool close_gate(const struct way *way)
{
    way->count->gate = PROXY_FAST_UNFIT;
    return false;
}

/* Whether it is known where the kernel sends a datagram, and that it would take it. From time to
 * time one goes to the sockets, so that the kernel shows it again, and sees that the neighbour is
 * used. */
ALWAYS_INLINE bool is_told(const struct fastpath_cpu *own, struct way *way)
{
    const struct fastpath_datagram *datagram = &own->datagram;
    struct proxy_fast_end *out = way->out;
    uint16_t now = (uint16_t)(way->now_ns >> PROXY_FAST_TOLD_SHIFT);
    uint16_t age = (uint16_t)(now - *(volatile uint16_t *)&out->told);
    uint32_t ip_bytes = part_ip_bytes(datagram) + datagram->udp_bytes - way->token_bytes;

    way->link = *(volatile uint64_t *)&out->link;
    if (way->link == 0 || (is_strict(own) && *(volatile uint64_t *)&way->in->link == 0))
        return close_gate(way);
    if (!fits(datagram, way, ip_bytes))
        return false;
    if (age >= PROXY_FAST_TOLD_ASKED)
        return age < PROXY_FAST_TOLD_ASKED + PROXY_FAST_TOLD_GRACE || close_gate(way);
    if (age < PROXY_FAST_TOLD_KEPT)
        return true;
    out->told = (uint16_t)(now - PROXY_FAST_TOLD_ASKED);
    return false;
}

/* Whether a datagram is the sockets', where somebody looks at what they do. */
ALWAYS_INLINE bool is_sample(void)
{
    return settings.is_sampled && bpf_get_prandom_u32() % PROXY_FAST_SAMPLE == 0;
}

/* Whether the datagram has the token of its session, which a player's must. Notes what to cut. */
ALWAYS_INLINE bool read_token(struct xdp_md *context, const struct fastpath_datagram *datagram,
                              struct way *way)
{
    void *end = (void *)(uintptr_t)context->data_end;
    const struct proxy_fast_slot *slot = way->slot;
    uint32_t bytes = slot->token_bytes, at = sizeof(struct udphdr);

    if (way->end != 0 || bytes == 0)
        return true;
    if (bytes > PROXY_FAST_TOKEN_BYTES || datagram->udp_bytes < sizeof(struct udphdr) + bytes)
        return false;
    if (slot->is_suffix)
        at = datagram->udp_bytes - bytes;
    at += datagram->udp_at;
    at = (uint32_t)shared_word_opaque(at);
    if (at > MAX_UDP_AT + MAX_UDP_BYTES)
        return false;
    const uint8_t *data = (void *)(uintptr_t)context->data + at;
    for (uint32_t i = 0; i < PROXY_FAST_TOKEN_BYTES; i++) {
        if (i >= bytes)
            break;
        if ((void *)(data + i + 1) > end || data[i] != slot->token[i])
            return false;
    }
    way->token_bytes = slot->is_removed ? bytes : 0;
    way->cuts_front = !slot->is_suffix;
    return true;
}

ALWAYS_INLINE uint16_t complement(uint16_t sum)
{
    return (uint16_t)~sum;
}

/* What stands for a checksum that the sender left to its interface. */
ALWAYS_INLINE uint16_t partial_checksum(const struct proxy_fast_end *end, uint16_t bytes)
{
    return part_fold((uint64_t)end->sum + complement(end->peer_port) + complement(end->own_port) +
                     bytes);
}

/* The checksum of a datagram that leaves, from the sum of its payload. */
ALWAYS_INLINE uint16_t whole_checksum(const struct way *way, uint64_t sum, uint16_t bytes)
{
    uint16_t checksum = complement(part_fold(sum + way->out->sum + 2 * (uint64_t)bytes));
    return checksum != 0 ? checksum : 0xffff;
}

/* As next_checksum(), of a partial one. Natively nothing but bytes leaves, so that it is computed.
 * In the generic mode it has to stay a partial one, for the same interface to complete where it
 * stood; a whole one that looks like it, which would become wrong, is told by the payload. */
ALWAYS_INLINE uint16_t next_partial_checksum(struct xdp_md *context, const struct fastpath_cpu *own,
                                             struct way *way, uint16_t checksum)
{
    const struct fastpath_datagram *datagram = &own->datagram;
    bool is_generic = (own->interface & FASTPATH_IS_GENERIC) != 0;
    uint32_t cut = is_generic ? 0 : way->token_bytes;
    uint32_t at = datagram->udp_at + (uint32_t)sizeof(struct udphdr) + (way->cuts_front ? cut : 0);
    uint32_t payload_bytes = datagram->udp_bytes - (uint32_t)sizeof(struct udphdr) - cut;
    uint16_t bytes = bpf_htons(datagram->udp_bytes);
    uint16_t next_bytes = bpf_htons((uint16_t)(datagram->udp_bytes - way->token_bytes));

    if ((own->interface & FASTPATH_IS_VETH) == 0)
        return 0;
    way->stays = is_generic;
    uint64_t sum = checksum_sum(context, at, payload_bytes);
    if (!is_generic)
        return whole_checksum(way, sum, next_bytes);
    bool is_whole = part_fold(sum + way->in->sum + 2 * (uint64_t)bytes + checksum) == 0xffff;
    return is_whole ? 0 : partial_checksum(way->out, next_bytes);
}

/* The checksum of the datagram as it leaves, in network order, from the one with which it came:
 * that of the payload is what the headers and the token leave of it. Returns 0 for one of which
 * that cannot be known: there is none, or it looks like a partial one that is not to be completed
 * here. */
ALWAYS_INLINE uint16_t next_checksum(struct xdp_md *context, const struct fastpath_cpu *own,
                                     struct way *way, uint16_t checksum)
{
    const struct fastpath_datagram *datagram = &own->datagram;
    const struct proxy_fast_end *in = way->in;
    uint16_t bytes = bpf_htons(datagram->udp_bytes);
    uint16_t next_bytes = bpf_htons((uint16_t)(datagram->udp_bytes - way->token_bytes));

    if (checksum == 0)
        return 0;
    if (checksum == partial_checksum(in, bytes))
        return next_partial_checksum(context, own, way, checksum);
    uint64_t sum = (uint64_t)complement(checksum) + complement(in->sum) + 2 * complement(bytes);
    if (way->token_bytes > 0) {
        uint16_t token = complement(way->slot->token_sum);
        bool is_odd = !way->cuts_front && ((datagram->udp_bytes - way->token_bytes) & 1) != 0;
        sum += is_odd ? (uint16_t)(token << 8 | token >> 8) : token;
        if (way->cuts_front && (way->token_bytes & 1) != 0) { /* what follows changes places */
            uint16_t rest = part_fold(sum);
            sum = (uint16_t)(rest << 8 | rest >> 8);
        }
    }
    return whole_checksum(way, sum, next_bytes);
}

/* Whether nothing that came before can wait in a socket. */
ALWAYS_INLINE bool is_open(const struct way *way)
{
    uint64_t gate = *(volatile uint64_t *)&way->count->gate;

    if (gate == PROXY_FAST_OPEN)
        return true;
    if ((gate & PROXY_FAST_SETTLED) == 0 || bpf_ktime_get_ns() - gate <= PROXY_FAST_GAP_NS)
        return false;
    way->count->gate = PROXY_FAST_OPEN;
    return true;
}

/* Leaves a datagram to the sockets that cannot be carried. One among others that are carried may be
 * overtaken by them, which is counted; else those that come next wait until it is sent on. */
ALWAYS_INLINE int pass_on(struct proxy_fast_counters *own, const struct way *way)
{
    if (*(volatile uint64_t *)&way->count->gate == PROXY_FAST_OPEN)
        own->left++;
    else
        way->count->gate = (bpf_ktime_get_ns() & ~PROXY_FAST_SETTLED) | PROXY_FAST_UNFIT;
    return XDP_PASS;
}

/* Leaves a datagram to the sockets as long as one before may wait there. */
ALWAYS_INLINE int keep_order(const struct way *way)
{
    way->count->gate = bpf_ktime_get_ns() & ~(PROXY_FAST_SETTLED | PROXY_FAST_UNFIT);
    return XDP_PASS;
}

/* Whether the interface by which the datagram leaves is there, and up. */
ALWAYS_INLINE bool has_door(const struct xdp_md *context, const struct way *way)
{
    uint32_t number = (uint32_t)(way->link >> PROXY_FAST_DOOR_SHIFT);
    const struct fastpath_door *door = door_of(way->link);

    return (door->mtu != 0 && (door->index == context->ingress_ifindex ||
                               bpf_map_lookup_elem(&doors, &number) != NULL)) ||
           close_gate(way);
}

/* What the player may send, if that is limited, and the time by it. Returns whether that is known,
 * which the verifier has to see. */
ALWAYS_INLINE bool find_limit(const struct fastpath_cpu *own, struct way *way)
{
    uint32_t index = way->index;

    if (way->end != 0 || way->slot->is_limited == 0)
        return true;
    way->limit = bpf_map_lookup_elem(&limits, &index);
    if (way->limit == NULL)
        return false;
    way->moment =
        rate_moment_of(&way->limit->law, way->now_ns + (uint64_t)own->monotonic_offset_ns);
    return true;
}

/* Whether the datagram is more than its player may send. It is dropped then, which needs neither an
 * order nor a way. */
ALWAYS_INLINE bool is_over_limit(const struct way *way)
{
    return way->limit != NULL &&
           rate_window_is_over(&way->limit->window, &way->limit->law, &way->moment);
}

/* Takes the datagram from what its player may send. */
ALWAYS_INLINE enum rate_verdict take(const struct way *way)
{
    return way->limit != NULL
               ? rate_window_take(&way->limit->window, &way->limit->law, &way->moment)
               : RATE_PASSES;
}

/* Makes the datagram in memory of the CPU the one that leaves. */
ALWAYS_INLINE void turn(struct fastpath_datagram *datagram, const struct way *way)
{
    uint32_t tag = tag_of(way->link);
    uint32_t is_8021ad = tag & FASTPATH_TAG_IS_8021AD;
    uint32_t type = is_8021ad != 0 ? ETH_P_8021AD : ETH_P_8021Q;

    datagram->peer_mac = way->link & PROXY_FAST_MAC_MASK;
    datagram->own_mac = door_of(way->link)->mac;
    datagram->tags_count = tag != 0;
    datagram->raw_tags[0] =
        (uint32_t)bpf_htons((uint16_t)(tag ^ is_8021ad)) << 16 | bpf_htons((uint16_t)type);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        datagram->destination.address[i] = way->out->own[i];
        datagram->source[i] = way->out->peer[i];
    }
    datagram->port = way->out->own_port;
    datagram->source_port = way->out->peer_port;
    datagram->udp_bytes = (uint16_t)(datagram->udp_bytes - way->token_bytes);
    /* Players' datagrams end in a ring of proxies, as they do with sockets. */
    bool is_aged = way->end == 0 && datagram->hops <= PART_HOP_LIMIT;
    datagram->hops = is_aged ? (uint8_t)(datagram->hops - 1) : PART_HOP_LIMIT;
    datagram->traffic = settings.keeps_traffic ? datagram->traffic : 0;
}

/* Cuts the frame to what leaves. Returns whether that was possible. */
ALWAYS_INLINE bool resize(struct xdp_md *context, const struct way *way, int32_t front,
                          uint32_t frame_bytes, uint32_t used_bytes)
{
    uint32_t back = frame_bytes - used_bytes + (way->cuts_front ? 0 : way->token_bytes);

    if (front != 0 && bpf_xdp_adjust_head(context, front) != 0)
        return false;
    return way->token_bytes == 0 || back == 0 || bpf_xdp_adjust_tail(context, -(int32_t)back) == 0;
}

ALWAYS_INLINE bool write_frame(struct xdp_md *context, const struct fastpath_datagram *datagram,
                               uint16_t checksum)
{
    void *end = (void *)(uintptr_t)context->data_end;
    void *at = (void *)(uintptr_t)context->data;
    const struct part_hops hops = {datagram->hops, datagram->traffic};

    if (!part_write_ethernet(&at, end, datagram))
        return false;
    if (part_is_ipv4(datagram) ? !part_write_ipv4(&at, end, datagram, datagram->udp_bytes, hops)
                               : !part_write_ipv6(&at, end, datagram, datagram->udp_bytes, hops))
        return false;
    struct udphdr *udp = at;
    if (at + sizeof *udp > end)
        return false;
    udp->source = datagram->port;
    udp->dest = datagram->source_port;
    udp->len = bpf_htons(datagram->udp_bytes);
    udp->check = checksum;
    return true;
}

ALWAYS_INLINE void count(struct proxy_fast_counters *own, const struct way *way, uint32_t bytes)
{
    struct proxy_fast_count *count = way->count;

    own->packets[way->end & 1]++;
    own->bytes[way->end & 1] += bytes;
    count->last_ns = (int64_t)way->now_ns;
    __sync_fetch_and_add(&count->packets, 1); /* the next frame may come to another CPU */
    __sync_fetch_and_add(&count->bytes, bytes);
}

/* Sends the frame where its link says, and counts it. */
ALWAYS_INLINE int leave(const struct xdp_md *context, const struct way *way,
                        struct fastpath_cpu *own)
{
    if (door_of(way->link)->index == context->ingress_ifindex)
        return part_transmit(own);
    int verdict = (int)bpf_redirect_map(&doors, (uint32_t)(way->link >> PROXY_FAST_DOOR_SHIFT), 0);
    own->transmitted++;
    if (verdict != XDP_REDIRECT) /* it has gone since has_door() */
        own->lost++;
    else
        own->leaving += (own->interface & FASTPATH_IS_GENERIC) == 0;
    return verdict;
}

SEC("xdp")
int paddock_proxy(struct xdp_md *context)
{
    struct way way = {0};
    uint32_t cpu = bpf_get_smp_processor_id();
    struct fastpath_cpu *own = part_cpu(cpu);
    struct proxy_fast_counters *counted = bpf_map_lookup_elem(&counters, &cpu);

    if (own == NULL || counted == NULL)
        return XDP_PASS;
    struct fastpath_datagram *datagram = &own->datagram;
    if (!find_way(datagram, &way) || !is_its_way(datagram, &way) || is_astray(own, &way))
        return XDP_PASS;
    if (is_sample() || datagram->tags_count > 1 || datagram->hops <= 1 ||
        datagram->udp_bytes > MAX_UDP_BYTES)
        return pass_on(counted, &way);
    if (!read_token(context, datagram, &way)) /* it is another session's */
        return XDP_PASS;
    way.now_ns = bpf_ktime_get_coarse_ns();
    if (!find_limit(own, &way))
        return pass_on(counted, &way);
    if (is_over_limit(&way)) {
        counted->over_limit++;
        return XDP_DROP;
    }

    void *end = (void *)(uintptr_t)context->data_end;
    void *start = (void *)(uintptr_t)context->data;
    void *at = start + (datagram->udp_at & MAX_UDP_AT);
    if (at + sizeof(struct udphdr) > end)
        return XDP_PASS;
    uint16_t checksum = next_checksum(context, own, &way, ((struct udphdr *)at)->check);
    if (checksum == 0 || !is_told(own, &way) || !has_door(context, &way))
        return pass_on(counted, &way);

    uint32_t frame_bytes = (uint32_t)shared_word_opaque((uint64_t)(end - start));
    uint32_t used_bytes = datagram->udp_at + datagram->udp_bytes;
    int32_t tags = (int32_t)datagram->tags_count - (tag_of(way.link) != 0);
    int32_t front = PART_TAG_BYTES * tags + (way.cuts_front ? (int32_t)way.token_bytes : 0);
    bool is_here = door_of(way.link)->index == context->ingress_ifindex;
    if (way.stays && (front != 0 || !is_here))
        return pass_on(counted, &way);
    /* The last, as it opens the direction: where none can be carried, none is overtaken. */
    if (!is_open(&way))
        return keep_order(&way);
    /* Room is made before the datagram is counted against a limit, as it may not be had. */
    if (front < 0 && bpf_xdp_adjust_head(context, front) != 0)
        return pass_on(counted, &way);
    enum rate_verdict verdict = take(&way);
    if (verdict == RATE_OVER) {
        counted->over_limit++;
        return XDP_DROP;
    }
    if (verdict != RATE_PASSES) {
        if (front < 0)
            bpf_xdp_adjust_head(context, -front);
        return pass_on(counted, &way);
    }
    turn(datagram, &way);
    /* Neither fails: fewer bytes always fit, and there was room for as many. */
    if (!resize(context, &way, front > 0 ? front : 0, frame_bytes, used_bytes) ||
        !write_frame(context, datagram, checksum))
        return XDP_ABORTED;
    count(counted, &way, datagram->udp_bytes - (uint32_t)sizeof(struct udphdr));
    return leave(context, &way, own);
}

/* Counts a frame that has no place in the other interface's queue: of the tracepoint's arguments
 * the sixth is the map by which it was to leave. */
SEC("raw_tracepoint/xdp_redirect_err")
int paddock_loss(const struct bpf_raw_tracepoint_args *loss)
{
    struct fastpath_cpu *own = part_cpu(bpf_get_smp_processor_id());

    if (own != NULL && (uint32_t)loss->args[5] == settings.doors_id) {
        own->lost++;
        own->leaving -= own->leaving > 0;
    }
    return 0;
}

/* Counts what the other interface's driver has not taken: of the tracepoint's arguments the third
 * and fourth are how many frames it has, and has not. They are of leave() where any wait, as they
 * leave before this CPU runs a program of another interface. */
SEC("raw_tracepoint/xdp_devmap_xmit")
int paddock_handed(const struct bpf_raw_tracepoint_args *handed)
{
    struct fastpath_cpu *own = part_cpu(bpf_get_smp_processor_id());

    if (own == NULL)
        return 0;
    uint64_t lost = (uint32_t)handed->args[3], all = (uint32_t)handed->args[2] + lost;
    own->lost += lost < own->leaving ? lost : own->leaving;
    own->leaving -= all < own->leaving ? all : own->leaving;
    return 0;
}

/* Which of the doors a datagram leaves by; 0: none, or in another interface's name. */
ALWAYS_INLINE uint64_t find_door(uint32_t interface, uint64_t mac)
{
    uint64_t door = 0;

#pragma unroll
    for (uint32_t i = 1; i < PROXY_FAST_DOORS; i++) {
        if (settings.doors[i].index == interface && settings.doors[i].mac == mac)
            door = i;
    }
    return door;
}

/* Notes where the kernel sends what workers send for a session. */
SEC("socket")
int paddock_departure(struct __sk_buff *frame)
{
    struct departure departure = {0};
    struct place place = {0};

    if (settings.version == 0 || !departure_read(frame, &departure))
        return 0;
    uint64_t door = find_door(frame->ifindex, departure.from_mac);
    if (door == 0 || !find_place(departure.peer, (uint16_t)departure.ports,
                                 (uint16_t)(departure.ports >> 16), &place))
        return 0;
    uint64_t link = departure.to_mac | (uint64_t)departure.tag << PROXY_FAST_MAC_BITS |
                    door << PROXY_FAST_DOOR_SHIFT;
    bool is_server = place.end != 0;
    struct proxy_fast_end *end = is_server ? &place.slot->ends[1] : &place.slot->ends[0];
    uint16_t *longest = is_server ? &place.slot->longest[1] : &place.slot->longest[0];
    if (!is_end(end, departure.peer, departure.own, departure.ports))
        return 0;
    uint16_t now = (uint16_t)(bpf_ktime_get_coarse_ns() >> PROXY_FAST_TOLD_SHIFT);
    bool is_known = end->link == link && (uint16_t)(now - end->told) < PROXY_FAST_TOLD_KEPT;
    if (!is_known || *longest < departure.ip_bytes)
        *longest = departure.ip_bytes;
    if (!is_known) {
        *(volatile uint64_t *)&end->link = link;
        end->told = now;
    }
    return 0;
}

/* Leaves long datagrams of a session to the sockets, by the word of a router, until they have sent
 * one in one piece. Once: the process is told, for other sessions with the same peer. */
SEC("socket")
int paddock_narrowing(struct __sk_buff *frame)
{
    struct departure refused = {0};
    struct place place = {0};

    if (!departure_read_refused(frame, &refused) ||
        !find_place(refused.peer, (uint16_t)refused.ports, (uint16_t)(refused.ports >> 16), &place))
        return 0;
    bool is_server = place.end != 0;
    const struct proxy_fast_end *end = is_server ? &place.slot->ends[1] : &place.slot->ends[0];
    uint16_t *longest = is_server ? &place.slot->longest[1] : &place.slot->longest[0];
    if (*longest == 0 || !is_end(end, refused.peer, refused.own, refused.ports))
        return 0;
    *longest = 0;
    return (int)frame->len;
}

char LICENSE[] SEC("license") = "Apache-2.0";

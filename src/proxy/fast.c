/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/fast.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/shared_word.h"
#include "fastpath/maps.h"
#include "net/address.h"
#include "proxy/shared.h"

#include "proxy.skel.h"

#define SECOND_NS INT64_C(1000000000)

/* Entries of the directory for each slot, of which two are used: so few buckets are ever full. */
#define ENTRIES_A_SLOT 8

/* Slots beyond the sessions that there may be: for those that were withdrawn a moment ago. */
#define SPARE_SLOTS 256

/* A slot that was withdrawn, and when. */
struct freed {
    uint32_t slot;
    int64_t since_ns;
};

struct proxy_lane {
    struct proxy_fast *fast;
    struct freed *freed; /* a ring; the one that is free the longest first */
    uint32_t capacity, first, count;
    uint64_t version, carried; /* the sessions under that version; read by others */
};

struct proxy_fast {
    struct fastpath *fastpath;
    struct proxy_bpf *program;
    struct proxy_fast_counters *counters; /* mapped, as the next ones */
    struct proxy_fast_slot *slots;
    struct proxy_fast_limit *limits; /* by slot */
    struct proxy_fast_bucket *directory;
    unsigned cpus, workers;
    uint32_t slots_count, buckets;
    uint64_t number; /* of the last version */
    struct proxy_lane *lanes;
};

static struct proxy_fast_settings *settings_of(const struct proxy_fast *fast)
{
    return &fast->program->bss->settings;
}

static void size_up(struct proxy_fast *fast, const struct proxy_fast_options *options)
{
    uint64_t most = PROXY_FAST_MAX_SESSIONS / options->workers;
    uint64_t sessions = options->max_sessions < most ? options->max_sessions : most;
    uint64_t a_worker = sessions + sessions / 4 + SPARE_SLOTS;
    uint32_t buckets = 1;

    fast->workers = options->workers;
    fast->slots_count = (uint32_t)(a_worker * options->workers);
    while ((uint64_t)buckets * PROXY_FAST_ENTRIES < (uint64_t)fast->slots_count * ENTRIES_A_SLOT)
        buckets *= 2;
    fast->buckets = buckets;
}

static int make_lanes(struct proxy_fast *fast)
{
    uint32_t count = fast->slots_count / fast->workers;
    fast->lanes = calloc(fast->workers, sizeof *fast->lanes);
    if (fast->lanes == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < fast->workers; i++) {
        struct freed *freed = calloc(count, sizeof *freed);
        if (freed == NULL)
            return -ENOMEM;
        for (uint32_t j = 0; j < count; j++)
            freed[j] = (struct freed){.slot = i * count + j, .since_ns = INT64_MIN / 2};
        fast->lanes[i] =
            (struct proxy_lane){.fast = fast, .freed = freed, .capacity = count, .count = count};
    }
    return 0;
}

static void follow_doors(struct proxy_fast *fast)
{
    struct proxy_fast_settings *settings = settings_of(fast);
    struct fastpath_door doors[FASTPATH_MAX_INTERFACES];
    unsigned count = fastpath_doors(fast->fastpath, doors);
    for (unsigned i = 0; i < count; i++) {
        __atomic_store_n(&settings->doors[i + 1].mac, doors[i].mac, __ATOMIC_RELAXED);
        __atomic_store_n(&settings->doors[i + 1].mtu, doors[i].mtu, __ATOMIC_RELAXED);
        __atomic_store_n(&settings->doors[i + 1].index, doors[i].index, __ATOMIC_RELAXED);
    }
}

/* Has the kernel asked again where frames go. What it has not told for a while, asked or not, is
 * not known any more: the time of it would look new one day. */
static void ask_again(struct proxy_fast_end *end, uint16_t now)
{
    uint16_t age = (uint16_t)(now - __atomic_load_n(&end->told, __ATOMIC_RELAXED));
    if (age < PROXY_FAST_TOLD_KEPT)
        __atomic_store_n(&end->told, (uint16_t)(now - PROXY_FAST_TOLD_KEPT), __ATOMIC_RELAXED);
    else if ((uint16_t)(age - PROXY_FAST_TOLD_ASKED) >= PROXY_FAST_TOLD_GRACE)
        __atomic_store_n(&end->link, 0, __ATOMIC_RELAXED);
}

static bool is_rerouted(const struct fastpath_reroute *reroute, uint64_t link)
{
    bool is_one = reroute->is_all;
    for (unsigned i = 0; i < reroute->count && !is_one; i++)
        is_one = reroute->macs[i] == (link & PROXY_FAST_MAC_MASK);
    return is_one;
}

static bool is_narrower(const struct fastpath_reroute *reroute, const struct proxy_fast_end *end)
{
    bool is_one = reroute->narrower_count > FASTPATH_REROUTED_NEIGHBOURS;
    for (unsigned i = 0; i < reroute->narrower_count && !is_one; i++)
        is_one = memcmp(&reroute->narrower[i], end->peer, sizeof end->peer) == 0;
    return is_one;
}

static void reroute(const struct fastpath_reroute *reroute, void *user)
{
    struct proxy_fast *fast = user;
    int64_t now_ns = clock_coarse_ns() - fastpath_monotonic_offset_ns(fast->fastpath);

    follow_doors(fast);
    for (uint32_t i = 0; i < fast->slots_count; i++) {
        for (unsigned j = 0; j < 2; j++) {
            struct proxy_fast_end *end = &fast->slots[i].ends[j];
            uint64_t link = __atomic_load_n(&end->link, __ATOMIC_RELAXED);
            if (link != 0 && is_rerouted(reroute, link))
                ask_again(end, (uint16_t)(now_ns >> PROXY_FAST_TOLD_SHIFT));
            if (is_narrower(reroute, end))
                __atomic_store_n(&fast->slots[i].longest[j], 0, __ATOMIC_RELAXED);
        }
    }
}

/* Lets frames leave by the doors, and what is lost there be counted. That is also what leaves by a
 * bond where it is the only one: its frames come in at the interfaces below it. */
static int open_doors(const struct proxy_fast *fast)
{
    struct proxy_fast_settings *settings = settings_of(fast);
    struct proxy_bpf *program = fast->program;
    struct bpf_map_info info = {0};
    uint32_t bytes = sizeof info;
    int fd = bpf_map__fd(program->maps.doors);
    int code = bpf_obj_get_info_by_fd(fd, &info, &bytes);

    settings->doors_id = info.id;
    for (uint32_t i = 1; i < PROXY_FAST_DOORS && settings->doors[i].index != 0 && code == 0; i++)
        code = bpf_map_update_elem(fd, &i, &settings->doors[i].index, BPF_ANY);
    if (code != 0)
        return code;
    program->links.paddock_loss = bpf_program__attach(program->progs.paddock_loss);
    if (program->links.paddock_loss != NULL)
        program->links.paddock_handed = bpf_program__attach(program->progs.paddock_handed);
    return program->links.paddock_handed != NULL ? 0 : -errno;
}

/* What was made when a step fails, proxy_fast_close() releases. */
static int load(struct proxy_fast *fast, const struct proxy_fast_options *options)
{
    int count = libbpf_num_possible_cpus(), both = PROT_READ | PROT_WRITE;
    if (count < 0)
        return count;
    fast->cpus = (unsigned)count;
    struct proxy_bpf *program = fast->program = proxy_bpf__open();
    if (program == NULL)
        return -errno;

    int code = bpf_map__set_max_entries(program->maps.counters, fast->cpus);
    if (code == 0)
        code = bpf_map__set_max_entries(program->maps.slots, fast->slots_count);
    if (code == 0)
        code = bpf_map__set_max_entries(program->maps.limits, fast->slots_count);
    if (code == 0)
        code = bpf_map__set_max_entries(program->maps.directory, fast->buckets);
    if (code == 0)
        code = bpf_map__reuse_fd(program->maps.cpus, fastpath_cpus_fd(fast->fastpath));
    if (code == 0)
        code = proxy_bpf__load(program);
    if (code != 0)
        return code;
    struct proxy_fast_settings *settings = settings_of(fast);
    settings->mask = fast->buckets - 1;
    settings->keeps_traffic = options->keeps_traffic;
    if (getrandom(settings->key, sizeof settings->key, 0) != sizeof settings->key)
        return -EIO;
    fast->counters =
        fastpath_map(program->maps.counters, fast->cpus * sizeof *fast->counters, PROT_READ);
    fast->slots = fastpath_map(program->maps.slots, fast->slots_count * sizeof *fast->slots, both);
    fast->limits =
        fastpath_map(program->maps.limits, fast->slots_count * sizeof *fast->limits, both);
    fast->directory =
        fastpath_map(program->maps.directory, fast->buckets * sizeof *fast->directory, both);
    if (fast->counters == NULL || fast->slots == NULL || fast->limits == NULL ||
        fast->directory == NULL)
        return -ENOMEM;
    follow_doors(fast);
    code = open_doors(fast);
    if (code == 0)
        code = make_lanes(fast);
    return code == 0 ? fastpath_part_set(fast->fastpath, FASTPATH_PROXY,
                                         bpf_program__fd(program->progs.paddock_proxy))
                     : code;
}

int proxy_fast_open(struct proxy_fast **fast, const struct proxy_fast_options *options,
                    struct error *error)
{
    struct proxy_fast *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return error_system(error, -ENOMEM, "cannot open the proxy's XDP program");

    opened->fastpath = options->fastpath;
    size_up(opened, options);
    int code = load(opened, options);
    if (code != 0) {
        proxy_fast_close(opened);
        return error_system(error, code, "cannot load the proxy's XDP program");
    }
    const struct fastpath_departures departures = {
        .program_fd = bpf_program__fd(opened->program->progs.paddock_departure),
        .narrowing_fd = bpf_program__fd(opened->program->progs.paddock_narrowing),
        .rerouted = reroute,
        .user = opened};
    code = fastpath_watch_departures(opened->fastpath, &departures, error);
    if (code != 0) {
        proxy_fast_close(opened);
        return code;
    }
    *fast = opened;
    return 0;
}

void proxy_fast_close(struct proxy_fast *fast)
{
    if (fast == NULL)
        return;
    fastpath_part_set(fast->fastpath, FASTPATH_PROXY, -1);
    for (unsigned i = 0; fast->lanes != NULL && i < fast->workers; i++)
        free(fast->lanes[i].freed);
    free(fast->lanes);
    fastpath_unmap(fast->directory, fast->buckets * sizeof *fast->directory);
    fastpath_unmap(fast->limits, fast->slots_count * sizeof *fast->limits);
    fastpath_unmap(fast->slots, fast->slots_count * sizeof *fast->slots);
    fastpath_unmap(fast->counters, fast->cpus * sizeof *fast->counters);
    proxy_bpf__destroy(fast->program);
    free(fast);
}

uint64_t proxy_fast_bytes(const struct proxy_fast *fast)
{
    return fast->slots_count * (sizeof *fast->slots + sizeof *fast->limits) +
           fast->buckets * sizeof *fast->directory;
}

void proxy_fast_suspend(struct proxy_fast *fast)
{
    __atomic_store_n(&settings_of(fast)->version, 0, __ATOMIC_SEQ_CST);
}

void proxy_fast_resume(struct proxy_fast *fast)
{
    __atomic_store_n(&settings_of(fast)->version, ++fast->number, __ATOMIC_SEQ_CST);
}

void proxy_fast_sample(struct proxy_fast *fast, bool is_sampled)
{
    __atomic_store_n(&settings_of(fast)->is_sampled, is_sampled, __ATOMIC_RELAXED);
}

uint64_t proxy_fast_version(const struct proxy_fast *fast)
{
    return __atomic_load_n(&settings_of(fast)->version, __ATOMIC_ACQUIRE);
}

struct proxy_fast_counters proxy_fast_count(const struct proxy_fast *fast)
{
    struct proxy_fast_counters sum = {.left = 0};
    for (unsigned cpu = 0; cpu < fast->cpus; cpu++) {
        const struct proxy_fast_counters *own = &fast->counters[cpu];
        for (unsigned i = 0; i < 2; i++) {
            sum.packets[i] += __atomic_load_n(&own->packets[i], __ATOMIC_RELAXED);
            sum.bytes[i] += __atomic_load_n(&own->bytes[i], __ATOMIC_RELAXED);
        }
        sum.left += __atomic_load_n(&own->left, __ATOMIC_RELAXED);
        sum.over_limit += __atomic_load_n(&own->over_limit, __ATOMIC_RELAXED);
    }
    return sum;
}

uint64_t proxy_fast_sessions(const struct proxy_fast *fast)
{
    uint64_t version = proxy_fast_version(fast), sessions = 0;
    for (unsigned i = 0; i < fast->workers; i++) {
        const struct proxy_lane *lane = &fast->lanes[i];
        if (version != 0 && shared_word_load(&lane->version) == version)
            sessions += shared_word_load(&lane->carried);
    }
    return sessions;
}

void proxy_fast_claim(struct proxy_fast *fast, uint16_t number, bool is_claimed)
{
    if (is_claimed)
        fastpath_port_add(fast->fastpath, number, FASTPATH_PROXY);
    else
        fastpath_port_remove(fast->fastpath, number);
}

struct proxy_lane *proxy_fast_lane(struct proxy_fast *fast, unsigned worker)
{
    return &fast->lanes[worker];
}

static bool is_ipv4(const struct endpoint *endpoint)
{
    return IN6_IS_ADDR_V4MAPPED(&endpoint->address);
}

bool proxy_passage_is_possible(const struct proxy_passage *passage)
{
    const struct endpoint *ends[] = {&passage->player, &passage->local, &passage->away,
                                     &passage->server};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (ends[i]->scope != 0 || is_ipv4(ends[i]) != is_ipv4(ends[0]) ||
            !address_is_unicast(&ends[i]->address))
            return false;
    }
    return passage->repeat == NULL || passage->repeat->size <= PROXY_FAST_TOKEN_BYTES;
}

/* Adds words as they are in memory. */
static uint64_t sum_words(const void *data, size_t bytes)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i += 2) {
        uint16_t word = 0;
        memcpy(&word, (const char *)data + i, bytes - i < 2 ? 1 : 2);
        sum += word;
    }
    return sum;
}

static uint16_t fold(uint64_t sum)
{
    while (sum > UINT16_MAX)
        sum = (sum >> 16) + (sum & UINT16_MAX);
    return (uint16_t)sum;
}

/* The words before an IPv4 address in a v4-mapped one are no part of the datagram's checksum. */
static struct proxy_fast_end make_end(const struct endpoint *peer, const struct endpoint *own)
{
    struct proxy_fast_end end = {.peer_port = peer->port, .own_port = own->port};
    unsigned first = is_ipv4(peer) ? 3 : 0;

    memcpy(end.peer, &peer->address, sizeof end.peer);
    memcpy(end.own, &own->address, sizeof end.own);
    end.sum = fold(sum_words(end.peer + first, sizeof end.peer - first * sizeof end.peer[0]) +
                   sum_words(end.own + first, sizeof end.own - first * sizeof end.own[0]) +
                   end.peer_port + end.own_port + htons(IPPROTO_UDP));
    return end;
}

static struct proxy_fast_slot make_slot(const struct proxy_passage *passage)
{
    struct proxy_fast_slot slot = {.ends = {make_end(&passage->player, &passage->local),
                                            make_end(&passage->server, &passage->away)},
                                   .is_limited = passage->sent != NULL};
    if (passage->token == NULL)
        return slot;
    slot.token_bytes = (uint8_t)passage->repeat->size;
    slot.is_suffix = passage->repeat->is_suffix;
    slot.is_removed = passage->repeat->is_removed;
    memcpy(slot.token, passage->token, slot.token_bytes);
    slot.token_sum = fold(sum_words(slot.token, slot.token_bytes));
    return slot;
}

/* The bucket of an end, and the hash. */
static struct proxy_fast_bucket *find_bucket(const struct proxy_fast *fast,
                                             const struct proxy_fast_end *end, uint64_t *hash)
{
    const struct proxy_fast_settings *settings = settings_of(fast);
    *hash = proxy_fast_hash(settings, end->peer, end->peer_port, end->own_port);
    return &fast->directory[*hash & settings->mask];
}

static void leave_directory(const struct proxy_fast *fast, uint32_t slot)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t hash;
        struct proxy_fast_bucket *bucket = find_bucket(fast, &fast->slots[slot].ends[i], &hash);
        for (unsigned j = 0; j < PROXY_FAST_ENTRIES; j++)
            shared_word_replace(&bucket->entries[j], proxy_fast_entry(hash, slot, i), 0);
    }
}

/* Workers share the buckets. Two sessions whose frames look alike at an end have one place. */
static bool enter_directory(const struct proxy_fast *fast, uint32_t slot, uint32_t end)
{
    uint64_t hash;
    struct proxy_fast_bucket *bucket = find_bucket(fast, &fast->slots[slot].ends[end], &hash);
    bool is_in = false;

    for (unsigned i = 0; i < PROXY_FAST_ENTRIES; i++) {
        uint64_t entry = shared_word_load(&bucket->entries[i]);
        if (entry != 0 && entry >> 32 == hash >> 32)
            return false;
    }
    for (unsigned i = 0; i < PROXY_FAST_ENTRIES && !is_in; i++)
        is_in = shared_word_replace(&bucket->entries[i], 0, proxy_fast_entry(hash, slot, end));
    return is_in;
}

static void count_carried(struct proxy_lane *lane, uint64_t carried)
{
    __atomic_store_n(&lane->carried, carried, __ATOMIC_RELAXED);
}

static void set_version(struct proxy_fast_slot *slot, uint64_t version)
{
    __atomic_store_n(&slot->version, version, __ATOMIC_SEQ_CST);
}

/* Carries a session under a version, which the lane's others may not have yet. */
static void carry(struct proxy_lane *lane, uint32_t slot, uint64_t version)
{
    set_version(&lane->fast->slots[slot], version);
    count_carried(lane, lane->version == version ? lane->carried + 1 : 1);
    __atomic_store_n(&lane->version, version, __ATOMIC_RELAXED);
}

static void free_slot(struct proxy_lane *lane, uint32_t slot, int64_t now_ns)
{
    set_version(&lane->fast->slots[slot], 0);
    leave_directory(lane->fast, slot);
    lane->freed[(lane->first + lane->count++) % lane->capacity] =
        (struct freed){.slot = slot, .since_ns = now_ns};
}

uint32_t proxy_lane_offer(struct proxy_lane *lane, const struct proxy_passage *passage,
                          uint64_t version, int64_t now_ns)
{
    const struct freed *oldest = &lane->freed[lane->first];
    if (lane->count == 0 || now_ns - oldest->since_ns < SECOND_NS)
        return 0;
    uint32_t slot = oldest->slot;
    lane->first = (lane->first + 1) % lane->capacity;
    lane->count--;
    lane->fast->slots[slot] = make_slot(passage);
    if (passage->sent != NULL)
        lane->fast->limits[slot] =
            (struct proxy_fast_limit){.law = passage->repeat->limit, .window = *passage->sent};
    if (!enter_directory(lane->fast, slot, 0) || !enter_directory(lane->fast, slot, 1)) {
        free_slot(lane, slot, now_ns);
        return 0;
    }
    carry(lane, slot, version);
    return slot + 1;
}

static bool is_same_end(const struct proxy_fast_end *a, const struct proxy_fast_end *b)
{
    return memcmp(a->peer, b->peer, sizeof a->peer) == 0 &&
           memcmp(a->own, b->own, sizeof a->own) == 0 && a->peer_port == b->peer_port &&
           a->own_port == b->own_port;
}

bool proxy_lane_renew(struct proxy_lane *lane, uint32_t carried,
                      const struct proxy_passage *passage, uint64_t version)
{
    struct proxy_fast_slot *slot = &lane->fast->slots[carried - 1];
    const struct proxy_fast_slot next = make_slot(passage);
    if (!is_same_end(&slot->ends[0], &next.ends[0]) || !is_same_end(&slot->ends[1], &next.ends[1]))
        return false;
    if (slot->version == version)
        return true;
    if (slot->token_bytes != next.token_bytes || slot->is_suffix != next.is_suffix ||
        slot->is_removed != next.is_removed || slot->is_limited != next.is_limited ||
        memcmp(slot->token, next.token, sizeof next.token) != 0)
        return false;
    for (unsigned i = 0; i < 2; i++)
        __atomic_store_n(&slot->counts[i].gate, 0, __ATOMIC_RELAXED);
    carry(lane, carried - 1, version);
    return true;
}

static uint64_t *gate_of(const struct proxy_lane *lane, uint32_t carried, uint32_t end)
{
    return &lane->fast->slots[carried - 1].counts[end].gate;
}

bool proxy_lane_is_open(const struct proxy_lane *lane, uint32_t carried, uint32_t end)
{
    return __atomic_load_n(gate_of(lane, carried, end), __ATOMIC_RELAXED) == PROXY_FAST_OPEN;
}

bool proxy_lane_waits(const struct proxy_lane *lane, uint32_t carried, uint32_t end)
{
    uint64_t gate = __atomic_load_n(gate_of(lane, carried, end), __ATOMIC_RELAXED);
    return gate != 0 && gate != PROXY_FAST_OPEN && (gate & PROXY_FAST_UNFIT) == 0;
}

/* The program may pass another datagram on meanwhile, and note that. */
void proxy_lane_settle(struct proxy_lane *lane, uint32_t carried, uint32_t end, int64_t until_ns)
{
    uint64_t *gate = gate_of(lane, carried, end);
    uint64_t passed = __atomic_load_n(gate, __ATOMIC_RELAXED);
    int64_t kernel_ns = until_ns - fastpath_monotonic_offset_ns(lane->fast->fastpath);
    if (passed != 0 && passed < (uint64_t)kernel_ns)
        __atomic_compare_exchange_n(gate, &passed, passed | PROXY_FAST_SETTLED, false,
                                    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

void proxy_lane_open(struct proxy_lane *lane, uint32_t carried, uint32_t end)
{
    __atomic_store_n(gate_of(lane, carried, end), PROXY_FAST_OPEN, __ATOMIC_RELAXED);
}

uint64_t proxy_lane_version(const struct proxy_lane *lane, uint32_t carried)
{
    return lane->fast->slots[carried - 1].version;
}

struct rate_window *proxy_lane_window(const struct proxy_lane *lane, uint32_t carried)
{
    uint32_t slot = carried - 1;
    return lane->fast->slots[slot].is_limited ? &lane->fast->limits[slot].window : NULL;
}

struct endpoint proxy_lane_player(const struct proxy_lane *lane, uint32_t carried)
{
    const struct proxy_fast_end *end = &lane->fast->slots[carried - 1].ends[0];
    struct endpoint player = {.port = end->peer_port};
    memcpy(&player.address, end->peer, sizeof player.address);
    return player;
}

void proxy_lane_withdraw(struct proxy_lane *lane, uint32_t carried, int64_t now_ns)
{
    if (lane->fast->slots[carried - 1].version == lane->version)
        count_carried(lane, lane->carried - 1);
    free_slot(lane, carried - 1, now_ns);
}

void proxy_lane_take(struct proxy_lane *lane, uint32_t carried, uint64_t packets[2],
                     uint64_t bytes[2], int64_t last_ns[2])
{
    int64_t offset_ns = fastpath_monotonic_offset_ns(lane->fast->fastpath);
    for (unsigned i = 0; i < 2; i++) {
        struct proxy_fast_count *count = &lane->fast->slots[carried - 1].counts[i];
        int64_t kernel_ns = __atomic_load_n(&count->last_ns, __ATOMIC_RELAXED);
        last_ns[i] = kernel_ns != 0 ? kernel_ns + offset_ns : 0;
        packets[i] = __atomic_exchange_n(&count->packets, 0, __ATOMIC_RELAXED);
        bytes[i] = __atomic_exchange_n(&count->bytes, 0, __ATOMIC_RELAXED);
    }
}

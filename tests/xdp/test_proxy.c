/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's part of the fast path, run by the kernel over frames made here, without any
 * interface. What becomes of random frames is compared with a model, which knows of sessions alone
 * what they are, and of the frames what is in them. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "fastpath/clock.h"
#include "fastpath/narrowing.h"
#include "fastpath/parts.h"
#include "fastpath/shared.h"
#include "fastpath/tap.h"
#include "proxy/fast.h"
#include "proxy/shared.h"
#include "support/cmocka.h"
#include "support/random.h"
#include "xdp/frame.h"
#include "xdp/netns.h"
#include "xdp/program.h"

#include "fastpath.skel.h"

#define PORT 7777
#define FIRST_NUMBER 40000
#define SESSIONS 256
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHARE 10 /* what is checked is slow then */
#else
#define SHARE 1
#endif
#define FRAMES (1000000 / SHARE)
#define SECOND_NS INT64_C(1000000000)
#define VERSION_FRAMES 1000 /* after so many another version comes into force */

/* What the functions of the fast path that the part calls are given here. */
static struct programs *programs;

/* The interfaces: the one over which the kernel says that the frames come, and another. */
#define DOORS 2
static const uint8_t door_macs[DOORS][6] = {PROGRAM_MAC, {0x02, 0x11, 0x22, 0x33, 0x44, 0x66}};
static unsigned door_indexes[DOORS];

/* As short as that the longest packets that the kernel was seen to send count. */
#define DOOR_MTU 60

static uint32_t door_mtus[DOORS] = {DOOR_MTU, DOOR_MTU};

static int taps[DOORS] = {-1, -1};
static struct fastpath_departures departures;

int __wrap_fastpath_cpus_fd(const struct fastpath *fastpath);
int __wrap_fastpath_part_set(struct fastpath *fastpath, enum fastpath_part part, int program_fd);
void __wrap_fastpath_port_add(struct fastpath *fastpath, uint16_t port, enum fastpath_part part);
int64_t __wrap_fastpath_monotonic_offset_ns(const struct fastpath *fastpath);
unsigned __wrap_fastpath_doors(const struct fastpath *fastpath,
                               struct fastpath_door doors[FASTPATH_MAX_INTERFACES]);
int __wrap_fastpath_watch_departures(struct fastpath *fastpath,
                                     const struct fastpath_departures *wanted, struct error *error);

int __wrap_fastpath_cpus_fd(const struct fastpath *fastpath)
{
    (void)fastpath;
    return bpf_map__fd(programs->fastpath->maps.cpus);
}

int __wrap_fastpath_part_set(struct fastpath *fastpath, enum fastpath_part part, int program_fd)
{
    int fd = bpf_map__fd(programs->fastpath->maps.parts);
    uint32_t slot = part;
    (void)fastpath;
    return program_fd >= 0 ? bpf_map_update_elem(fd, &slot, &program_fd, BPF_ANY)
                           : bpf_map_delete_elem(fd, &slot);
}

void __wrap_fastpath_port_add(struct fastpath *fastpath, uint16_t port, enum fastpath_part part)
{
    (void)fastpath;
    programs->fastpath->bss->settings.parts[port] = (uint8_t)part;
}

int64_t __wrap_fastpath_monotonic_offset_ns(const struct fastpath *fastpath)
{
    (void)fastpath;
    return 0;
}

unsigned __wrap_fastpath_doors(const struct fastpath *fastpath,
                               struct fastpath_door doors[FASTPATH_MAX_INTERFACES])
{
    (void)fastpath;
    for (unsigned i = 0; i < DOORS; i++) {
        uint32_t first;
        uint16_t last;
        memcpy(&first, door_macs[i], sizeof first);
        memcpy(&last, door_macs[i] + sizeof first, sizeof last);
        doors[i] = (struct fastpath_door){
            .mac = fastpath_mac(first, last), .index = door_indexes[i], .mtu = door_mtus[i]};
    }
    return DOORS;
}

int __wrap_fastpath_watch_departures(struct fastpath *fastpath,
                                     const struct fastpath_departures *wanted, struct error *error)
{
    (void)fastpath;
    (void)error;
    departures = *wanted;
    for (unsigned i = 0; i < DOORS; i++) {
        if (taps[i] >= 0)
            close(taps[i]);
        taps[i] = fastpath_tap_open(door_indexes[i], wanted->program_fd);
        assert_true(taps[i] >= 0);
    }
    return 0;
}

/* By family: an address of the host without a tag, and one in a VLAN. */
static const struct in6_addr own[2][2] = {{PROGRAM_IPV4(10, 1, 2, 3), PROGRAM_IPV4(10, 5, 2, 3)},
                                          {PROGRAM_IPV6(1), PROGRAM_IPV6(51)}};
#define TAG 5

/* Where the kernel sends what goes to an end. */
struct link {
    bool is_known;
    uint8_t mac[6];
    uint16_t tag;
    unsigned door;
    size_t longest; /* an IP packet that it has sent there */
};

struct model {
    struct proxy_passage passage;
    struct filter_repeat repeat;
    uint8_t token[32];
    uint32_t carried;
    bool is_ipv6;
    bool is_tagged[2]; /* the host's address at each end is that of the VLAN */
    bool is_renewed;   /* under the version in force */
    struct link links[2];
    uint64_t packets[2], bytes[2];
};

struct fixture {
    struct proxy_fast *fast;
    struct proxy_lane *lane;
    struct model models[SESSIONS];
    uint64_t random;
    uint64_t packets[2], bytes[2];
    uint32_t partial[2]; /* datagrams that were sent with such a checksum: natively, generic */
};

static uint32_t choose(struct fixture *fixture, uint32_t count)
{
    return (uint32_t)(random_next(&fixture->random) % count);
}

static struct endpoint at(const struct in6_addr *address, uint16_t port)
{
    return (struct endpoint){.address = *address, .port = htons(port)};
}

/* Someone's address of a family. */
static struct in6_addr peer(bool is_ipv6, uint8_t net, uint8_t last)
{
    struct in6_addr ipv4 = PROGRAM_IPV4(10, net, 0, last), ipv6 = PROGRAM_IPV6(last);
    ipv6.s6_addr[7] = net;
    return is_ipv6 ? ipv6 : ipv4;
}

static void make_model(struct fixture *fixture, uint32_t i)
{
    struct model *model = &fixture->models[i];
    *model = (struct model){.is_ipv6 = i % 2,
                            .is_tagged = {choose(fixture, 3) == 0, choose(fixture, 3) == 0}};
    struct in6_addr player = peer(model->is_ipv6, 20, (uint8_t)(2 + i % 7));
    struct in6_addr server = peer(model->is_ipv6, 30, (uint8_t)(2 + i % 3));
    model->passage = (struct proxy_passage){
        .player = at(&player, (uint16_t)(1000 + i)),
        .local = at(&own[model->is_ipv6][model->is_tagged[0]], PORT),
        .away = at(&own[model->is_ipv6][model->is_tagged[1]], (uint16_t)(FIRST_NUMBER + i)),
        .server = at(&server, 7000)};
    if (choose(fixture, 2) == 0)
        return;
    model->repeat = (struct filter_repeat){.has_value = true,
                                           .is_suffix = choose(fixture, 2),
                                           .is_removed = choose(fixture, 3) > 0,
                                           .size = choose(fixture, 17)};
    for (uint32_t j = 0; j < model->repeat.size; j++)
        model->token[j] = (uint8_t)choose(fixture, 256);
    model->passage.token = model->token;
    model->passage.repeat = &model->repeat;
}

static void open_ways(struct proxy_lane *lane, uint32_t carried)
{
    for (uint32_t end = 0; end < 2; end++)
        proxy_lane_open(lane, carried, end);
}

static struct fields departure(const struct proxy_passage *passage, unsigned end)
{
    const struct endpoint *from = end == 0 ? &passage->local : &passage->away;
    const struct endpoint *to = end == 0 ? &passage->player : &passage->server;
    return (struct fields){.source = from->address,
                           .destination = to->address,
                           .source_port = ntohs(from->port),
                           .port = ntohs(to->port)};
}

/* Sends a frame by an interface, as the kernel does for a socket. */
static void leave(struct fields *fields, unsigned door)
{
    static int fd = -1;
    const struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                        .sll_ifindex = (int)door_indexes[door]};
    if (fd < 0)
        fd = socket(AF_PACKET, SOCK_RAW, 0);
    memcpy(fields->from_mac, door_macs[door], sizeof fields->from_mac);
    struct frame frame = frame_make(fields);
    assert_int_equal(
        sendto(fd, frame.bytes, frame.length, 0, (const struct sockaddr *)&address, sizeof address),
        frame.length);
}

static size_t ip_bytes(bool is_ipv6, size_t data_bytes)
{
    return (is_ipv6 ? 40U : 20U) + 8 + data_bytes;
}

/* Shows the program that the kernel sends what goes to an end somewhere. */
static void show(struct model *model, unsigned end, struct link link)
{
    static const uint8_t mac[6] = PROGRAM_PEER_MAC;
    struct link *known = &model->links[end];
    struct fields fields = departure(&model->passage, end);
    memcpy(fields.to_mac, mac, sizeof mac);
    fields.to_mac[5] = link.mac[5];
    memcpy(link.mac, fields.to_mac, sizeof link.mac);
    fields.data_bytes = link.longest - ip_bytes(model->is_ipv6, 0);
    if (link.tag != 0) {
        fields.tags_count = 1;
        fields.tag_types[0] = 0x8100;
        fields.tags[0] = link.tag;
    }
    leave(&fields, link.door);
    bool is_same = known->is_known && known->tag == link.tag && known->door == link.door &&
                   memcmp(known->mac, link.mac, sizeof link.mac) == 0;
    if (is_same && known->longest > link.longest)
        link.longest = known->longest;
    link.is_known = true;
    *known = link;
}

static void show_any(struct fixture *fixture, struct model *model, unsigned end)
{
    uint32_t tagged = choose(fixture, 2), door = choose(fixture, 4), mac = choose(fixture, 4);
    const struct link link = {.tag = tagged != 0 ? TAG : 0,
                              .door = door == 0,
                              .mac = {[5] = mac == 0},
                              .longest = ip_bytes(model->is_ipv6, 20 + choose(fixture, 60))};
    show(model, end, link);
}

/* Lets the kernel show all ways anew, as the program asks for one that is half a minute old, which
 * no model knows. */
static void show_all(struct fixture *fixture)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        for (unsigned end = 0; end < 2; end++) {
            struct link link = fixture->models[i].links[end];
            link.mac[5] ^= 1;
            show(&fixture->models[i], end, link);
        }
    }
}

static bool has_left(uint32_t verdict)
{
    return verdict == XDP_TX || verdict == XDP_REDIRECT;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error error = {0};
    const struct proxy_fast_options options = {.workers = 1, .max_sessions = SESSIONS};

    netns_enter();
    netns_ip("link add far type veth peer name farther");
    netns_ip("link set far up");
    netns_ip("link set farther up");
    door_indexes[0] = if_nametoindex("lo");
    door_indexes[1] = if_nametoindex("far");
    programs = program_load();
    if (fixture == NULL)
        return -1;
    if (proxy_fast_open(&fixture->fast, &options, &error) != 0)
        fail_msg("%s", error.text);
    for (unsigned i = 0; i < 2; i++) {
        program_add_address(programs, &own[i][0], i == 1 ? FASTPATH_TAGS_IPV6 : 0);
        program_add_address(programs, &own[i][1], (i == 1 ? FASTPATH_TAGS_IPV6 : 0) | TAG);
    }
    proxy_fast_claim(fixture->fast, PORT, true);
    fixture->lane = proxy_fast_lane(fixture->fast, 0);
    proxy_fast_resume(fixture->fast);
    fixture->random = 18;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct model *model = &fixture->models[i];
        make_model(fixture, i);
        assert_true(proxy_passage_is_possible(&model->passage));
        proxy_fast_claim(fixture->fast, (uint16_t)(FIRST_NUMBER + i), true);
        model->carried =
            proxy_lane_offer(fixture->lane, &model->passage, proxy_fast_version(fixture->fast), 0);
        assert_true(model->carried != 0);
        assert_false(proxy_lane_is_open(fixture->lane, model->carried, i % 2));
        open_ways(fixture->lane, model->carried);
        assert_true(proxy_lane_is_open(fixture->lane, model->carried, i % 2));
        model->is_renewed = true;
        for (unsigned end = 0; end < 2; end++)
            show_any(fixture, model, end);
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    proxy_fast_close(fixture->fast);
    program_unload(programs);
    free(fixture);
    return 0;
}

/* A frame of a session that comes in at an end, with a payload that has its token. */
static struct fields make_fields(struct fixture *fixture, const struct model *model, unsigned end)
{
    static const uint8_t mac[6] = PROGRAM_MAC, peer_mac[6] = PROGRAM_PEER_MAC;
    const struct proxy_passage *passage = &model->passage;
    const struct endpoint *from = end == 0 ? &passage->player : &passage->server;
    const struct endpoint *to = end == 0 ? &passage->local : &passage->away;
    struct fields fields = {.source = from->address,
                            .destination = to->address,
                            .source_port = ntohs(from->port),
                            .port = ntohs(to->port),
                            .data_bytes = model->repeat.size + choose(fixture, 60),
                            .padding = choose(fixture, 4) == 0 ? choose(fixture, 40) : 0};
    memcpy(fields.to_mac, mac, sizeof mac);
    memcpy(fields.from_mac, peer_mac, sizeof peer_mac);
    if (model->is_tagged[end]) {
        fields.tags_count = 1;
        fields.tag_types[0] = 0x8100;
        fields.tags[0] = (uint16_t)(TAG | choose(fixture, 8) << 13);
    } else if (choose(fixture, 8) == 0) { /* a priority alone */
        fields.tags_count = 1;
        fields.tag_types[0] = 0x8100;
        fields.tags[0] = 0x6000;
    }
    for (size_t i = 0; i < fields.data_bytes; i++)
        fields.data[i] = (uint8_t)choose(fixture, 256);
    if (end == 0)
        memcpy(fields.data + (model->repeat.is_suffix ? fields.data_bytes - model->repeat.size : 0),
               model->token, model->repeat.size);
    return fields;
}

static uint8_t *ip_of(struct frame *frame, const struct fields *fields)
{
    return frame->bytes + 14 + 4 * fields->tags_count;
}

static uint8_t *udp_of(struct frame *frame, const struct fields *fields)
{
    return ip_of(frame, fields) + (IN6_IS_ADDR_V4MAPPED(&fields->source) ? 20 : 40);
}

/* Spoils a frame in one way, or not. Returns what is left of hops. */
static uint8_t spoil(struct fixture *fixture, struct frame *frame, const struct fields *fields)
{
    uint8_t *ip = ip_of(frame, fields), *udp = udp_of(frame, fields);
    bool is_ipv6 = ip[0] >> 4 == 6;
    uint8_t *hops = is_ipv6 ? ip + 7 : ip + 8;

    *hops = (uint8_t)choose(fixture, 100);
    if (!is_ipv6)
        frame_fix_ipv4(ip);
    switch (choose(fixture, 12)) {
    case 0: /* any bit */
        frame->bytes[choose(fixture, (uint32_t)frame->length)] ^=
            (uint8_t)(1U << choose(fixture, 8));
        break;
    case 1: /* what follows UDP's ports */
        udp[4 + choose(fixture, 4)] ^= (uint8_t)(1U << choose(fixture, 8));
        break;
    case 2:
        udp[6] = udp[7] = 0;
        break;
    case 3:
        frame->length -= choose(fixture, (uint32_t)frame->length - 14);
        break;
    case 4: /* another player or server, or another address of the host */
        udp[choose(fixture, 4)] ^= 1;
        break;
    case 5: { /* a checksum that is left to the interface */
        uint16_t partial = frame_partial_checksum(fields);
        udp[6] = (uint8_t)(partial >> 8);
        udp[7] = (uint8_t)partial;
        break;
    }
    default:
        break;
    }
    return *hops;
}

static bool is_partial(const struct fields *fields)
{
    return fields->checksum == frame_partial_checksum(fields);
}

static bool is_interface(uint32_t bit)
{
    return (programs->fastpath->bss->settings.interface & bit) != 0;
}

/* Whether what leaves instead of a frame can have a checksum. A partial one stays where it is in
 * the generic mode, and is none if it is right as it is. */
static bool has_checksum(const struct model *model, unsigned end, const struct frame *frame,
                         const struct fields *fields)
{
    bool has_tag = model->links[!end].tag != 0;
    bool is_cut = end == 0 && model->repeat.is_removed && !model->repeat.is_suffix;
    size_t moved = 4 * fields->tags_count + (is_cut ? model->repeat.size : 0);

    if (fields->checksum == 0 || !is_partial(fields))
        return fields->checksum != 0;
    if (!is_interface(FASTPATH_IS_VETH))
        return false;
    return !is_interface(FASTPATH_IS_GENERIC) ||
           (moved == 4 * (size_t)has_tag && model->links[!end].door == 0 &&
            !frame_udp_checksum_is_right(frame, fields));
}

/* The session of a frame, and at which end it came in; or NULL. */
static struct model *find_model(struct fixture *fixture, const struct fields *fields, unsigned *end)
{
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct model *model = &fixture->models[i];
        const struct proxy_passage *passage = &model->passage;
        const struct endpoint from[2] = {passage->player, passage->server};
        const struct endpoint to[2] = {passage->local, passage->away};
        for (*end = 0; *end < 2; (*end)++) {
            if (memcmp(&from[*end].address, &fields->source, 16) == 0 &&
                memcmp(&to[*end].address, &fields->destination, 16) == 0 &&
                ntohs(from[*end].port) == fields->source_port &&
                ntohs(to[*end].port) == fields->port)
                return model;
        }
    }
    return NULL;
}

/* Whether the host would take a frame for a datagram, from a sender that it may answer. */
static bool is_for_host(const struct fields *fields)
{
    static const uint8_t mac[6] = PROGRAM_MAC;
    uint32_t tag = 0;
    for (size_t i = 0; i < fields->tags_count; i++)
        tag = tag != 0 ? UINT32_MAX : fields->tags[i] & 0xfffU;
    for (size_t i = 0; i < fields->tags_count; i++)
        tag = (fields->tags[i] & 0xfffU) != 0 && fields->tag_types[i] != 0x8100 ? UINT32_MAX : tag;
    bool is_own = memcmp(&fields->destination, &own[fields->is_ipv6][tag == TAG], 16) == 0;
    return memcmp(fields->to_mac, mac, sizeof mac) == 0 && (fields->from_mac[0] & 1) == 0 &&
           (tag == 0 || tag == TAG) && is_own && fields->tags_count <= 1;
}

static bool has_token(const struct model *model, const struct fields *fields)
{
    size_t size = model->repeat.size;
    size_t start =
        model->repeat.is_suffix && fields->data_bytes >= size ? fields->data_bytes - size : 0;
    return fields->data_bytes >= size && memcmp(fields->data + start, model->token, size) == 0;
}

/* What leaves instead of a frame of a session. */
static void check_sent(const struct model *model, unsigned end, const struct frame *question,
                       const struct fields *asked, struct frame *answer, uint8_t hops)
{
    const struct proxy_passage *passage = &model->passage;
    const struct endpoint *from = end == 0 ? &passage->away : &passage->local;
    const struct endpoint *to = end == 0 ? &passage->server : &passage->player;
    const struct link *link = &model->links[!end];
    struct fields found = {0};
    size_t cut = end == 0 && model->repeat.is_removed ? model->repeat.size : 0;

    assert_true(frame_read(answer, &found));
    assert_memory_equal(found.to_mac, link->mac, 6);
    assert_memory_equal(found.from_mac, door_macs[link->door], 6);
    assert_int_equal(found.tags_count, link->tag != 0);
    assert_int_equal(found.tags[0], link->tag);
    assert_int_equal(found.is_ipv6, asked->is_ipv6);
    assert_memory_equal(&found.source, &from->address, 16);
    assert_memory_equal(&found.destination, &to->address, 16);
    assert_int_equal(found.source_port, ntohs(from->port));
    assert_int_equal(found.port, ntohs(to->port));
    assert_int_equal(found.data_bytes, asked->data_bytes - cut);
    assert_memory_equal(found.data, asked->data + (model->repeat.is_suffix ? 0 : cut),
                        found.data_bytes);
    if (is_partial(asked) && is_interface(FASTPATH_IS_GENERIC))
        assert_true(is_partial(&found));
    else if (is_partial(asked))
        assert_true(frame_udp_checksum_is_right(answer, &found));
    else /* right where it was right, and as wrong as it was */
        assert_int_equal(frame_udp_checksum_is_right(answer, &found),
                         frame_udp_checksum_is_right(question, asked));
    const uint8_t *ip = ip_of(answer, &found);
    uint8_t left = end == 0 && hops <= 64 ? (uint8_t)(hops - 1) : 64;
    assert_int_equal(found.is_ipv6 ? ip[7] : ip[8], left);
    assert_int_equal(found.is_ipv6 ? ip[0] << 8 | ip[1] : ip[1], found.is_ipv6 ? 0x6000 : 0);
    assert_int_equal(asked->padding >= found.padding, true);
}

static void check_totals(struct fixture *fixture)
{
    const struct proxy_fast_counters counted = proxy_fast_count(fixture->fast);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(counted.packets[i], fixture->packets[i]);
        assert_int_equal(counted.bytes[i], fixture->bytes[i]);
    }
}

/* Whether a frame comes by the interface by which its sender is answered, where it must. */
static bool comes_by_its_way(const struct model *model, unsigned end, const struct fields *asked)
{
    const struct link *link = &model->links[end];
    unsigned tag = asked->tags_count > 0 ? asked->tags[0] & 0xfffU : 0;
    uint32_t number = programs->fastpath->bss->settings.interface >> FASTPATH_NUMBER_SHIFT;
    return !is_interface(FASTPATH_IS_STRICT) || asked->is_ipv6 ||
           (link->is_known && link->door + 1 == number && link->tag == tag);
}

/* Runs the program over a frame. Returns whether it was sent, as the model says that it must be. */
static bool check(struct fixture *fixture, const struct frame *question)
{
    struct fields asked = {0};
    struct frame answer = *question;
    unsigned end = 0;
    struct model *model = NULL;
    bool is_sent = false;
    uint8_t hops = 0;
    uint32_t verdict = XDP_PASS;

    if (frame_read(question, &asked) && is_for_host(&asked))
        model = find_model(fixture, &asked, &end);
    if (model != NULL && !(asked.is_ipv6 && asked.checksum == 0) && model->is_renewed) {
        struct frame copy = *question;
        const struct link *link = &model->links[!end];
        size_t left = asked.data_bytes;
        if (end == 0 && model->repeat.is_removed && left >= model->repeat.size)
            left -= model->repeat.size;
        hops = asked.is_ipv6 ? ip_of(&copy, &asked)[7] : ip_of(&copy, &asked)[8];
        is_sent = link->is_known && hops > 1 && comes_by_its_way(model, end, &asked) &&
                  has_checksum(model, end, question, &asked) &&
                  (end == 1 || has_token(model, &asked)) &&
                  (ip_bytes(asked.is_ipv6, left) <= DOOR_MTU ||
                   ip_bytes(asked.is_ipv6, left) <= link->longest);
        verdict = link->door == 0 ? XDP_TX : XDP_REDIRECT;
    }
    assert_int_equal(program_run(programs, &answer), is_sent ? verdict : XDP_PASS);
    if (!is_sent) {
        assert_int_equal(answer.length, question->length);
        assert_memory_equal(answer.bytes, question->bytes, question->length);
        return false;
    }
    check_sent(model, end, question, &asked, &answer, hops);
    size_t cut = end == 0 && model->repeat.is_removed ? model->repeat.size : 0;
    model->packets[end]++;
    model->bytes[end] += asked.data_bytes - cut;
    fixture->packets[end]++;
    fixture->bytes[end] += asked.data_bytes - cut;
    fixture->partial[is_interface(FASTPATH_IS_GENERIC)] += is_partial(&asked);
    return true;
}

/* Puts another version in force: sessions are seen by it one by one. */
static void change(struct fixture *fixture)
{
    proxy_fast_suspend(fixture->fast);
    assert_int_equal(proxy_fast_version(fixture->fast), 0);
    proxy_fast_resume(fixture->fast);
    for (uint32_t i = 0; i < SESSIONS; i++)
        fixture->models[i].is_renewed = false;
}

static void renew(struct fixture *fixture, struct model *model)
{
    assert_true(proxy_lane_renew(fixture->lane, model->carried, &model->passage,
                                 proxy_fast_version(fixture->fast)));
    open_ways(fixture->lane, model->carried);
    model->is_renewed = true;
}

static void every_random_frame_is_forwarded_right_or_passed_on_unchanged(void **state)
{
    struct fixture *fixture = *state;
    uint32_t sent = 0;

    for (uint32_t i = 0; i < FRAMES; i++) {
        struct model *model = &fixture->models[choose(fixture, SESSIONS)];
        unsigned end = choose(fixture, 2);
        if (i % VERSION_FRAMES == 0) {
            change(fixture);
            show_all(fixture);
            programs->fastpath->bss->settings.interface =
                choose(fixture, 4) | (choose(fixture, 4) == 0 ? FASTPATH_IS_STRICT : 0) |
                (1 + choose(fixture, DOORS)) << FASTPATH_NUMBER_SHIFT;
        }
        if (!model->is_renewed && choose(fixture, 2) == 0)
            renew(fixture, model);
        if (choose(fixture, 16) == 0)
            show_any(fixture, model, choose(fixture, 2));
        struct fields fields = make_fields(fixture, model, end);
        struct frame frame = frame_make(&fields);
        spoil(fixture, &frame, &fields);
        sent += check(fixture, &frame);
    }
    assert_true(sent > FRAMES / 4 && sent < FRAMES / 4 * 3);
    assert_true(fixture->partial[0] > FRAMES / 200 && fixture->partial[1] > FRAMES / 400);
    check_totals(fixture);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct model *model = &fixture->models[i];
        uint64_t packets[2], bytes[2];
        int64_t last_ns[2];
        proxy_lane_take(fixture->lane, model->carried, packets, bytes, last_ns);
        assert_memory_equal(packets, model->packets, sizeof packets);
        assert_memory_equal(bytes, model->bytes, sizeof bytes);
        assert_true(last_ns[0] > 0 && last_ns[1] > 0);
        proxy_lane_take(fixture->lane, model->carried, packets, bytes, last_ns);
        assert_int_equal(packets[0] + packets[1] + bytes[0] + bytes[1], 0);
    }
}

/* Lets both ends of a session be known, and sees it pass. */
static bool passes(struct fixture *fixture, struct model *model)
{
    bool has_passed = false;
    open_ways(fixture->lane, model->carried);
    for (unsigned end = 0; end < 2; end++)
        show(model, end, (struct link){.longest = 120});
    for (unsigned i = 0; i < 4; i++) {
        struct fields fields = make_fields(fixture, model, i % 2);
        fields.data_bytes = i % 2 == 0 ? model->repeat.size : 1;
        memcpy(fields.data, model->token, i % 2 == 0 ? model->repeat.size : 0);
        struct frame frame = frame_make(&fields);
        has_passed = has_left(program_run(programs, &frame));
    }
    return has_passed;
}

static void sessions_are_counted_that_are_carried_by_what_is_in_force(void **state)
{
    struct fixture *fixture = *state;
    struct proxy_lane *lane = fixture->lane;
    change(fixture);
    assert_int_equal(proxy_fast_sessions(fixture->fast), 0);
    for (unsigned i = 0; i < 6; i++) { /* each twice */
        const struct model *model = &fixture->models[i / 2];
        assert_true(proxy_lane_renew(lane, model->carried, &model->passage,
                                     proxy_fast_version(fixture->fast)));
        assert_int_equal(proxy_fast_sessions(fixture->fast), i / 2 + 1);
    }
    proxy_fast_suspend(fixture->fast);
    assert_int_equal(proxy_fast_sessions(fixture->fast), 0);
    proxy_fast_resume(fixture->fast);
    assert_int_equal(proxy_fast_sessions(fixture->fast), 0);
}

static void what_is_withdrawn_passes_no_more_and_has_its_slot_for_a_second(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = &fixture->models[0];
    uint64_t version = proxy_fast_version(fixture->fast);
    assert_true(proxy_lane_renew(fixture->lane, model->carried, &model->passage, version));
    assert_true(passes(fixture, model));
    uint64_t sessions = proxy_fast_sessions(fixture->fast);
    proxy_lane_withdraw(fixture->lane, model->carried, SECOND_NS);
    assert_int_equal(proxy_fast_sessions(fixture->fast), sessions - 1);
    assert_false(passes(fixture, model));
    uint32_t before = model->carried, tries = 0;
    for (;;) { /* all slots that were never used, and then none */
        uint32_t carried =
            proxy_lane_offer(fixture->lane, &model->passage, version, 2 * SECOND_NS - 1);
        if (carried == 0)
            break;
        assert_true(carried != before && ++tries < 10000);
        proxy_lane_withdraw(fixture->lane, carried, 2 * SECOND_NS);
    }
    model->carried = proxy_lane_offer(fixture->lane, &model->passage, version, 2 * SECOND_NS);
    assert_int_equal(model->carried, before);
    assert_true(passes(fixture, model));
}

static void a_second_session_that_looks_alike_at_one_end_is_not_carried(void **state)
{
    struct fixture *fixture = *state;
    struct proxy_passage other = fixture->models[1].passage;
    uint64_t version = proxy_fast_version(fixture->fast);
    other.away.port = htons(FIRST_NUMBER + SESSIONS);
    assert_int_equal(proxy_lane_offer(fixture->lane, &other, version, 100 * SECOND_NS), 0);
    other = fixture->models[1].passage;
    other.player.port = htons(1);
    assert_int_equal(proxy_lane_offer(fixture->lane, &other, version, 100 * SECOND_NS), 0);
    assert_true(proxy_lane_renew(fixture->lane, fixture->models[1].carried,
                                 &fixture->models[1].passage, version));
    assert_true(passes(fixture, &fixture->models[1]));
}

static void a_passage_that_has_changed_is_not_renewed(void **state)
{
    struct fixture *fixture = *state;
    const struct model *model = &fixture->models[2];
    uint64_t version = proxy_fast_version(fixture->fast);
    struct proxy_passage other = model->passage;
    other.local.port = htons(PORT + 1);
    assert_false(proxy_lane_renew(fixture->lane, model->carried, &other, version));
    other = model->passage;
    other.away.address = own[model->is_ipv6][!model->is_tagged[1]];
    assert_false(proxy_lane_renew(fixture->lane, model->carried, &other, version));
    static const uint8_t token[] = "other";
    const struct filter_repeat repeat = {.has_value = true, .size = 5};
    other = model->passage;
    other.token = token;
    other.repeat = &repeat;
    assert_true(proxy_lane_renew(fixture->lane, model->carried, &model->passage, version));
    assert_true(proxy_lane_renew(fixture->lane, model->carried, &other, version));
    assert_false(proxy_lane_renew(fixture->lane, model->carried, &other, version + 1));
}

/* A frame that is shorter than those that every link was shown with. */
static struct frame make_short(struct fixture *fixture, const struct model *model, unsigned end)
{
    struct fields fields = make_fields(fixture, model, end);
    fields.data_bytes = model->repeat.size;
    memcpy(fields.data, model->token, end == 0 ? model->repeat.size : 0);
    return frame_make(&fields);
}

/* Whether a datagram of a session that comes with so many hops left is carried. */
static bool runs_with(struct fixture *fixture, const struct model *model, unsigned end,
                      uint8_t hops)
{
    struct frame frame = make_short(fixture, model, end);
    struct fields fields;
    assert_true(frame_read(&frame, &fields));
    uint8_t *ip = ip_of(&frame, &fields);
    ip[fields.is_ipv6 ? 7 : 8] = hops;
    if (!fields.is_ipv6)
        frame_fix_ipv4(ip);
    return has_left(program_run(programs, &frame));
}

static bool runs(struct fixture *fixture, const struct model *model, unsigned end)
{
    return runs_with(fixture, model, end, 64);
}

static void a_direction_is_carried_after_a_pause_once_the_sockets_have_sent_all(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = &fixture->models[3];
    const struct timespec pause = {.tv_nsec = 2 * PROXY_FAST_GAP_NS};
    change(fixture);
    assert_true(proxy_lane_renew(fixture->lane, model->carried, &model->passage,
                                 proxy_fast_version(fixture->fast)));
    for (unsigned end = 0; end < 2; end++) {
        int64_t before_ns = clock_monotonic_ns();
        assert_false(runs(fixture, model, end));
        nanosleep(&pause, NULL);
        assert_false(runs(fixture, model, end)); /* its worker has sent nothing on */
        proxy_lane_settle(fixture->lane, model->carried, end, before_ns);
        nanosleep(&pause, NULL);
        assert_false(runs(fixture, model, end)); /* what was sent on came earlier */
        proxy_lane_settle(fixture->lane, model->carried, end, clock_monotonic_ns());
        nanosleep(&pause, NULL);
        assert_true(runs(fixture, model, end));
        uint64_t left = proxy_fast_count(fixture->fast).left;
        assert_true(runs(fixture, model, end));
        assert_int_equal(proxy_fast_count(fixture->fast).left, left);
        assert_false(runs_with(fixture, model, end, 1)); /* one alone, which may be overtaken */
        assert_int_equal(proxy_fast_count(fixture->fast).left, left + 1);
        assert_true(runs(fixture, model, end));
    }
}

static void nothing_is_overtaken_where_nothing_can_be_carried(void **state)
{
    struct fixture *fixture = *state;
    struct proxy_lane *lane = fixture->lane;
    struct model *model = &fixture->models[8];
    const struct link link = {.longest = 120};
    proxy_lane_withdraw(lane, model->carried, 0);
    uint32_t carried = model->carried =
        proxy_lane_offer(lane, &model->passage, proxy_fast_version(fixture->fast), 100 * SECOND_NS);
    assert_true(carried != 0);
    open_ways(lane, carried);
    uint64_t left = proxy_fast_count(fixture->fast).left;
    for (unsigned i = 0; i < 3; i++) { /* where to is not known */
        assert_false(runs(fixture, model, 0));
        assert_false(proxy_lane_is_open(lane, carried, 0) || proxy_lane_waits(lane, carried, 0));
    }
    show(model, 1, link);
    assert_false(runs_with(fixture, model, 0, 1));
    assert_false(proxy_lane_waits(lane, carried, 0));
    assert_false(runs(fixture, model, 0));
    assert_true(proxy_lane_waits(lane, carried, 0));
    assert_int_equal(proxy_fast_count(fixture->fast).left, left);
}

/* The kernel may take what comes meanwhile. */
static void what_comes_while_no_way_back_is_known_is_not_overtaken(void **state)
{
    struct fixture *fixture = *state;
    struct proxy_lane *lane = fixture->lane;
    struct model *model = &fixture->models[10];
    uint32_t *interface = &programs->fastpath->bss->settings.interface;
    const struct link link = {.tag = model->is_tagged[0] ? TAG : 0, .longest = 120};
    proxy_lane_withdraw(lane, model->carried, 0);
    uint32_t carried = model->carried =
        proxy_lane_offer(lane, &model->passage, proxy_fast_version(fixture->fast), 100 * SECOND_NS);
    assert_true(carried != 0 && !model->is_ipv6);
    *interface = FASTPATH_IS_STRICT | 1 << FASTPATH_NUMBER_SHIFT;
    show(model, 1, (struct link){.longest = 120});
    open_ways(lane, carried);
    uint64_t left = proxy_fast_count(fixture->fast).left;
    assert_false(runs(fixture, model, 0));
    assert_false(proxy_lane_is_open(lane, carried, 0));
    show(model, 0, link);
    assert_false(runs(fixture, model, 0));
    open_ways(lane, carried);
    assert_true(runs(fixture, model, 0));
    show(model, 0, (struct link){.tag = link.tag, .door = 1, .longest = 120});
    assert_false(runs(fixture, model, 0)); /* the kernel drops it, and nothing waits for that */
    assert_true(proxy_lane_is_open(lane, carried, 0));
    assert_int_equal(proxy_fast_count(fixture->fast).left, left);
    *interface = 0;
}

static void tell(bool is_all, uint8_t last_of_mac)
{
    const uint8_t mac[6] = PROGRAM_PEER_MAC;
    struct fastpath_reroute reroute = {.is_all = is_all, .count = 1};
    memcpy(&reroute.macs[0], mac, sizeof mac);
    reroute.macs[0] = (reroute.macs[0] & (UINT64_MAX >> 24)) | (uint64_t)last_of_mac << 40;
    departures.rerouted(&reroute, departures.user);
}

/* One datagram asks; the others go on by the old way for one to two seconds. */
static void when_routes_change_the_kernel_shows_the_way_again(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = &fixture->models[4];
    const struct timespec grace = {.tv_sec = 3, .tv_nsec = 300000000};
    struct link link = {.door = 1, .mac = {[5] = 0}, .longest = 120};
    assert_true(proxy_lane_renew(fixture->lane, model->carried, &model->passage,
                                 proxy_fast_version(fixture->fast)));
    open_ways(fixture->lane, model->carried);
    show(model, 1, link);
    assert_true(runs(fixture, model, 0));
    tell(false, 1); /* somebody else's */
    assert_true(runs(fixture, model, 0));
    tell(false, 0);
    assert_false(runs(fixture, model, 0));
    assert_true(runs(fixture, model, 0));
    tell(true, 0);
    assert_true(runs(fixture, model, 0)); /* it was asked */
    nanosleep(&grace, NULL);
    assert_false(runs(fixture, model, 0));
    assert_false(runs(fixture, model, 0));
    tell(true, 0);
    assert_false(runs(fixture, model, 0));
    show(model, 1, link);
    open_ways(fixture->lane, model->carried); /* it was closed meanwhile */
    assert_true(runs(fixture, model, 0));
    tell(false, 0); /* nothing asks: it would look new again in some hours */
    tell(true, 0);
    assert_false(runs(fixture, model, 0));
    assert_false(runs(fixture, model, 0));
    show(model, 1, link);
    open_ways(fixture->lane, model->carried);
    /* What it sends there in one piece may be shorter now. */
    tell(true, 0);
    assert_false(runs(fixture, model, 0));
    link.longest = ip_bytes(model->is_ipv6, 0);
    model->links[1].is_known = false;
    show(model, 1, link);
    assert_int_equal(runs(fixture, model, 0), model->repeat.size == 0 || model->repeat.is_removed);
}

/* A router says of a datagram that went to an end that it was too long. */
static void refuse(const struct fields *sent, uint8_t type, uint8_t code)
{
    bool is_ipv6 = !IN6_IS_ADDR_V4MAPPED(&sent->source);
    const struct sockaddr_in here = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 here_too = {.sin6_family = AF_INET6,
                                          .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct frame frame = frame_make(sent);
    size_t bytes = ip_bytes(is_ipv6, 0);
    uint8_t said[8 + 48] = {type, code};
    int fd = is_ipv6 ? socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)
                     : socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

    memcpy(said + 8, frame.bytes + 14, bytes);
    assert_int_equal(
        sendto(fd, said, 8 + bytes, 0,
               is_ipv6 ? (const struct sockaddr *)&here_too : (const struct sockaddr *)&here,
               is_ipv6 ? sizeof here_too : sizeof here),
        8 + bytes);
    close(fd);
}

static bool runs_long(struct fixture *fixture, const struct model *model)
{
    struct fields fields = make_fields(fixture, model, 1);
    fields.data_bytes = DOOR_MTU;
    struct frame frame = frame_make(&fields);
    return has_left(program_run(programs, &frame));
}

static void what_a_router_finds_too_long_is_left_to_the_sockets(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 6; i < 8; i++) {
        struct model *model = &fixture->models[i];
        const struct in6_addr *player = &model->passage.player.address;
        const struct link link = {.longest = 120, .mac = {[5] = 7}};
        struct fields sent = departure(&model->passage, 0), other = sent;
        int fd =
            fastpath_narrowing_open(model->is_ipv6 ? AF_INET6 : AF_INET, departures.narrowing_fd);
        struct fastpath_reroute reroute = {.narrower_count = 1};
        struct in6_addr peer = {0};

        assert_true(fd >= 0);
        assert_true(proxy_lane_renew(fixture->lane, model->carried, &model->passage,
                                     proxy_fast_version(fixture->fast)));
        open_ways(fixture->lane, model->carried);
        sent.may_be_cut = true;
        sent.data_bytes = DOOR_MTU;
        memcpy(sent.to_mac, door_macs[1], sizeof sent.to_mac);
        leave(&sent, 0);
        assert_int_equal(runs_long(fixture, model), model->is_ipv6); /* no router cuts it there */
        assert_true(runs(fixture, model, 1));
        show(model, 0, link);
        assert_true(runs_long(fixture, model));
        other.port ^= 1;
        refuse(&other, model->is_ipv6 ? 2 : 3, model->is_ipv6 ? 0 : 4);
        refuse(&sent, model->is_ipv6 ? 1 : 3, model->is_ipv6 ? 4 : 3); /* its port is not there */
        assert_true(runs_long(fixture, model));
        assert_false(fastpath_narrowing_read(fd, &peer));
        for (unsigned j = 0; j < 2; j++) {
            refuse(&sent, model->is_ipv6 ? 2 : 3, model->is_ipv6 ? 0 : 4);
            assert_false(runs_long(fixture, model));
            assert_true(runs(fixture, model, 1));
            assert_int_equal(fastpath_narrowing_read(fd, &peer), j == 0);
        }
        assert_memory_equal(&peer, player, sizeof peer);
        show(model, 0, link);
        assert_true(runs_long(fixture, model));
        departures.rerouted(&reroute, departures.user); /* somebody else */
        assert_true(runs_long(fixture, model));
        reroute.narrower[0] = peer;
        departures.rerouted(&reroute, departures.user);
        assert_false(runs_long(fixture, model));
        show(model, 0, link);
        reroute.narrower_count = FASTPATH_REROUTED_NEIGHBOURS + 1;
        departures.rerouted(&reroute, departures.user);
        assert_false(runs_long(fixture, model));
        assert_true(runs(fixture, model, 1));
        close(fd);
    }
}

static void nothing_leaves_by_an_interface_that_is_down(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = &fixture->models[4];
    show(model, 1, (struct link){.door = 1, .longest = 120});
    assert_true(runs(fixture, model, 0));
    door_mtus[1] = 0;
    tell(false, 1);
    assert_false(runs(fixture, model, 0));
    door_mtus[1] = DOOR_MTU;
    tell(false, 1);
    assert_false(runs(fixture, model, 0));
    open_ways(fixture->lane, model->carried);
    assert_true(runs(fixture, model, 0));
}

static void what_is_no_way_of_a_session_is_not_taken_for_one(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = &fixture->models[5];
    const struct link link = {.door = 0, .longest = 120};
    static const uint8_t mac[6] = PROGRAM_PEER_MAC;
    show(model, 0, link);
    proxy_lane_renew(fixture->lane, model->carried, &model->passage,
                     proxy_fast_version(fixture->fast));
    open_ways(fixture->lane, model->carried);
    for (unsigned i = 0; i < 3; i++) {
        struct fields fields = departure(&model->passage, 0);
        memcpy(fields.to_mac, mac, sizeof mac);
        fields.to_mac[4] ^= 1;
        if (i == 0) { /* with more tags than there may be */
            fields.tags_count = 2;
            fields.tag_types[0] = 0x88a8;
            fields.tag_types[1] = 0x8100;
            fields.tags[0] = fields.tags[1] = TAG;
        } else if (i == 1) { /* from another address of this host */
            fields.source = own[model->is_ipv6][!model->is_tagged[0]];
        } else { /* to another port */
            fields.port ^= 1;
        }
        leave(&fields, 0);
        struct fields asked = make_fields(fixture, model, 1), found = {0};
        struct frame frame = frame_make(&asked);
        assert_int_equal(program_run(programs, &frame), XDP_TX);
        assert_true(frame_read(&frame, &found));
        assert_memory_equal(found.to_mac, model->links[0].mac, 6);
    }
}

/* One that is right as it is, and happens to be that of the addresses alone. */
static void a_whole_checksum_that_looks_partial_stays_right(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = &fixture->models[0];
    uint32_t *interface = &programs->fastpath->bss->settings.interface;
    assert_true(proxy_lane_renew(fixture->lane, model->carried, &model->passage,
                                 proxy_fast_version(fixture->fast)));
    assert_true(passes(fixture, model));
    struct fields fields = make_fields(fixture, model, 1), found;
    struct frame frame = {.length = 0};
    fields.tags_count = model->is_tagged[1];
    fields.data_bytes = 3;
    do {
        fields.data[0] = (uint8_t)choose(fixture, 256);
        fields.data[1] = (uint8_t)choose(fixture, 256);
        frame = frame_make(&fields);
        assert_true(frame_read(&frame, &found));
    } while (!is_partial(&found));
    struct frame answer = frame;
    *interface = FASTPATH_IS_VETH;
    assert_int_equal(program_run(programs, &answer), XDP_TX);
    assert_true(frame_read(&answer, &found) && frame_udp_checksum_is_right(&answer, &found));
    *interface = FASTPATH_IS_VETH | FASTPATH_IS_GENERIC;
    assert_int_equal(program_run(programs, &frame), XDP_PASS);
    *interface = 0;
}

/* Whether a program has a name, and the map of the CPUs of this test: others run beside it. */
static bool is_own_program(int fd, const char *name)
{
    uint32_t maps[8] = {0}, bytes = sizeof(struct bpf_map_info);
    struct bpf_map_info cpus = {0};
    struct bpf_prog_info info = {.map_ids = (uintptr_t)maps, .nr_map_ids = 8};
    bool has_map = false;
    assert_int_equal(
        bpf_obj_get_info_by_fd(bpf_map__fd(programs->fastpath->maps.cpus), &cpus, &bytes), 0);
    bytes = sizeof info;
    assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &bytes), 0);
    for (uint32_t i = 0; i < info.nr_map_ids && i < 8; i++)
        has_map |= maps[i] == cpus.id;
    return has_map && strcmp(info.name, name) == 0;
}

static int find_program(const char *name)
{
    uint32_t id = 0;
    while (bpf_prog_get_next_id(id, &id) == 0) {
        int fd = bpf_prog_get_fd_by_id(id);
        if (fd >= 0 && is_own_program(fd, name))
            return fd;
        if (fd >= 0)
            close(fd);
    }
    fail_msg("no program %s", name);
    return -1;
}

/* Has the kernel say on the first CPU that a driver took some frames and others not. */
static struct fastpath_cpu hand(int program, uint64_t leaving, uint64_t taken, uint64_t lost)
{
    int cpus = bpf_map__fd(programs->fastpath->maps.cpus);
    uint64_t said[5] = {[2] = taken, [3] = lost};
    struct fastpath_cpu counted = {.leaving = leaving};
    uint32_t cpu = 0;
    struct bpf_test_run_opts options = {.sz = sizeof options,
                                        .ctx_in = said,
                                        .ctx_size_in = sizeof said,
                                        .flags = BPF_F_TEST_RUN_ON_CPU};
    assert_int_equal(bpf_map_update_elem(cpus, &cpu, &counted, BPF_ANY), 0);
    assert_int_equal(bpf_prog_test_run_opts(program, &options), 0);
    assert_int_equal(bpf_map_lookup_elem(cpus, &cpu, &counted), 0);
    return counted;
}

static void what_a_driver_does_not_take_is_lost_if_it_was_sent_here(void **state)
{
    static const struct {
        uint64_t leaving, taken, lost, left, told;
    } rows[] = {{5, 3, 2, 0, 2}, {20, 16, 0, 4, 0}, {20, 0, 16, 4, 16},
                {0, 3, 2, 0, 0}, {1, 0, 16, 0, 1},  {0, 0, 0, 0, 0}};
    int program = find_program("paddock_handed");
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fastpath_cpu counted = hand(program, rows[i].leaving, rows[i].taken, rows[i].lost);
        assert_int_equal(counted.leaving, rows[i].left);
        assert_int_equal(counted.lost, rows[i].told);
    }
    close(program);
}

static void what_crosses_families_or_has_a_scope_is_not_possible(void **state)
{
    const struct fixture *fixture = *state;
    struct proxy_passage passage = fixture->models[0].passage;
    passage.server = fixture->models[1].passage.server;
    assert_false(proxy_passage_is_possible(&passage));
    passage = fixture->models[1].passage;
    passage.player.scope = 2;
    assert_false(proxy_passage_is_possible(&passage));
    struct filter_repeat repeat = {.has_value = true, .size = 17};
    passage = fixture->models[0].passage;
    passage.repeat = &repeat;
    assert_false(proxy_passage_is_possible(&passage));
}

#define LIMITED (64U / SHARE)
#define LIMIT 50

/* Offers a session of the fixture anew, with a limit of which nothing expires meanwhile. */
static struct rate_window *offer_limited(struct fixture *fixture, struct model *model,
                                         uint32_t limit)
{
    const struct rate_window nothing = {.newest = 0};
    uint64_t version = proxy_fast_version(fixture->fast);
    model->repeat.is_limited = true;
    model->repeat.limit = rate_law_of(limit, 86400);
    model->passage.repeat = &model->repeat;
    model->passage.sent = &nothing;
    proxy_lane_withdraw(fixture->lane, model->carried, 0);
    model->carried = proxy_lane_offer(fixture->lane, &model->passage, version, 100 * SECOND_NS);
    assert_true(model->carried != 0);
    open_ways(fixture->lane, model->carried);
    assert_false(runs(fixture, model, 0)); /* where to is not known yet: it costs nothing */
    for (unsigned end = 0; end < 2; end++)
        show(model, end,
             (struct link){.tag = choose(fixture, 2) ? TAG : 0,
                           .door = end,
                           .longest = ip_bytes(model->is_ipv6, 100)});
    open_ways(fixture->lane, model->carried);
    assert_true(runs(fixture, model, 1));
    return proxy_lane_window(fixture->lane, model->carried);
}

static uint32_t run_limited(struct fixture *fixture, const struct model *model, unsigned end,
                            struct rate_window *window)
{
    struct frame frame = make_short(fixture, model, end), before = frame;
    const struct rate_moment moment =
        rate_moment_of(&model->repeat.limit, (uint64_t)clock_coarse_ns());
    if (end == 0 && choose(fixture, 2) == 0) { /* as the sockets do */
        enum rate_verdict verdict = rate_window_take(window, &model->repeat.limit, &moment);
        return verdict == RATE_PASSES ? XDP_TX : verdict == RATE_OVER ? XDP_DROP : XDP_PASS;
    }
    uint64_t dropped = proxy_fast_count(fixture->fast).over_limit;
    uint32_t verdict = program_run(programs, &frame);
    assert_int_equal(proxy_fast_count(fixture->fast).over_limit - dropped, verdict == XDP_DROP);
    if (verdict == XDP_PASS) {
        assert_int_equal(frame.length, before.length);
        assert_memory_equal(frame.bytes, before.bytes, before.length);
    }
    return has_left(verdict) ? XDP_TX : verdict;
}

static void a_limit_is_one_for_the_driver_and_the_sockets(void **state)
{
    struct fixture *fixture = *state;
    programs->fastpath->bss->settings.interface = FASTPATH_IS_VETH; /* any checksum will do */
    for (uint32_t i = 0; i < LIMITED; i++) {
        struct model *model = &fixture->models[4 + i];
        struct rate_window *window = offer_limited(fixture, model, LIMIT), left = {0};
        for (unsigned passed = 0, tries = 0; tries < 2 * LIMIT; tries++) {
            assert_int_equal(run_limited(fixture, model, 1, window), XDP_TX);
            uint32_t verdict = run_limited(fixture, model, 0, window);
            assert_int_equal(verdict, passed++ < LIMIT ? XDP_TX : XDP_DROP);
        }
        /* What is over the limit is dropped while others wait for a pause, and for a way. */
        proxy_lane_withdraw(fixture->lane, model->carried, 0);
        rate_window_move(&left, window);
        model->passage.sent = &left;
        model->carried = proxy_lane_offer(fixture->lane, &model->passage,
                                          proxy_fast_version(fixture->fast), 100 * SECOND_NS);
        assert_true(model->carried != 0);
        window = proxy_lane_window(fixture->lane, model->carried);
        uint64_t dropped = proxy_fast_count(fixture->fast).over_limit;
        assert_false(runs(fixture, model, 0));
        assert_int_equal(proxy_fast_count(fixture->fast).over_limit, dropped + 1);
        rate_window_move(&left, window);
        assert_int_equal((uint32_t)left.newest, LIMIT);
        assert_int_equal(run_limited(fixture, model, 0, window), XDP_PASS);
    }
    programs->fastpath->bss->settings.interface = 0;
}

/* A CPU that gets a session's datagrams until they are over the limit. */
struct receiver {
    struct frame frame;
    unsigned passed;
    pthread_t thread;
};

static void *receive(void *user)
{
    struct receiver *receiver = user;
    struct frame frame = receiver->frame;
    for (uint32_t verdict; (verdict = program_run(programs, &frame)) != XDP_DROP;) {
        receiver->passed += has_left(verdict);
        frame = receiver->frame;
    }
    return NULL;
}

static void a_limit_is_exact_while_several_take_from_it_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct model *model = &fixture->models[4];
    const uint32_t limit = 30000 / SHARE;
    struct rate_window *window = offer_limited(fixture, model, limit);
    struct receiver receivers[2] = {0};
    enum rate_verdict verdict = RATE_PASSES;
    unsigned passed = 0;
    programs->fastpath->bss->settings.interface = FASTPATH_IS_VETH;
    for (unsigned i = 0; i < 2; i++) {
        receivers[i].frame = make_short(fixture, model, 0);
        assert_int_equal(pthread_create(&receivers[i].thread, NULL, receive, &receivers[i]), 0);
    }
    while (verdict != RATE_OVER) {
        const struct rate_moment moment =
            rate_moment_of(&model->repeat.limit, (uint64_t)clock_coarse_ns());
        verdict = rate_window_take(window, &model->repeat.limit, &moment);
        passed += verdict == RATE_PASSES;
        sched_yield();
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(receivers[i].thread, NULL);
        passed += receivers[i].passed;
    }
    assert_int_equal(passed, limit);
    programs->fastpath->bss->settings.interface = 0;
}

/* One of very many sessions: a player and a number of an upstream socket each. */
static struct proxy_passage one_of_many(uint32_t i)
{
    struct in6_addr player = peer(false, (uint8_t)(100 + i / 50000), (uint8_t)(1 + i / 40000));
    struct in6_addr server = peer(false, 30, (uint8_t)(2 + i / 20000));
    return (struct proxy_passage){.player = at(&player, (uint16_t)(1000 + i % 40000)),
                                  .local = at(&own[0][0], PORT),
                                  .away = at(&own[0][0], (uint16_t)(FIRST_NUMBER + i % 20000)),
                                  .server = at(&server, 7000)};
}

/* What becomes of a frame of such a session that comes in at an end. The checksum of one in 65,536
 * looks like that of the addresses alone: then of another one. */
static uint32_t run_one(const struct proxy_passage *passage, unsigned end, struct fields *found)
{
    const struct endpoint *from = end == 0 ? &passage->player : &passage->server;
    const struct endpoint *to = end == 0 ? &passage->local : &passage->away;
    struct fields fields = {.to_mac = PROGRAM_MAC,
                            .from_mac = PROGRAM_PEER_MAC,
                            .source = from->address,
                            .destination = to->address,
                            .source_port = ntohs(from->port),
                            .port = ntohs(to->port),
                            .data_bytes = 1};
    uint32_t verdict = XDP_PASS;
    for (uint8_t tries = 0; tries < 2 && verdict == XDP_PASS; tries++) {
        fields.data[0] = tries;
        struct frame frame = frame_make(&fields);
        verdict = program_run(programs, &frame);
        assert_true(frame_read(&frame, found));
    }
    return verdict;
}

static void check_carried(const struct proxy_passage *passage)
{
    struct fields found;
    for (unsigned end = 0; end < 2; end++) {
        struct fields fields = departure(passage, end);
        fields.to_mac[5] = (uint8_t)end;
        fields.data_bytes = 1;
        leave(&fields, 0);
    }
    assert_int_equal(run_one(passage, 1, &found), XDP_TX);
    assert_memory_equal(&found.destination, &passage->player.address, 16);
    assert_int_equal(found.port, ntohs(passage->player.port));
    assert_int_equal(run_one(passage, 0, &found), XDP_TX);
    assert_memory_equal(&found.destination, &passage->server.address, 16);
    assert_int_equal(found.source_port, ntohs(passage->away.port));
}

#define MANY (100000U / SHARE)
#define CHURN (10000U / SHARE)
#define CHURN_SECONDS 12U

static void a_hundred_thousand_sessions_come_and_go_and_none_gets_anothers(void **state)
{
    const struct proxy_fast_options options = {.workers = 1, .max_sessions = MANY};
    struct proxy_fast *fast;
    struct error error;
    struct fields found;
    uint32_t *carried = calloc(MANY, sizeof *carried), refused = 0;
    (void)state;

    assert_non_null(carried);
    assert_int_equal(proxy_fast_open(&fast, &options, &error), 0);
    print_message("%u sessions: %llu bytes\n", MANY, (unsigned long long)proxy_fast_bytes(fast));
    proxy_fast_claim(fast, PORT, true);
    for (uint32_t i = 0; i < 20000; i++)
        proxy_fast_claim(fast, (uint16_t)(FIRST_NUMBER + i), true);
    proxy_fast_resume(fast);
    struct proxy_lane *lane = proxy_fast_lane(fast, 0);
    for (uint32_t i = 0; i < MANY + CHURN * CHURN_SECONDS; i++) {
        int64_t now_ns = (int64_t)(i / CHURN) * SECOND_NS;
        uint32_t *place = &carried[i % MANY];
        const struct proxy_passage passage = one_of_many(i % (MANY + CHURN)),
                                   before = one_of_many((i - MANY) % (MANY + CHURN));
        if (i >= MANY && *place != 0) {
            proxy_lane_withdraw(lane, *place, now_ns);
            if (i % 16 == 0) {
                assert_int_equal(run_one(&before, 0, &found), XDP_PASS);
                assert_int_equal(run_one(&before, 1, &found), XDP_PASS);
            }
        }
        *place = proxy_lane_offer(lane, &passage, proxy_fast_version(fast), now_ns);
        refused += *place == 0;
        if (*place == 0)
            continue;
        open_ways(lane, *place);
        if (i % 16 == 0)
            check_carried(&passage);
    }
    print_message("%u found their bucket full\n", refused);
    assert_true(refused <= MANY / 100); /* by the key, 36 to 153 were */
    proxy_fast_close(fast);
    free(carried);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_random_frame_is_forwarded_right_or_passed_on_unchanged),
        cmocka_unit_test(sessions_are_counted_that_are_carried_by_what_is_in_force),
        cmocka_unit_test(what_is_withdrawn_passes_no_more_and_has_its_slot_for_a_second),
        cmocka_unit_test(a_second_session_that_looks_alike_at_one_end_is_not_carried),
        cmocka_unit_test(a_passage_that_has_changed_is_not_renewed),
        cmocka_unit_test(a_direction_is_carried_after_a_pause_once_the_sockets_have_sent_all),
        cmocka_unit_test(nothing_is_overtaken_where_nothing_can_be_carried),
        cmocka_unit_test(what_comes_while_no_way_back_is_known_is_not_overtaken),
        cmocka_unit_test(when_routes_change_the_kernel_shows_the_way_again),
        cmocka_unit_test(what_a_router_finds_too_long_is_left_to_the_sockets),
        cmocka_unit_test(nothing_leaves_by_an_interface_that_is_down),
        cmocka_unit_test(what_is_no_way_of_a_session_is_not_taken_for_one),
        cmocka_unit_test(a_whole_checksum_that_looks_partial_stays_right),
        cmocka_unit_test(what_a_driver_does_not_take_is_lost_if_it_was_sent_here),
        cmocka_unit_test(what_crosses_families_or_has_a_scope_is_not_possible),
        cmocka_unit_test(a_limit_is_one_for_the_driver_and_the_sockets),
        cmocka_unit_test(a_limit_is_exact_while_several_take_from_it_at_once),
        cmocka_unit_test(a_hundred_thousand_sessions_come_and_go_and_none_gets_anothers),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The XDP program, run by the kernel over frames made here, without any interface. */
#include <linux/bpf.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <bpf/bpf.h>
#include <qcmp/wire.h>

#include "base/clock.h"
#include "fastpath/addresses.h"
#include "fastpath/parts.h"
#include "fastpath/shared.h"
#include "qcmp/responder.h"
#include "support/answer_one.h"
#include "support/cmocka.h"
#include "support/random.h"
#include "xdp/frame.h"
#include "xdp/program.h"

#define PORT 7600
#define HIGH_PORT 65535
#define MUTATIONS 200000
#define CHANGES 1000
#define OTHERS 100
static const struct in6_addr my_ipv4 = PROGRAM_IPV4(10, 1, 2, 3);
static const struct in6_addr peer_ipv4 = PROGRAM_IPV4(10, 1, 2, 4);
static const struct in6_addr neighbour = PROGRAM_IPV4(10, 1, 2, 200);
static const struct in6_addr my_ipv6 = PROGRAM_IPV6(1);
static const struct in6_addr peer_ipv6 = PROGRAM_IPV6(2);

/* Other addresses of the host, and broadcast ones of its networks. */
static const struct in6_addr no_sources[] = {
    PROGRAM_IPV4(10, 1, 2, 3),   PROGRAM_IPV6(1),
    PROGRAM_IPV4(10, 1, 2, 7),   PROGRAM_IPV6(7),
    PROGRAM_IPV4(10, 1, 2, 255), PROGRAM_IPV4(192, 0, 2, 9)};

#define NO_SOURCES (sizeof no_sources / sizeof no_sources[0])

/* Tags under which the host has both of its addresses. */
static const struct {
    uint16_t types[2];
    uint16_t ids[2];
    size_t count;
} my_tags[] = {
    {.count = 0}, {{0x8100}, {5}, 1}, {{0x88a8}, {6}, 1}, {{0x88a8, 0x8100}, {9, 4095}, 2}};

#define MY_TAGS (sizeof my_tags / sizeof my_tags[0])

static uint32_t tag_number(uint16_t type, uint16_t tag)
{
    uint32_t id = tag & 0xfffU;
    return id != 0 && type == 0x88a8 ? id | FASTPATH_TAG_IS_8021AD : id;
}

static uint32_t tags_number(const uint16_t *types, const uint16_t *tags, size_t count)
{
    uint32_t number = 0;
    unsigned shift = 0;
    for (size_t i = 0; i < count && i < FASTPATH_MAX_TAGS; i++) {
        uint32_t one = tag_number(types[i], tags[i]);
        number |= one << shift;
        shift += one != 0 ? FASTPATH_TAG_BITS : 0;
    }
    return number;
}

static void configure(const struct programs *programs)
{
    program_add_port(programs, PORT);
    program_add_port(programs, HIGH_PORT);
    for (size_t i = 0; i < MY_TAGS; i++) {
        uint32_t tags = tags_number(my_tags[i].types, my_tags[i].ids, my_tags[i].count);
        program_add_address(programs, &my_ipv4, tags);
        program_add_address(programs, &my_ipv6, tags | FASTPATH_TAGS_IPV6);
    }
    for (size_t i = 0; i < NO_SOURCES; i++)
        program_add_source(programs, &no_sources[i]);
}

static int load(void **state)
{
    struct programs *programs = program_load();
    configure(programs);
    *state = programs;
    return 0;
}

static int unload(void **state)
{
    program_unload(*state);
    return 0;
}

struct totals {
    uint64_t packets, others, bytes, answered;
};

static struct totals count(const struct programs *programs)
{
    struct totals totals = {0};
    struct program_counts counters = program_counters(programs);
    for (int i = 0; i < OUTCOME_COUNT; i++)
        totals.others += i != OUTCOME_VALID ? counters.qcmp.packets[i] + counters.qcmp.bytes[i] : 0;
    totals.packets = counters.qcmp.packets[OUTCOME_VALID];
    totals.bytes = counters.qcmp.bytes[OUTCOME_VALID];
    totals.answered = counters.answered;
    return totals;
}

static struct fields ping_fields(bool ipv6, uint8_t nonce, int64_t client_ns)
{
    struct fields fields =
        program_ping(ipv6 ? &peer_ipv6 : &peer_ipv4, ipv6 ? &my_ipv6 : &my_ipv4, PORT);
    struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = nonce, .client_ns = client_ns};
    qcmp_packet_encode(&ping, fields.data, sizeof fields.data);
    return fields;
}

static bool is_no_source(const struct in6_addr *source)
{
    bool found = false;
    for (size_t i = 0; i < NO_SOURCES; i++)
        found = found || memcmp(source, &no_sources[i], sizeof *source) == 0;
    return found;
}

/* The oracle: whether a frame is a ping that the sockets would answer, were they asked. */
static bool is_to_answer(const struct frame *frame, struct fields *fields)
{
    static const uint8_t mac[6] = PROGRAM_MAC;
    uint8_t pong[QCMP_PONG_BYTES];
    if (!frame_read(frame, fields) || memcmp(fields->to_mac, mac, sizeof mac) != 0 ||
        (fields->port != PORT && fields->port != HIGH_PORT) ||
        memcmp(&fields->destination, fields->is_ipv6 ? &my_ipv6 : &my_ipv4, 16) != 0)
        return false;
    bool has_tags = false;
    uint32_t tags = tags_number(fields->tag_types, fields->tags, fields->tags_count);
    for (size_t i = 0; i < MY_TAGS; i++)
        has_tags =
            has_tags || tags == tags_number(my_tags[i].types, my_tags[i].ids, my_tags[i].count);
    struct asked question = {.data = fields->data,
                             .bytes = fields->data_bytes,
                             .source = fields->source,
                             .destination = fields->destination,
                             .source_port = fields->source_port};
    /* These are the kernel's to refuse, or to answer another way. */
    bool is_strange = fields->is_ipv6 ? fields->checksum == 0 || fields->source.s6_addr[0] == 0
                                      : fields->source.s6_addr[12] == 127;
    is_strange = is_strange || (fields->from_mac[0] & 1) != 0 ||
                 memcmp(&fields->source, &fields->destination, 16) == 0 ||
                 is_no_source(&fields->source);
    return has_tags && !is_strange &&
           answer_one(&question, &(struct responder_rules){.access = NULL},
                      &(struct responder_turn){0}, pong) == OUTCOME_VALID;
}

/* The timestamps of a pong; fails unless all else of it is as it has to be. */
static struct qcmp_packet check_answer(const struct frame *answer, const struct fields *asked)
{
    struct fields found;
    struct qcmp_packet ping, pong;
    assert_true(frame_read(answer, &found));
    assert_true(frame_udp_checksum_is_right(answer, &found));
    assert_int_equal(found.padding, 0);
    assert_memory_equal(found.to_mac, asked->from_mac, 6);
    assert_memory_equal(found.from_mac, asked->to_mac, 6);
    assert_int_equal(found.tags_count, asked->tags_count);
    assert_memory_equal(found.tag_types, asked->tag_types, sizeof found.tag_types);
    assert_memory_equal(found.tags, asked->tags, sizeof found.tags);
    assert_int_equal(found.is_ipv6, asked->is_ipv6);
    assert_memory_equal(&found.source, &asked->destination, 16);
    assert_memory_equal(&found.destination, &asked->source, 16);
    assert_int_equal(found.source_port, asked->port);
    assert_int_equal(found.port, asked->source_port);
    const uint8_t *ip = answer->bytes + 14 + 4 * found.tags_count;
    static const uint8_t ipv4_head[] = {0x45, 0, 0, 61, 0, 0, 0x40, 0, 64, IPPROTO_UDP};
    static const uint8_t ipv6_head[] = {0x60, 0, 0, 0, 0, 41, IPPROTO_UDP, 64};
    assert_memory_equal(ip, found.is_ipv6 ? ipv6_head : ipv4_head,
                        found.is_ipv6 ? sizeof ipv6_head : sizeof ipv4_head);
    assert_int_equal(qcmp_packet_decode(asked->data, asked->data_bytes, &ping, NULL), QCMP_PING);
    assert_int_equal(qcmp_packet_decode(found.data, found.data_bytes, &pong, NULL), QCMP_PONG);
    assert_int_equal(pong.nonce, ping.nonce);
    assert_true(pong.client_ns == ping.client_ns);
    return pong;
}

/* Runs it over a frame, and compares what becomes of it with the oracle. Returns whether it was
 * answered. */
static bool check(const struct programs *programs, const struct frame *question)
{
    struct fields asked = {0};
    struct frame answer = *question;
    struct totals before = count(programs);
    bool expected = is_to_answer(question, &asked);
    int64_t before_ns = clock_wall_ns();
    uint32_t verdict = program_run(programs, &answer);
    int64_t after_ns = clock_wall_ns();
    struct totals after = count(programs);
    assert_int_equal(verdict, expected ? XDP_TX : XDP_PASS);
    assert_int_equal(after.packets - before.packets, expected);
    assert_int_equal(after.answered - before.answered, expected);
    assert_int_equal(after.bytes - before.bytes, expected ? QCMP_PING_BYTES : 0);
    assert_int_equal(after.others, 0);
    if (expected) {
        struct qcmp_packet pong = check_answer(&answer, &asked);
        assert_true(before_ns <= pong.server_start_ns);
        assert_true(pong.server_start_ns <= pong.server_transmit_ns);
        assert_true(pong.server_transmit_ns <= after_ns);
    } else {
        assert_int_equal(answer.length, question->length);
        assert_memory_equal(answer.bytes, question->bytes, question->length);
    }
    return expected;
}

static bool check_fields(const struct programs *programs, const struct fields *fields)
{
    struct frame frame = frame_make(fields);
    return check(programs, &frame);
}

static void every_nonce_is_answered(void **state)
{
    for (unsigned nonce = 0; nonce <= UINT8_MAX; nonce++) {
        struct fields ipv4 = ping_fields(false, (uint8_t)nonce, INT64_MIN + nonce);
        struct fields ipv6 = ping_fields(true, (uint8_t)nonce, INT64_MAX - nonce);
        assert_true(check_fields(*state, &ipv4));
        assert_true(check_fields(*state, &ipv6));
    }
}

static void padding_of_any_length_is_cut(void **state)
{
    for (size_t padding = 0; padding <= 100; padding++) {
        for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
            struct fields fields = ping_fields(ipv6, 1, 2);
            fields.padding = padding;
            assert_true(check_fields(*state, &fields));
        }
    }
}

static void tags_of_the_hosts_vlans_are_answered_with_the_same_tags(void **state)
{
    for (size_t i = 0; i < MY_TAGS; i++) {
        for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
            struct fields fields = ping_fields(ipv6, 3, 4);
            memcpy(fields.tag_types, my_tags[i].types, sizeof my_tags[i].types);
            fields.tags_count = my_tags[i].count;
            for (size_t j = 0; j < fields.tags_count; j++)
                fields.tags[j] = (uint16_t)(my_tags[i].ids[j] | 0xa000);
            assert_true(check_fields(*state, &fields));
        }
    }
}

static void a_tag_that_says_priority_alone_is_answered(void **state)
{
    struct fields fields = ping_fields(false, 3, 4);
    fields.tag_types[0] = 0x8100;
    fields.tags[0] = 0xe000;
    fields.tags_count = 1;
    assert_true(check_fields(*state, &fields));
}

static void tags_that_are_not_the_hosts_are_passed_on(void **state)
{
    static const struct {
        uint16_t types[3], tags[3];
        size_t count;
    } cases[] = {
        {{0x8100}, {6}, 1},
        {{0x88a8}, {5}, 1},
        {{0x8100, 0x8100}, {9, 4095}, 2},
        {{0x8100, 0x8100}, {5, 5}, 2},
        {{0x88a8, 0x8100}, {4095, 9}, 2},
        {{0x8100, 0x8100, 0x8100}, {0, 0, 5}, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fields fields = ping_fields(false, 3, 4);
        memcpy(fields.tag_types, cases[i].types, sizeof cases[i].types);
        memcpy(fields.tags, cases[i].tags, sizeof cases[i].tags);
        fields.tags_count = cases[i].count;
        assert_false(check_fields(*state, &fields));
    }
}

static void datagrams_of_every_length_but_a_pings_are_passed_on(void **state)
{
    for (size_t bytes = 0; bytes <= 100; bytes++) {
        for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
            struct fields fields = ping_fields(ipv6, 5, 6);
            fields.data_bytes = bytes;
            assert_int_equal(check_fields(*state, &fields), bytes == QCMP_PING_BYTES);
        }
    }
}

static void a_ping_with_any_wrong_byte_in_its_header_is_passed_on(void **state)
{
    for (size_t at = 0; at < QCMP_HEADER_BYTES; at++) {
        for (unsigned flip = 1; flip <= UINT8_MAX; flip++) {
            struct fields fields = ping_fields(flip & 1, 5, 6);
            fields.data[at] ^= (uint8_t)flip;
            assert_false(check_fields(*state, &fields));
        }
    }
}

static void a_frame_cut_anywhere_is_passed_on(void **state)
{
    for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
        struct fields fields = ping_fields(ipv6, 5, 6);
        struct frame frame = frame_make(&fields);
        /* The kernel takes no frame of less than Ethernet's header. */
        for (frame.length--; frame.length >= 14; frame.length--)
            assert_false(check(*state, &frame));
    }
}

static void what_is_not_addressed_to_this_host_is_passed_on(void **state)
{
    static const struct in6_addr others[] = {PROGRAM_IPV4(10, 1, 2, 255),
                                             PROGRAM_IPV4(255, 255, 255, 255),
                                             PROGRAM_IPV4(224, 0, 0, 1),
                                             PROGRAM_IPV6(3),
                                             {.s6_addr = {0xff, 2, [15] = 1}}};
    struct fields fields = ping_fields(false, 7, 8);
    fields.to_mac[5] ^= 1;
    assert_false(check_fields(*state, &fields));
    memset(fields.to_mac, 0xff, sizeof fields.to_mac);
    assert_false(check_fields(*state, &fields));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        fields = ping_fields(!IN6_IS_ADDR_V4MAPPED(&others[i]), 7, 8);
        fields.destination = others[i];
        assert_false(check_fields(*state, &fields));
    }
}

static void sources_that_nobody_can_have_are_passed_on(void **state)
{
    static const struct in6_addr sources[] = {PROGRAM_IPV4(0, 0, 0, 0),
                                              PROGRAM_IPV4(0, 1, 2, 3),
                                              PROGRAM_IPV4(127, 0, 0, 1),
                                              PROGRAM_IPV4(224, 0, 0, 1),
                                              PROGRAM_IPV4(239, 255, 255, 255),
                                              PROGRAM_IPV4(255, 255, 255, 255),
                                              IN6ADDR_ANY_INIT,
                                              IN6ADDR_LOOPBACK_INIT,
                                              {.s6_addr = {0xff, 2, [15] = 1}}};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        struct fields fields = ping_fields(!IN6_IS_ADDR_V4MAPPED(&sources[i]), 7, 8);
        fields.source = sources[i];
        assert_false(check_fields(*state, &fields));
    }
    struct fields fields = ping_fields(false, 7, 8);
    fields.source_port = 0;
    assert_false(check_fields(*state, &fields));
}

/* An answer would go to many, or to this host itself, which the sockets are never asked by. */
static void what_came_from_many_or_from_where_it_goes_is_passed_on(void **state)
{
    static const uint8_t many[][6] = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}};
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        struct fields fields = ping_fields(ipv6, 7, 8);
        for (size_t i = 0; i < sizeof many / sizeof many[0]; i++) {
            memcpy(fields.from_mac, many[i], sizeof fields.from_mac);
            assert_false(check_fields(*state, &fields));
        }
        fields = ping_fields(ipv6, 7, 8);
        fields.source = fields.destination;
        assert_false(check_fields(*state, &fields));
    }
}

static void who_sends_from_an_address_of_this_host_is_passed_on(void **state)
{
    for (size_t i = 0; i < NO_SOURCES; i++) {
        for (size_t tags = 0; tags < MY_TAGS; tags++) {
            struct fields fields = ping_fields(!IN6_IS_ADDR_V4MAPPED(&no_sources[i]), 7, 8);
            fields.source = no_sources[i];
            memcpy(fields.tag_types, my_tags[tags].types, sizeof my_tags[tags].types);
            memcpy(fields.tags, my_tags[tags].ids, sizeof my_tags[tags].ids);
            fields.tags_count = my_tags[tags].count;
            assert_false(check_fields(*state, &fields));
        }
    }
}

/* Whatever the filter says, the map decides. */
static void who_sends_from_any_other_address_is_answered(void **state)
{
    const struct programs *programs = *state;
    uint64_t sources = programs->fastpath->bss->settings.sources;
    for (unsigned last = 0; last <= UINT8_MAX; last++) {
        const struct in6_addr peers[] = {PROGRAM_IPV4(10, 1, 2, (uint8_t)last),
                                         PROGRAM_IPV6((uint8_t)last)};
        for (int ipv6 = 0; ipv6 < 2; ipv6++) {
            struct fields fields = ping_fields(ipv6, 7, 8);
            fields.source = peers[ipv6];
            bool expected = !is_no_source(&fields.source);
            assert_int_equal(check_fields(programs, &fields), expected);
            programs->fastpath->bss->settings.sources = UINT64_MAX;
            assert_int_equal(check_fields(programs, &fields), expected);
            programs->fastpath->bss->settings.sources = sources;
        }
    }
}

/* Somebody who asks on and on. */
struct asker {
    const struct programs *programs;
    const struct in6_addr *source;
    pthread_t thread;
    atomic_bool stop;
    atomic_size_t asked, answered;
};

static bool is_answered(const struct programs *programs, const struct in6_addr *source)
{
    struct fields fields = program_ping(source, &my_ipv4, PORT);
    struct frame frame = frame_make(&fields);
    return program_run(programs, &frame) != XDP_PASS;
}

static void *ask_on(void *argument)
{
    struct asker *asker = argument;
    do {
        asker->answered += is_answered(asker->programs, asker->source);
        asker->asked++;
    } while (!atomic_load(&asker->stop));
    return NULL;
}

static void asker_start(struct asker *asker)
{
    assert_int_equal(pthread_create(&asker->thread, NULL, ask_on, asker), 0);
}

static void asker_stop(struct asker *asker)
{
    atomic_store(&asker->stop, true);
    pthread_join(asker->thread, NULL);
    assert_true(asker->asked > 0);
}

/* Until whatever was being asked has had its answer, and something else, too. */
static void asker_await(const struct asker *asker)
{
    size_t asked = asker->asked;
    while (asker->asked < asked + 2)
        sched_yield();
}

/* A host's addresses in order: others, a source that may not be one, and where pings are answered.
 */
static struct fastpath_addresses addresses_with(struct fastpath_address *items, uint32_t others)
{
    struct fastpath_addresses addresses = {.items = items};
    for (uint32_t i = 0; i < others; i++)
        items[addresses.count++] =
            (struct fastpath_address){.address = {0, 0, 0, i}, .tags = FASTPATH_TAGS_NO_SOURCE};
    struct fastpath_address *source = &items[addresses.count++],
                            *answered = &items[addresses.count++];
    *source = (struct fastpath_address){.tags = FASTPATH_TAGS_NO_SOURCE};
    memcpy(source->address, &peer_ipv4, sizeof source->address);
    *answered = (struct fastpath_address){.tags = 0};
    memcpy(answered->address, &my_ipv4, sizeof answered->address);
    return addresses;
}

static void a_change_of_other_addresses_lets_no_source_through(void **state)
{
    struct fastpath_address few_items[2], many_items[2 + OTHERS];
    struct fastpath_addresses nothing = {.items = NULL};
    struct fastpath_addresses lists[] = {addresses_with(few_items, 0),
                                         addresses_with(many_items, OTHERS)};
    struct programs *programs = program_load();
    struct asker forger = {.programs = programs, .source = &peer_ipv4};
    struct fastpath_addresses_place place = {.map_fd =
                                                 bpf_map__fd(programs->fastpath->maps.addresses),
                                             .settings = &programs->fastpath->bss->settings};
    (void)state;
    program_add_port(programs, PORT);
    assert_int_equal(fastpath_addresses_store(&place, &nothing, &lists[0]), 0);
    asker_start(&forger);
    for (int i = 0; i < CHANGES; i++) {
        assert_int_equal(fastpath_addresses_store(&place, &lists[i % 2], &lists[(i + 1) % 2]), 0);
        assert_true(is_answered(programs, &neighbour));
    }
    asker_stop(&forger);
    assert_int_equal(forger.answered, 0);
    program_unload(programs);
}

/* Although every CPU remembers the last one that it was asked at. */
static void an_address_that_has_gone_is_answered_no_more(void **state)
{
    struct fastpath_address items[2 + OTHERS];
    struct fastpath_addresses nothing = {.items = NULL}, all = addresses_with(items, OTHERS);
    struct programs *programs = program_load();
    struct asker asker = {.programs = programs, .source = &neighbour};
    struct fastpath_addresses_place place = {.map_fd =
                                                 bpf_map__fd(programs->fastpath->maps.addresses),
                                             .settings = &programs->fastpath->bss->settings};
    (void)state;
    program_add_port(programs, PORT);
    asker_start(&asker);
    for (int i = 0; i < CHANGES / 4; i++) {
        assert_int_equal(fastpath_addresses_store(&place, &nothing, &all), 0);
        assert_true(is_answered(programs, &neighbour));
        asker_await(&asker);
        assert_int_equal(fastpath_addresses_store(&place, &all, &nothing), 0);
        assert_false(is_answered(programs, &neighbour));
        asker_await(&asker);
        size_t answered = asker.answered;
        asker_await(&asker);
        assert_int_equal(asker.answered, answered);
    }
    asker_stop(&asker);
    assert_true(asker.answered > 0);
    program_unload(programs);
}

static void an_ipv4_address_in_ipv6_is_passed_on(void **state)
{
    struct fields fields = ping_fields(true, 7, 8);
    struct frame frame = frame_make(&fields);
    memcpy(frame.bytes + 14 + 24, &my_ipv4, 16);
    assert_false(check(*state, &frame));
    memcpy(frame.bytes + 14 + 8, &peer_ipv4, 16);
    assert_false(check(*state, &frame));
}

static void only_ports_that_are_served_are_answered(void **state)
{
    static const uint16_t others[] = {0, 1, PORT - 1, PORT + 1, PORT + 64, HIGH_PORT - 1};
    struct fields fields = ping_fields(false, 7, 8);
    fields.port = HIGH_PORT;
    assert_true(check_fields(*state, &fields));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        fields.port = others[i];
        assert_false(check_fields(*state, &fields));
    }
}

static void what_ipv4_may_have_and_a_ping_need_not_is_passed_on(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {{0, 0x46},        {0, 0x55}, {6, 0x20}, {6, 0x01}, {7, 0x01},
                 {9, IPPROTO_TCP}, {3, 46},   {3, 44},   {2, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fields fields = ping_fields(false, 9, 10);
        fields.padding = 20;
        struct frame frame = frame_make(&fields);
        frame.bytes[14 + cases[i].at] = cases[i].value;
        frame_fix_ipv4(frame.bytes + 14);
        assert_false(check(*state, &frame));
    }
}

static void a_wrong_header_checksum_is_passed_on(void **state)
{
    struct fields fields = ping_fields(false, 9, 10);
    struct frame frame = frame_make(&fields);
    frame.bytes[14 + 10] ^= 1;
    assert_false(check(*state, &frame));
}

static void what_ipv6_may_have_and_a_ping_need_not_is_passed_on(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {{0, 0x45}, {6, 0}, {6, 44}, {6, 43}, {6, 60}, {5, 26}, {5, 24}, {4, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fields fields = ping_fields(true, 9, 10);
        fields.padding = 20;
        struct frame frame = frame_make(&fields);
        frame.bytes[14 + cases[i].at] = cases[i].value;
        assert_false(check(*state, &frame));
    }
}

static void a_udp_checksum_is_not_looked_at_but_must_be_there_over_ipv6(void **state)
{
    struct fields ipv4 = ping_fields(false, 9, 10), ipv6 = ping_fields(true, 9, 10);
    struct frame frame = frame_make(&ipv4);
    frame.bytes[14 + 20 + 6] ^= 1;
    assert_true(check(*state, &frame));
    memset(frame.bytes + 14 + 20 + 6, 0, 2);
    assert_true(check(*state, &frame));
    frame = frame_make(&ipv6);
    frame.bytes[14 + 40 + 6] ^= 1;
    assert_true(check(*state, &frame));
    memset(frame.bytes + 14 + 40 + 6, 0, 2);
    assert_false(check(*state, &frame));
}

/* In the generic mode it is completed later, at the place where the kernel saw it first. */
static void a_checksum_left_to_the_interface_is_left_to_it_in_the_generic_mode(void **state)
{
    const struct programs *programs = *state;
    uint32_t *interface = &programs->fastpath->bss->settings.interface;
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        struct fields fields = ping_fields(ipv6, 9, 10), found;
        uint16_t partial = frame_partial_checksum(&fields);
        size_t at = 14 + (ipv6 ? 40 : 20) + 6;
        struct frame ping = frame_make(&fields);
        ping.bytes[at] = (uint8_t)(partial >> 8);
        ping.bytes[at + 1] = (uint8_t)partial;
        for (*interface = 0; *interface < 4; ++*interface) {
            struct frame pong = ping;
            bool is_generic = (*interface & FASTPATH_IS_GENERIC) != 0;
            bool is_left = *interface == FASTPATH_IS_GENERIC;
            assert_int_equal(program_run(programs, &pong), is_left ? XDP_PASS : XDP_TX);
            assert_true(frame_read(&pong, &found));
            if (is_generic)
                assert_int_equal(found.checksum, frame_partial_checksum(&found));
            else
                assert_true(frame_udp_checksum_is_right(&pong, &found));
        }
        *interface = FASTPATH_IS_VETH | FASTPATH_IS_GENERIC;
        ping = frame_make(&fields);
        struct frame pong = ping;
        assert_int_equal(program_run(programs, &pong), XDP_TX);
        assert_true(frame_read(&pong, &found) && frame_udp_checksum_is_right(&pong, &found));
        for (int64_t i = 0; !frame_read(&ping, &found) || found.checksum != partial; i++) {
            fields = ping_fields(ipv6, 9, i);
            ping = frame_make(&fields);
        }
        assert_int_equal(program_run(programs, &ping), XDP_PASS); /* it is a whole one */
        *interface = 0;
    }
}

static void stamps_follow_the_offset_of_the_clock(void **state)
{
    const struct programs *programs = *state;
    struct fields fields = ping_fields(false, 9, 10), asked = {0};
    struct frame frame = frame_make(&fields);
    struct frame answer = frame;
    assert_true(is_to_answer(&frame, &asked));
    programs->fastpath->bss->settings.clock_offset_ns -= INT64_C(37000000000);
    int64_t before_ns = clock_wall_ns();
    assert_int_equal(program_run(programs, &answer), XDP_TX);
    int64_t after_ns = clock_wall_ns();
    programs->fastpath->bss->settings.clock_offset_ns += INT64_C(37000000000);
    struct qcmp_packet pong = check_answer(&answer, &asked);
    assert_in_range(pong.server_start_ns + INT64_C(37000000000), before_ns, after_ns);
}

static void mutate(struct frame *frame, uint64_t *random)
{
    size_t times = 1 + random_next(random) % 3;
    for (size_t i = 0; i < times; i++) {
        size_t at = random_next(random) % frame->length;
        switch (random_next(random) % 4) {
        case 0:
            frame->bytes[at] = (uint8_t)random_next(random);
            break;
        case 1:
            frame->bytes[at] ^= (uint8_t)(1U << random_next(random) % 8);
            break;
        case 2: /* what headers hold at other places */
            frame->bytes[at] = frame->bytes[random_next(random) % frame->length];
            break;
        default:
            if (at >= 14 && random_next(random) % 4 == 0)
                frame->length = at;
            break;
        }
    }
}

static void mutated_frames_are_answered_as_the_responder_would(void **state)
{
    uint64_t random = 20260101;
    size_t answered = 0;
    for (size_t i = 0; i < MUTATIONS; i++) {
        uint64_t tags = random_next(&random) % MY_TAGS;
        struct fields fields = ping_fields(i & 1, (uint8_t)i, (int64_t)random_next(&random));
        memcpy(fields.tag_types, my_tags[tags].types, sizeof my_tags[tags].types);
        memcpy(fields.tags, my_tags[tags].ids, sizeof my_tags[tags].ids);
        fields.tags_count = my_tags[tags].count;
        fields.padding = random_next(&random) % 8;
        fields.source_port = (uint16_t)random_next(&random);
        fields.source.s6_addr[15] = (uint8_t)(random_next(&random) % 16); /* some of this host */
        struct frame frame = frame_make(&fields);
        mutate(&frame, &random);
        if (!fields.is_ipv6 && random_next(&random) % 2 == 0 && frame.length > 60)
            frame_fix_ipv4(frame.bytes + 14 + 4 * fields.tags_count);
        answered += check(*state, &frame);
    }
    assert_true(answered > MUTATIONS / 10 && answered < MUTATIONS - MUTATIONS / 10);
}

/* As after fastpath_part_set() with -1. */
static void a_port_whose_part_is_taken_off_goes_to_the_sockets(void **state)
{
    const struct programs *programs = *state;
    struct fields fields = ping_fields(false, 1, 2);
    struct frame ping = frame_make(&fields), frame = ping;
    int parts = bpf_map__fd(programs->fastpath->maps.parts);
    int part = bpf_program__fd(programs->qcmp->progs.paddock_qcmp);
    uint32_t slot = FASTPATH_QCMP;

    assert_int_equal(bpf_map_delete_elem(parts, &slot), 0);
    assert_int_equal(program_run(programs, &frame), XDP_PASS);
    assert_int_equal(frame.length, ping.length);
    assert_memory_equal(frame.bytes, ping.bytes, ping.length);
    assert_int_equal(bpf_map_update_elem(parts, &slot, &part, BPF_ANY), 0);
    assert_int_equal(program_run(programs, &frame), XDP_TX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_nonce_is_answered),
        cmocka_unit_test(padding_of_any_length_is_cut),
        cmocka_unit_test(tags_of_the_hosts_vlans_are_answered_with_the_same_tags),
        cmocka_unit_test(a_tag_that_says_priority_alone_is_answered),
        cmocka_unit_test(tags_that_are_not_the_hosts_are_passed_on),
        cmocka_unit_test(datagrams_of_every_length_but_a_pings_are_passed_on),
        cmocka_unit_test(a_ping_with_any_wrong_byte_in_its_header_is_passed_on),
        cmocka_unit_test(a_frame_cut_anywhere_is_passed_on),
        cmocka_unit_test(what_is_not_addressed_to_this_host_is_passed_on),
        cmocka_unit_test(sources_that_nobody_can_have_are_passed_on),
        cmocka_unit_test(what_came_from_many_or_from_where_it_goes_is_passed_on),
        cmocka_unit_test(who_sends_from_an_address_of_this_host_is_passed_on),
        cmocka_unit_test(who_sends_from_any_other_address_is_answered),
        cmocka_unit_test(a_change_of_other_addresses_lets_no_source_through),
        cmocka_unit_test(an_address_that_has_gone_is_answered_no_more),
        cmocka_unit_test(an_ipv4_address_in_ipv6_is_passed_on),
        cmocka_unit_test(only_ports_that_are_served_are_answered),
        cmocka_unit_test(what_ipv4_may_have_and_a_ping_need_not_is_passed_on),
        cmocka_unit_test(a_wrong_header_checksum_is_passed_on),
        cmocka_unit_test(what_ipv6_may_have_and_a_ping_need_not_is_passed_on),
        cmocka_unit_test(a_udp_checksum_is_not_looked_at_but_must_be_there_over_ipv6),
        cmocka_unit_test(a_checksum_left_to_the_interface_is_left_to_it_in_the_generic_mode),
        cmocka_unit_test(stamps_follow_the_offset_of_the_clock),
        cmocka_unit_test(mutated_frames_are_answered_as_the_responder_would),
        cmocka_unit_test(a_port_whose_part_is_taken_off_goes_to_the_sockets),
    };
    return cmocka_run_group_tests(tests, load, unload);
}

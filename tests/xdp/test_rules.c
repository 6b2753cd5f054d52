/* SPDX-License-Identifier: Apache-2.0 */
/* Access lists and limits in the XDP program, run by the kernel over frames made here. */
#include "guard/driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <qcmp/wire.h>

#include "base/clock.h"
#include "guard/access.h"
#include "guard/guard.h"
#include "support/access_oracle.h"
#include "support/cmocka.h"
#include "support/random.h"
#include "support/random_prefix.h"
#include "xdp/program.h"

#define PORT 7600
#define SECOND_NS INT64_C(1000000000)
#define TABLE_BYTES (GUARD_TABLE_SETS * sizeof(struct guard_set))
#define NETWORKS_BYTES (sizeof(uint64_t) * 2 * GUARD_NETWORKS_WORDS)
#define LIST_MAX 131072

static const struct in6_addr my_ipv4 = PROGRAM_IPV4(10, 1, 2, 3);
static const struct in6_addr my_ipv6 = PROGRAM_IPV6(1);
static const struct in6_addr peer = PROGRAM_IPV4(10, 1, 2, 4);
static const struct in6_addr neighbour = PROGRAM_IPV4(10, 1, 2, 5);
static const struct prefix_list nobody;

struct fixture {
    struct programs *programs;
    struct guard_driver store;
    struct guard_set *table;
    struct siphash_key key;
    struct guard_rules
        rules; /* to start from: one width of each family, no cap to speak of, no leak */
    struct guard_parameters limits;
};

static void *map(const struct bpf_map *map, size_t bytes)
{
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    assert_ptr_not_equal(mapped, MAP_FAILED);
    return mapped;
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.programs = program_load(),
                         .key = {{3, 4}},
                         .rules = {.replies_per_second = GUARD_MAX_REPLIES,
                                   .ipv4 = {.items = {{32, 1, 50}}, .count = 1},
                                   .ipv6 = {.items = {{64, 1, 50}}, .count = 1}}};
    f.store.maps = (struct guard_driver_maps){
        .current = bpf_map__fd(f.programs->qcmp->maps.current_rules),
        .versions = {bpf_map__fd(f.programs->qcmp->maps.first_rules),
                     bpf_map__fd(f.programs->qcmp->maps.second_rules)},
        .prefixes = {bpf_map__fd(f.programs->qcmp->maps.first_prefixes),
                     bpf_map__fd(f.programs->qcmp->maps.second_prefixes)},
        .networks = map(f.programs->qcmp->maps.networks, NETWORKS_BYTES),
        .has_rules = &f.programs->qcmp->bss->has_rules};
    program_add_port(f.programs, PORT);
    program_add_address(f.programs, &my_ipv4, 0);
    program_add_address(f.programs, &my_ipv6, FASTPATH_TAGS_IPV6);
    f.table = map(f.programs->qcmp->maps.table, TABLE_BYTES);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    munmap(f->table, TABLE_BYTES);
    munmap(f->store.maps.networks, NETWORKS_BYTES);
    guard_driver_fini(&f->store);
    program_unload(f->programs);
    return 0;
}

static struct guard_driver_options options(const struct prefix_list *deny,
                                           const struct guard_parameters *limits)
{
    return (struct guard_driver_options){.allow = &nobody, .deny = deny, .limits = limits};
}

static void apply(struct fixture *f, const struct guard_driver_options *options)
{
    assert_int_equal(guard_driver_prepare(&f->store, options), 0);
    assert_int_equal(guard_driver_apply(&f->store), 0);
}

static void limit(struct fixture *f)
{
    guard_parameters_init(&f->limits, &f->rules, &f->key);
    struct guard_driver_options limited = options(&nobody, &f->limits);
    apply(f, &limited);
}

static void deny(struct prefix_list *list, const char *text)
{
    struct prefix prefix;
    assert_int_equal(prefix_parse(text, &prefix), 0);
    assert_int_equal(prefix_list_add(list, &prefix), 0);
}

/* What became of a datagram. */
enum fate {
    PASSED,
    FIRST_OUTCOME
};

#define FATE(outcome) ((enum fate)(FIRST_OUTCOME + OUTCOME_##outcome))

/* Runs the program over a datagram, and checks that it is counted once, with its bytes, and
 * answered, dropped or passed on as it is counted. */
static enum fate run(const struct fixture *f, const struct fields *fields)
{
    struct frame frame = frame_make(fields);
    struct program_counts before = program_counters(f->programs);
    uint32_t verdict = program_run(f->programs, &frame);
    struct program_counts after = program_counters(f->programs);
    unsigned fate = PASSED;
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        if (after.qcmp.packets[i] == before.qcmp.packets[i])
            continue;
        assert_int_equal(fate, PASSED);
        fate = FIRST_OUTCOME + i;
        assert_int_equal(after.qcmp.packets[i] - before.qcmp.packets[i], 1);
        assert_int_equal(after.qcmp.bytes[i] - before.qcmp.bytes[i], fields->data_bytes);
    }
    bool is_answered = fate == FATE(VALID) || fate == FATE(LEAKED);
    assert_int_equal(after.answered - before.answered, is_answered);
    assert_int_equal(verdict, is_answered ? XDP_TX : fate == PASSED ? XDP_PASS : XDP_DROP);
    return (enum fate)fate;
}

static enum fate ping(const struct fixture *f, const struct in6_addr *source)
{
    struct fields fields =
        program_ping(source, IN6_IS_ADDR_V4MAPPED(source) ? &my_ipv4 : &my_ipv6, PORT);
    return run(f, &fields);
}

/* So many pings, counted by what becomes of them. */
struct fates {
    size_t counts[FIRST_OUTCOME + OUTCOME_COUNT];
    int64_t took_ns;
};

#define COUNTED(fates, outcome) ((fates).counts[FATE(outcome)])

static struct fates flood(const struct fixture *f, const struct in6_addr *source, size_t pings)
{
    struct fates fates = {.took_ns = clock_monotonic_ns()};
    for (size_t i = 0; i < pings; i++)
        fates.counts[ping(f, source)]++;
    fates.took_ns = clock_monotonic_ns() - fates.took_ns;
    return fates;
}

/* The n-th of addresses that share no prefix of 24 bits. */
static struct in6_addr stranger(unsigned n)
{
    struct in6_addr address = PROGRAM_IPV4(20, (uint8_t)(n >> 8), (uint8_t)n, 1);
    return address;
}

/* Tokens that a second bring at one a second, while a test ran. */
static size_t brought(int64_t took_ns)
{
    return (size_t)(took_ns / SECOND_NS) + 1;
}

static void everybody_is_answered_without_rules(void **state)
{
    struct fates fates = flood(*state, &peer, 1000);
    assert_int_equal(COUNTED(fates, VALID), 1000);
}

static void a_source_has_its_burst(void **state)
{
    struct fixture *f = *state;
    limit(f);
    struct fates fates = flood(f, &peer, 500);
    assert_in_range(COUNTED(fates, VALID), 50, 50 + brought(fates.took_ns));
    assert_int_equal(COUNTED(fates, VALID) + COUNTED(fates, RATE_LIMITED), 500);
    struct in6_addr ipv6 = PROGRAM_IPV6(2), same_network = PROGRAM_IPV6(3);
    fates = flood(f, &ipv6, 500);
    assert_in_range(COUNTED(fates, VALID), 50, 50 + brought(fates.took_ns));
    fates = flood(f, &same_network, 50);
    assert_in_range(COUNTED(fates, VALID), 0, brought(fates.took_ns) + 1);
}

static void a_network_has_its_burst_and_a_flooded_source_takes_its_own_share_of_it(void **state)
{
    struct fixture *f = *state;
    f->rules.ipv4 = (struct guard_rule_list){.items = {{32, 1, 50}, {24, 1, 80}}, .count = 2};
    limit(f);
    struct fates own = flood(f, &peer, 500), next = flood(f, &neighbour, 500);
    size_t most = brought(own.took_ns + next.took_ns);
    assert_in_range(COUNTED(own, VALID), 50, 50 + most);
    assert_in_range(COUNTED(own, VALID) + COUNTED(next, VALID), 80, 80 + most);
    struct in6_addr other = stranger(1);
    assert_int_equal(ping(f, &other), FATE(VALID));
}

static void a_source_has_no_more_than_its_rate(void **state)
{
    struct fixture *f = *state;
    const size_t rate = 2000, burst = 10, wanted = 500;
    f->rules.ipv4.items[0] = (struct guard_rule){32, (uint32_t)rate, (uint32_t)burst};
    limit(f);
    size_t answered = 0;
    int64_t began_ns = clock_monotonic_ns();
    while (answered < wanted)
        answered += ping(f, &peer) == FATE(VALID);
    int64_t took_ns = clock_monotonic_ns() - began_ns;
    assert_true((uint64_t)took_ns >= (wanted - burst) * (uint64_t)SECOND_NS / rate);
}

static void the_process_has_a_cap_of_which_new_sources_have_half(void **state)
{
    struct fixture *f = *state;
    f->rules.replies_per_second = 100;
    limit(f);
    int64_t began_ns = clock_monotonic_ns();
    size_t answered = 0;
    for (unsigned n = 0; n < 1000; n++) {
        struct in6_addr source = stranger(n);
        enum fate fate = ping(f, &source);
        assert_true(fate == FATE(VALID) || fate == FATE(PROCESS_CAP));
        answered += fate == FATE(VALID);
    }
    size_t seconds = (size_t)((clock_monotonic_ns() - began_ns) / SECOND_NS) + 1;
    assert_in_range(answered, 1, 50 * seconds);
}

static bool is_steady(const struct fixture *f)
{
    for (size_t set = 0; set < GUARD_SETS; set++) {
        for (size_t way = 0; way < GUARD_WAYS; way++) {
            if (guard_state(f->table[set].words[way]) == GUARD_STEADY)
                return true;
        }
    }
    return false;
}

/* The clock is the kernel's: a source that is to be steady has to be seen for so long. */
static void a_steady_source_is_answered_while_a_flood_uses_up_what_the_new_ones_have(void **state)
{
    struct fixture *f = *state;
    f->rules.replies_per_second = 1000;
    f->rules.ipv4.items[0] = (struct guard_rule){32, 100000, 100000};
    limit(f);
    while (!is_steady(f))
        ping(f, &peer);
    size_t capped = 0;
    for (unsigned n = 0; capped < 500; n++) {
        struct in6_addr source = stranger(n % 65536);
        capped += ping(f, &source) == FATE(PROCESS_CAP);
    }
    assert_int_equal(ping(f, &peer), FATE(VALID));
}

static void a_part_of_what_is_refused_leaks(void **state)
{
    struct fixture *f = *state;
    f->rules.leak = 16;
    limit(f);
    struct fates fates = flood(f, &peer, 3200 + 50);
    /* 200 are expected; seven times the standard deviation either way. */
    assert_in_range(COUNTED(fates, LEAKED), 100, 300);
    assert_int_equal(COUNTED(fates, LEAKED) + COUNTED(fates, VALID) + COUNTED(fates, RATE_LIMITED),
                     3200 + 50);
}

static void leaks_have_a_part_of_the_cap(void **state)
{
    struct fixture *f = *state;
    f->rules.leak = 1;
    f->rules.replies_per_second = 6400;
    limit(f);
    struct fates fates = flood(f, &peer, 2000);
    size_t seconds = (size_t)(fates.took_ns / SECOND_NS) + 1;
    assert_in_range(COUNTED(fates, LEAKED), 1, 100 * seconds);
}

static enum guard_verdict decide_here(const struct fixture *f, const struct in6_addr *source)
{
    struct guard_address words = guard_address(source);
    return guard_decide(&f->limits, &words, (uint64_t)clock_monotonic_ns(), guard_table_find,
                        f->table);
}

static void tokens_are_shared_with_who_has_the_table_mapped(void **state)
{
    struct fixture *f = *state;
    limit(f);
    int64_t began_ns = clock_monotonic_ns();
    flood(f, &peer, 60);
    size_t own = 0, next = 0;
    for (int i = 0; i < 60; i++)
        own += decide_here(f, &peer) == GUARD_ANSWER;
    for (int i = 0; i < 60; i++)
        next += decide_here(f, &neighbour) == GUARD_ANSWER;
    struct fates fates = flood(f, &neighbour, 60);
    size_t most = brought(clock_monotonic_ns() - began_ns) + 1;
    assert_in_range(own, 0, most);
    assert_in_range(next, 50, 50 + most);
    assert_in_range(COUNTED(fates, VALID), 0, most);
}

/* What the program leaves to the kernel, whatever the lists say. */
static bool is_odd(const struct in6_addr *source)
{
    uint8_t first = source->s6_addr[IN6_IS_ADDR_V4MAPPED(source) ? 12 : 0];
    return IN6_IS_ADDR_V4MAPPED(source)
               ? first == 0 || first == 127 || first >> 4 == 0xe ||
                     (first == 0xff && source->s6_addr[13] == 0xff && source->s6_addr[14] == 0xff &&
                      source->s6_addr[15] == 0xff)
               : first == 0 || first == 0xff;
}

/* Lists, built for both. */
struct lists {
    struct prefix_list allow, deny;
    struct access *access;
    struct prefix all[64];
    size_t count;
};

static void random_lists(struct fixture *f, struct lists *lists, uint64_t *seed)
{
    *lists = (struct lists){.count = 1 + random_next(seed) % 64};
    for (size_t i = 0; i < lists->count; i++) {
        lists->all[i] = random_prefix(seed);
        bool is_allowed = random_next(seed) % 3 == 0;
        assert_int_equal(prefix_list_add(is_allowed ? &lists->allow : &lists->deny, &lists->all[i]),
                         0);
        if (random_next(seed) % 8 == 0) /* in both */
            assert_int_equal(
                prefix_list_add(is_allowed ? &lists->deny : &lists->allow, &lists->all[i]), 0);
    }
    assert_int_equal(access_new(&lists->access, &lists->allow, &lists->deny), 0);
    struct guard_driver_options listed = {.allow = &lists->allow, .deny = &lists->deny};
    apply(f, &listed);
}

static void lists_fini(struct lists *lists)
{
    access_free(lists->access);
    prefix_list_fini(&lists->allow);
    prefix_list_fini(&lists->deny);
}

static void random_lists_say_the_same_as_to_the_sockets_and_as_a_naive_search(void **state)
{
    struct fixture *f = *state;
    struct lists lists;
    uint64_t seed = 1;
    size_t allowed = 0, denied = 0;
    for (unsigned round = 0; round < 200; round++) {
        random_lists(f, &lists, &seed);
        for (unsigned i = 0; i < 100; i++) {
            struct in6_addr source =
                random_address(&seed, &lists.all[random_next(&seed) % lists.count]);
            bool expected = access_allows(lists.access, &source);
            assert_int_equal(expected, oracle_allows(&lists.allow, &lists.deny, &source));
            enum fate fate = ping(f, &source);
            if (is_odd(&source)) {
                assert_int_equal(fate, PASSED);
                continue;
            }
            assert_int_equal(fate, expected ? FATE(VALID) : FATE(ACCESS_DENIED));
            allowed += expected;
            denied += !expected;
        }
        lists_fini(&lists);
    }
    assert_true(allowed > 1000 && denied > 1000);
}

static void
whatever_a_denied_source_sends_is_refused_and_of_others_only_pings_are_looked_at(void **state)
{
    struct fixture *f = *state;
    struct prefix_list denied = {0};
    struct guard_driver_options listed = options(&denied, NULL);
    deny(&denied, "10.1.2.4");
    deny(&denied, "fd00::/120");
    apply(f, &listed);
    struct in6_addr sources[] = {PROGRAM_IPV4(10, 1, 2, 4),
                                 PROGRAM_IPV4(10, 1, 2, 5),
                                 PROGRAM_IPV6(2),
                                 {.s6_addr = {0xfd, [14] = 1}}};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        for (size_t bytes = 0; bytes <= 100; bytes++) {
            struct fields fields = program_ping(&sources[i], i < 2 ? &my_ipv4 : &my_ipv6, PORT);
            fields.data_bytes = bytes;
            enum fate fate = run(f, &fields);
            enum fate not_denied = bytes == QCMP_PING_BYTES ? FATE(VALID) : PASSED;
            assert_int_equal(fate, i % 2 == 0 ? FATE(ACCESS_DENIED) : not_denied);
        }
    }
    prefix_list_fini(&denied);
}

static void what_no_socket_of_ours_would_get_is_not_refused(void **state)
{
    struct fixture *f = *state;
    struct prefix_list denied = {0};
    struct guard_driver_options listed = options(&denied, NULL);
    deny(&denied, "0.0.0.0/0");
    apply(f, &listed);
    struct fields fields = program_ping(&peer, &neighbour, PORT);
    assert_int_equal(run(f, &fields), PASSED);
    fields = program_ping(&peer, &my_ipv4, PORT + 1);
    assert_int_equal(run(f, &fields), PASSED);
    fields = program_ping(&peer, &my_ipv4, PORT);
    fields.source_port = 0;
    assert_int_equal(run(f, &fields), PASSED);
    fields.source_port = 1;
    struct frame cut = frame_make(&fields);
    for (cut.length--; cut.length >= 14; cut.length--) {
        struct frame frame = cut;
        assert_int_equal(program_run(f->programs, &frame), XDP_PASS);
    }
    assert_int_equal(run(f, &fields), FATE(ACCESS_DENIED));
    prefix_list_fini(&denied);
}

static void what_is_prepared_and_not_applied_changes_nothing_and_the_last_one_counts(void **state)
{
    struct fixture *f = *state;
    struct prefix_list first = {0}, second = {0};
    struct guard_driver_options firsts = options(&first, NULL), seconds = options(&second, NULL);
    deny(&first, "10.1.2.4");
    deny(&second, "10.1.2.5");
    assert_int_equal(guard_driver_prepare(&f->store, &firsts), 0);
    assert_int_equal(ping(f, &peer), FATE(VALID));
    assert_int_equal(guard_driver_prepare(&f->store, &seconds), 0);
    assert_int_equal(ping(f, &peer), FATE(VALID));
    assert_int_equal(guard_driver_apply(&f->store), 0);
    assert_int_equal(ping(f, &peer), FATE(VALID));
    assert_int_equal(ping(f, &neighbour), FATE(ACCESS_DENIED));
    struct guard_driver_options none = options(&nobody, NULL);
    apply(f, &none);
    assert_int_equal(ping(f, &neighbour), FATE(VALID));
    apply(f, &firsts);
    assert_int_equal(ping(f, &peer), FATE(ACCESS_DENIED));
    assert_int_equal(ping(f, &neighbour), FATE(VALID));
    prefix_list_fini(&first);
    prefix_list_fini(&second);
}

static void random_prefixes(struct prefix_list *list, size_t count, uint64_t *seed)
{
    while (list->count < count) {
        struct prefix prefix = {.bits = list->count % 2 == 0 ? PREFIX_IPV4_BITS + 32 : 64};
        uint64_t random = random_next(seed);
        memcpy(prefix.address.s6_addr, &random, 8);
        prefix.address.s6_addr[0] = 0x20;
        if (list->count % 2 == 0)
            prefix.address = stranger((unsigned)random);
        assert_int_equal(prefix_list_add(list, &prefix), 0);
    }
}

static void the_longest_lists_fit_again_and_again_and_longer_ones_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct prefix_list allow = {0}, denied = {0};
    uint64_t seed = 2;
    random_prefixes(&allow, LIST_MAX, &seed);
    random_prefixes(&denied, LIST_MAX, &seed);
    struct guard_driver_options both = {.allow = &allow, .deny = &denied};
    for (int i = 0; i < 3; i++) {
        apply(f, &both);
        assert_int_equal(ping(f, &denied.items[0].address), FATE(ACCESS_DENIED));
        assert_int_equal(ping(f, &peer), FATE(ACCESS_DENIED));
    }
    random_prefixes(&denied, LIST_MAX + 1, &seed);
    assert_int_equal(guard_driver_prepare(&f->store, &both), -E2BIG);
    assert_int_equal(ping(f, &peer), FATE(ACCESS_DENIED));
    prefix_list_fini(&allow);
    prefix_list_fini(&denied);
}

struct pinger {
    const struct fixture *f;
    atomic_bool stop;
    size_t answered, asked;
};

static void *ping_on(void *argument)
{
    struct pinger *pinger = argument;
    struct fields fields = program_ping(&peer, &my_ipv4, PORT);
    const struct frame question = frame_make(&fields);
    while (!atomic_load(&pinger->stop)) {
        struct frame frame = question;
        pinger->asked++;
        pinger->answered += program_run(pinger->f->programs, &frame) != XDP_DROP;
    }
    return NULL;
}

/* One version denies a source and limits nobody, the other one allows all and limits this source to
 * nothing: what is made of parts of both would answer. */
static void a_change_is_never_seen_in_part(void **state)
{
    struct fixture *f = *state;
    struct prefix_list denied = {0};
    struct pinger pinger = {.f = f};
    pthread_t thread;
    guard_parameters_init(&f->limits, &f->rules, &f->key);
    deny(&denied, "10.1.2.4");
    struct guard_parameters never = f->limits; /* a bucket in which there is no room for a token */
    never.ipv4.levels[0].bucket = (struct guard_bucket){.interval = 2, .depth = 1};
    struct guard_driver_options versions[2] = {options(&denied, NULL), options(&nobody, &never)};
    apply(f, &versions[0]);
    assert_int_equal(pthread_create(&thread, NULL, ping_on, &pinger), 0);
    for (unsigned i = 1; i < 100; i++)
        apply(f, &versions[i % 2]);
    atomic_store(&pinger.stop, true);
    pthread_join(thread, NULL);
    assert_true(pinger.asked > 0);
    assert_int_equal(pinger.answered, 0);
    struct program_counts counters = program_counters(f->programs);
    assert_int_equal(counters.qcmp.packets[OUTCOME_ACCESS_DENIED] +
                         counters.qcmp.packets[OUTCOME_RATE_LIMITED],
                     pinger.asked);
    prefix_list_fini(&denied);
}

#define RULES_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* From the receive to the transmit stamp of the answer to a ping. */
static int64_t hold_ns(const struct fixture *f)
{
    struct fields fields = program_ping(&peer, &my_ipv4, PORT), found;
    struct frame frame = frame_make(&fields);
    struct qcmp_packet pong;
    assert_int_equal(program_run(f->programs, &frame), XDP_TX);
    assert_true(frame_read(&frame, &found));
    assert_int_equal(qcmp_packet_decode(found.data, found.data_bytes, &pong, NULL), QCMP_PONG);
    return pong.server_transmit_ns - pong.server_start_ns;
}

static void the_clock_is_read_again_where_rules_were_looked_at(void **state)
{
    struct fixture *f = *state;
    const struct guard_driver_options none = options(&nobody, NULL);
    for (int i = 0; i < 3; i++) { /* with either version in use */
        assert_int_equal(hold_ns(f), 0);
        limit(f);
        assert_true(hold_ns(f) > 0);
        apply(f, &none);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RULES_TEST(everybody_is_answered_without_rules),
        RULES_TEST(a_source_has_its_burst),
        RULES_TEST(a_network_has_its_burst_and_a_flooded_source_takes_its_own_share_of_it),
        RULES_TEST(a_source_has_no_more_than_its_rate),
        RULES_TEST(the_process_has_a_cap_of_which_new_sources_have_half),
        RULES_TEST(a_steady_source_is_answered_while_a_flood_uses_up_what_the_new_ones_have),
        RULES_TEST(a_part_of_what_is_refused_leaks),
        RULES_TEST(leaks_have_a_part_of_the_cap),
        RULES_TEST(tokens_are_shared_with_who_has_the_table_mapped),
        RULES_TEST(random_lists_say_the_same_as_to_the_sockets_and_as_a_naive_search),
        RULES_TEST(
            whatever_a_denied_source_sends_is_refused_and_of_others_only_pings_are_looked_at),
        RULES_TEST(what_no_socket_of_ours_would_get_is_not_refused),
        RULES_TEST(what_is_prepared_and_not_applied_changes_nothing_and_the_last_one_counts),
        RULES_TEST(the_clock_is_read_again_where_rules_were_looked_at),
        RULES_TEST(the_longest_lists_fit_again_and_again_and_longer_ones_change_nothing),
        RULES_TEST(a_change_is_never_seen_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

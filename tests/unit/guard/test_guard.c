/* SPDX-License-Identifier: Apache-2.0 */
/* The guard beside a clock of the test's own. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "guard/guard.h"
#include "support/random.h"

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)
#define START_NS (UINT64_C(123456) * SECOND_NS)

static const struct siphash_key KEY = {{1, 2}};

struct fixture {
    struct guard_set *table;
    struct guard_parameters parameters;
    struct guard_rules rules;
    uint64_t now_ns;
    uint64_t seed;
};

static void apply_rules(struct fixture *f)
{
    guard_parameters_init(&f->parameters, &f->rules, &KEY);
}

/* A cap far away, no leak, and the levels that stand by default. */
static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){
        .table = guard_table_new(), .rules = guard_default_rules, .now_ns = START_NS, .seed = 7};
    assert_non_null(f.table);
    f.rules.replies_per_second = GUARD_MAX_REPLIES;
    f.rules.leak = 0;
    apply_rules(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    guard_table_free(f->table);
    return 0;
}

static struct guard_address address(const char *text)
{
    struct in6_addr parsed;
    assert_int_equal(inet_pton(AF_INET6, text, &parsed), 1);
    return guard_address(&parsed);
}

static struct guard_address random_ipv4(struct fixture *f)
{
    return (struct guard_address){0, UINT64_C(0xffff) << 32 | (uint32_t)random_next(&f->seed) |
                                         UINT32_C(0x80000000)}; /* no loopback */
}

static enum guard_verdict ask(struct fixture *f, struct guard_address source)
{
    return guard_decide(&f->parameters, &source, f->now_ns, guard_table_find, f->table);
}

static bool answers(struct fixture *f, struct guard_address source)
{
    return ask(f, source) == GUARD_ANSWER;
}

/* Whether it is answered, leaks included; as the responder does it. */
static bool answers_or_leaks(struct fixture *f, struct guard_address source)
{
    enum guard_verdict verdict = ask(f, source);
    uint32_t random = (uint32_t)random_next(&f->seed);
    return verdict == GUARD_ANSWER ||
           (verdict == GUARD_LIMITED &&
            guard_leaks(&f->parameters, random, f->now_ns, guard_table_find, f->table));
}

/* Answers to so many pings at once. */
static unsigned burst(struct fixture *f, const char *source, unsigned pings)
{
    unsigned answered = 0;
    for (unsigned i = 0; i < pings; i++)
        answered += answers(f, address(source));
    return answered;
}

static void a_source_has_its_burst_and_then_its_rate(void **state)
{
    struct fixture *f = *state;
    static const uint32_t rates[] = {1, 7, 50, 300, 1000, 99999};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        f->rules.ipv4 = (struct guard_rule_list){{{32, rates[i], 2 * rates[i]}}, 1};
        apply_rules(f);
        struct guard_address source = random_ipv4(f);
        uint64_t answered = 0, seconds = rates[i] < 2000 ? 20 : 1,
                 step_ns = SECOND_NS / rates[i] / 3;
        for (uint64_t at = 0; at < seconds * SECOND_NS; at += step_ns) {
            answered += answers(f, source);
            f->now_ns += step_ns;
        }
        uint64_t expected = 2 * rates[i] + seconds * rates[i];
        assert_in_range(answered, expected - 1 - expected / 500, expected + 1);
    }
}

static void a_bucket_is_full_again_and_no_fuller_after_a_pause(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 200);
    f->now_ns += 500 * MS_NS;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 50);
    f->now_ns += 3600 * SECOND_NS;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 200);
}

static void time_that_stands_or_goes_back_a_little_gives_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 200);
    f->now_ns -= 5 * MS_NS; /* another worker's batch */
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 0);
    f->now_ns += 5 * MS_NS;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 0);
}

static void prefixes_are_those_of_the_rules(void **state)
{
    struct fixture *f = *state;
    f->rules.ipv4 = (struct guard_rule_list){{{32, 10, 10}, {24, 10, 25}, {16, 10, 40}}, 3};
    f->rules.ipv6 = (struct guard_rule_list){{{64, 10, 10}, {48, 10, 15}}, 2};
    apply_rules(f);
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 100), 10);
    assert_int_equal(burst(f, "::ffff:192.0.2.2", 100), 10);
    assert_int_equal(burst(f, "::ffff:192.0.2.3", 100), 5);  /* the rest of its /24 */
    assert_int_equal(burst(f, "::ffff:192.0.3.1", 100), 10); /* another /24 */
    assert_int_equal(burst(f, "::ffff:192.0.3.2", 100), 5);  /* the rest of its /16 */
    assert_int_equal(burst(f, "::ffff:192.1.2.1", 100), 10);
    assert_int_equal(burst(f, "2001:db8:0:1::1", 100), 10);
    assert_int_equal(burst(f, "2001:db8:0:1:ffff::1", 100), 0); /* in that /64, too */
    assert_int_equal(burst(f, "2001:db8:0:2::1", 100), 5);      /* the rest of its /48 */
    assert_int_equal(burst(f, "2001:db8:1:2::1", 100), 10);
}

static void the_same_bits_under_another_width_are_another_prefix(void **state)
{
    struct fixture *f = *state;
    f->rules.ipv6 = (struct guard_rule_list){{{128, 10, 10}, {64, 10, 12}}, 2};
    apply_rules(f);
    assert_int_equal(burst(f, "2001:db8::", 100), 10);
    assert_int_equal(burst(f, "2001:db8::1", 100), 2);
}

static void a_flooded_address_leaves_its_neighbours_their_share(void **state)
{
    struct fixture *f = *state;
    unsigned answered = 0, asked = 0;
    for (unsigned i = 0; i < 100000; i++) {
        f->now_ns += SECOND_NS / 100000;
        burst(f, "::ffff:192.0.2.1", 1);
        if (i % 2000 == 0) { /* 50 a second */
            asked++;
            answered += burst(f, "::ffff:192.0.2.2", 1);
        }
    }
    assert_int_equal(asked, 50);
    assert_int_equal(answered, asked);
}

/* New sources at ten times the cap; the most answers of any second. */
static unsigned most_in_a_second(struct fixture *f, uint32_t replies)
{
    enum {
        SLICES = 20
    }; /* parts of a second */
    unsigned slices[5 * SLICES] = {0}, most = 0;
    uint32_t pings = replies * 10 / SLICES;
    f->rules.replies_per_second = replies;
    apply_rules(f);
    for (unsigned i = 0; i < 5 * SLICES; i++) {
        for (uint32_t j = 0; j < pings; j++) {
            f->now_ns += SECOND_NS / SLICES / pings;
            slices[i] += answers(f, random_ipv4(f));
        }
    }
    for (unsigned i = 0; i + SLICES <= 5 * SLICES; i++) {
        unsigned sum = 0;
        for (unsigned j = 0; j < SLICES; j++)
            sum += slices[i + j];
        most = sum > most ? sum : most;
    }
    return most;
}

static void new_sources_have_half_of_the_cap_in_any_second(void **state)
{
    static const uint32_t caps[] = {2, 10, 128, 1000, 5000};
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        unsigned most = most_in_a_second(*state, caps[i]);
        assert_in_range(most, caps[i] / 2 - caps[i] / 50, caps[i] / 2);
    }
}

/* What 1000 sources of ten pings a second get, of 10,000 a second, while new ones come. */
static unsigned steady_answers(struct fixture *f, unsigned new_for_each, unsigned seconds)
{
    unsigned answered = 0;
    for (unsigned i = 0; i < 10000 * seconds; i++) {
        struct guard_address source = {UINT64_C(0x20010db800000000) + i % 1000 * 65536, 1};
        f->now_ns += 100000;
        answered += answers(f, source);
        for (unsigned j = 0; j < new_for_each; j++)
            answers(f, random_ipv4(f));
    }
    return answered;
}

static void steady_sources_have_their_half_of_the_cap_whatever_new_ones_do(void **state)
{
    struct fixture *f = *state;
    f->rules.replies_per_second = 20400;
    apply_rules(f);
    assert_int_equal(steady_answers(f, 0, 2), 20000);
    assert_int_equal(steady_answers(f, 10, 3), 30000);
}

static void no_second_has_more_answers_than_the_cap(void **state)
{
    struct fixture *f = *state;
    unsigned answered = 0;
    f->rules.replies_per_second = 5000;
    apply_rules(f);
    steady_answers(f, 0, 2);
    for (unsigned second = 0; second < 3; second++) {
        answered = steady_answers(f, 0, 1);
        assert_in_range(answered, 4900, 5000);
    }
}

/* What 500,000 new sources a second, and as many prefixes, do to the table. */
static void new_sources_push_no_steady_one_out_of_the_table(void **state)
{
    struct fixture *f = *state;
    f->rules.ipv6 = (struct guard_rule_list){{{64, 100, 200}}, 1};
    apply_rules(f);
    assert_int_equal(steady_answers(f, 0, 2), 20000);
    steady_answers(f, 100, 1);       /* a million of them */
    f->rules.replies_per_second = 2; /* from now on only the steady have anything */
    apply_rules(f);
    f->parameters.total = f->parameters.fresh;
    f->parameters.total = (struct guard_bucket){1, UINT64_C(1) << 40};
    assert_int_equal(steady_answers(f, 10, 1), 10000);
}

static enum guard_state visit(struct guard_set *set, uint64_t tag, uint64_t now_ns)
{
    static const struct guard_bucket bucket = {.interval = SECOND_NS / 10 >> GUARD_UNIT_SHIFT,
                                               .depth = 10 * (SECOND_NS / 10 >> GUARD_UNIT_SHIFT)};
    return guard_set_take(set, &bucket, tag, now_ns >> GUARD_UNIT_SHIFT);
}

static void a_source_is_steady_after_a_second_and_not_before(void **state)
{
    struct guard_set set = {0};
    (void)state;
    assert_int_equal(visit(&set, 1, START_NS), GUARD_NEW);
    for (uint64_t ms = 100; ms <= 1000; ms += 100)
        assert_int_equal(visit(&set, 1, START_NS + ms * MS_NS), GUARD_RETURNED);
    assert_int_equal(visit(&set, 1, START_NS + 1210 * MS_NS), GUARD_STEADY);
    assert_int_equal(visit(&set, 1, START_NS + 5000 * MS_NS), GUARD_STEADY);
    /* After a pause it begins again. */
    assert_int_equal(visit(&set, 1, START_NS + 10000 * MS_NS), GUARD_NEW);
}

static void a_clock_that_is_a_little_behind_makes_nobody_steady(void **state)
{
    (void)state;
    for (uint64_t back_ns = 1; back_ns < 300 * MS_NS; back_ns *= 3) {
        struct guard_set set = {0};
        uint64_t begin_ns = START_NS / GUARD_AGE_NS * GUARD_AGE_NS; /* begin of a unit of age */
        assert_int_equal(visit(&set, 1, begin_ns), GUARD_NEW);
        assert_int_equal(visit(&set, 1, begin_ns - back_ns), GUARD_RETURNED);
    }
}

/* A set whose seven entries are steady, as of the time that is returned. */
static uint64_t fill(struct guard_set *set)
{
    for (uint64_t ms = 0; ms <= 1500; ms += 500)
        for (uint64_t tag = 1; tag <= GUARD_WAYS; tag++)
            visit(set, tag, START_NS + ms * MS_NS);
    return START_NS + 1500 * MS_NS;
}

static void who_finds_no_entry_shares_a_bucket(void **state)
{
    struct guard_set set = {0};
    uint64_t now_ns = fill(&set);
    unsigned answered = 0;
    (void)state;
    for (uint64_t tag = 100; tag < 200; tag++)
        answered += visit(&set, tag, now_ns) != GUARD_FREE;
    assert_int_equal(answered, 10); /* the burst of one */
    for (unsigned i = 0; i < 30; i++)
        assert_in_range(visit(&set, 100, now_ns + i * SECOND_NS / 10), GUARD_FREE, GUARD_NEW);
    for (uint64_t tag = 1; tag <= GUARD_WAYS; tag++)
        assert_int_equal(visit(&set, tag, now_ns), GUARD_STEADY);
}

static void an_entry_that_nobody_sees_any_more_is_given_away(void **state)
{
    struct guard_set set = {0};
    uint64_t now_ns = fill(&set) + GUARD_KEEP_NS + SECOND_NS;
    (void)state;
    assert_int_equal(visit(&set, 100, now_ns), GUARD_NEW);
    assert_int_equal(visit(&set, 100, now_ns), GUARD_RETURNED);
}

static void sources_seen_once_go_first_and_the_oldest_of_them(void **state)
{
    struct guard_set set = {0};
    uint64_t now_ns = START_NS;
    (void)state;
    assert_int_equal(visit(&set, 1, now_ns), GUARD_NEW);
    assert_int_equal(visit(&set, 1, now_ns + MS_NS), GUARD_RETURNED);
    for (uint64_t tag = 2; tag <= GUARD_WAYS; tag++)
        assert_int_equal(visit(&set, tag, now_ns += MS_NS), GUARD_NEW);
    for (uint64_t tag = 100; tag < 200; tag++) { /* each drives out the oldest that was seen once */
        assert_int_equal(visit(&set, tag, now_ns += MS_NS), GUARD_NEW);
        if (tag == 100)
            assert_int_equal(visit(&set, 3, now_ns), GUARD_RETURNED); /* not this one */
    }
    assert_int_equal(visit(&set, 1, now_ns), GUARD_RETURNED);
    assert_int_equal(visit(&set, 3, now_ns), GUARD_RETURNED);
    assert_int_equal(visit(&set, 2, now_ns), GUARD_NEW);
}

static void one_refused_ping_in_so_many_leaks(void **state)
{
    struct fixture *f = *state;
    unsigned answered = 0;
    f->rules.leak = 16;
    f->rules.ipv4 = (struct guard_rule_list){{{32, 1, 1}}, 1};
    apply_rules(f);
    for (unsigned i = 0; i < 160000; i++)
        answered += answers_or_leaks(f, address("::ffff:192.0.2.1"));
    assert_in_range(answered, 9500, 10500);
}

static void leaks_have_their_part_of_the_cap_and_no_more(void **state)
{
    struct fixture *f = *state;
    unsigned answered = 0;
    f->rules.leak = 1;
    f->rules.replies_per_second = 6400;
    f->rules.ipv4 = (struct guard_rule_list){{{32, 1, 1}}, 1};
    apply_rules(f);
    for (unsigned i = 0; i < 100000; i++) {
        f->now_ns += SECOND_NS / 10000;
        answered += answers_or_leaks(f, address("::ffff:192.0.2.1"));
    }
    assert_in_range(answered, 980, 1010); /* 100 a second */
}

/* With what stands by default: 100,000 a second in somebody's name, and his own ten. */
static void a_flooded_address_is_sent_two_percent_at_most(void **state)
{
    struct fixture *f = *state;
    const unsigned seconds = 10, rate = 100000;
    unsigned answered = 0, own = 0;
    f->rules = guard_default_rules;
    apply_rules(f);
    for (unsigned i = 0; i < seconds * rate; i++) {
        f->now_ns += SECOND_NS / rate;
        answered += answers_or_leaks(f, address("::ffff:192.0.2.1"));
        if (i % (rate / 10) == 0)
            own += answers_or_leaks(f, address("::ffff:192.0.2.1"));
    }
    assert_true(answered <= seconds * rate / 50);
    assert_true(own >= 1);
}

static void without_a_leak_nothing_leaks(void **state)
{
    struct fixture *f = *state;
    burst(f, "::ffff:192.0.2.1", 200);
    for (uint32_t random = 0; random < 1000; random++)
        assert_false(guard_leaks(&f->parameters, random, f->now_ns, guard_table_find, f->table));
}

static void other_rules_go_on_with_what_was_taken(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 1000), 200);
    f->rules.ipv4.items[0] = (struct guard_rule){32, 1000, 2000};
    apply_rules(f);
    f->now_ns += 100 * MS_NS;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 1000), 100);
    /* A bucket that is deep in debt under rules that were slow is not in debt under quick ones. */
    f->rules.ipv4.items[0] = (struct guard_rule){32, 1, 60};
    apply_rules(f);
    f->now_ns += 3 * SECOND_NS;
    assert_in_range(burst(f, "::ffff:192.0.2.1", 1000), 59, 60);
    f->rules.ipv4.items[0] = (struct guard_rule){32, 100, 200};
    apply_rules(f);
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 1000), 0);
    f->now_ns += SECOND_NS;
    assert_int_equal(burst(f, "::ffff:192.0.2.1", 1000), 100);
}

static void loopback_is_exempt_unless_told_otherwise(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(burst(f, "::1", 5000), 5000);
    assert_int_equal(burst(f, "::ffff:127.0.0.1", 5000), 5000);
    assert_int_equal(burst(f, "::ffff:127.255.0.9", 5000), 5000);
    assert_int_equal(burst(f, "::ffff:126.0.0.1", 5000), 200);
    assert_int_equal(burst(f, "2001:db8::1", 5000), 200);
    f->rules.loopback = true;
    apply_rules(f);
    assert_int_equal(burst(f, "::1", 5000), 200);
    assert_int_equal(burst(f, "::ffff:127.0.0.1", 5000), 200);
}

static void sweep(struct fixture *f)
{
    for (uint32_t first = 0; first < GUARD_SETS; first += GUARD_SWEEP_SETS)
        guard_table_sweep(f->table, first, f->now_ns);
}

static size_t words_in_use(const struct fixture *f)
{
    size_t used = 0;
    for (size_t i = 0; i < GUARD_SETS; i++)
        for (size_t way = 0; way <= GUARD_WAYS; way++)
            used += f->table[i].words[way] != 0;
    return used;
}

static void sweeping_frees_what_is_old_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 1000; i++)
        answers(f, random_ipv4(f));
    f->now_ns += 3 * SECOND_NS;
    burst(f, "::ffff:192.0.2.1", 200);
    f->now_ns += 2 * SECOND_NS;
    assert_true(words_in_use(f) > 1500);
    sweep(f);
    assert_int_equal(words_in_use(f), 2);
    f->now_ns += 3600 * SECOND_NS;
    sweep(f);
    assert_int_equal(words_in_use(f), 0);
}

/* Whatever the clock shows at the beginning, and however often the time of an entry wraps. */
static void a_source_is_served_at_any_time(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 200; i++) {
        f->now_ns = random_next(&f->seed) >> 8 >> i % 40;
        for (size_t j = 0; j < GUARD_TABLE_SETS; j++)
            f->table[j] = (struct guard_set){0};
        assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 200);
        f->now_ns += 1000 * MS_NS;
        assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 100);
        for (unsigned j = 0; j < 4; j++) { /* once around */
            f->now_ns += UINT64_C(1) << 42;
            sweep(f);
        }
        assert_int_equal(burst(f, "::ffff:192.0.2.1", 300), 200);
    }
}

enum {
    THREADS = 4
};

struct shared {
    struct fixture *fixture;
    unsigned pings;
    unsigned answered[THREADS];
};

struct thread {
    pthread_t id;
    struct shared *shared;
    unsigned index;
};

static void *ask_in_thread(void *argument)
{
    struct thread *thread = argument;
    struct shared *shared = thread->shared;
    struct fixture own = *shared->fixture; /* the table is shared */
    own.seed += thread->index;
    for (unsigned i = 0; i < shared->pings; i++) {
        shared->answered[thread->index] += answers(&own, address("2001:db8::1"));
        answers(&own, random_ipv4(&own));
        if (i % 16 == 0)
            guard_table_sweep(own.table, i, own.now_ns);
    }
    return NULL;
}

static void threads_share_the_tokens_of_a_source(void **state)
{
    struct fixture *f = *state;
    struct shared shared = {.fixture = f, .pings = 20000};
    struct thread threads[THREADS];
    unsigned answered = burst(f, "2001:db8::1", 1);
    f->rules.ipv6 = (struct guard_rule_list){{{64, 1000, 30000}}, 1};
    apply_rules(f);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.shared = &shared, .index = i};
        assert_int_equal(pthread_create(&threads[i].id, NULL, ask_in_thread, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        answered += shared.answered[i];
    }
    /* 0.01 s is gone already; of what was refused a retry may have been the reason. */
    assert_in_range(answered, 29000, 30001);
}

#define IN_TABLE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* A field of the mapping that holds an address, from /proc/self/smaps. */
static void read_mapping(const void *address, const char *field, char *value, size_t capacity)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    unsigned long start, end;
    bool is_ours = false, is_found = false;

    assert_non_null(file);
    while (!is_found && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            is_ours = start <= (uintptr_t)address && (uintptr_t)address < end;
        else if (is_ours && strncmp(line, field, strlen(field)) == 0) {
            snprintf(value, capacity, "%s", line + strlen(field));
            is_found = true;
        }
    }
    fclose(file);
    assert_true(is_found);
}

static long resident_kib(const struct guard_set *table)
{
    char value[64];

    read_mapping(table, "Rss:", value, sizeof value);
    return strtol(value, NULL, 10);
}

static void the_table_takes_memory_as_sources_come(void **state)
{
    struct fixture *f = *state;
    struct guard_address source = address("::ffff:192.0.2.1");
    long before = resident_kib(f->table); /* neighbours in one mapping count: stacks */

    for (uint32_t first = 0; first < GUARD_SETS; first += GUARD_SWEEP_SETS)
        guard_table_sweep(f->table, first, f->now_ns);
    assert_int_equal(resident_kib(f->table), before);
    assert_int_equal(guard_decide(&f->parameters, &source, f->now_ns, guard_table_find, f->table),
                     GUARD_ANSWER);
    assert_in_range(resident_kib(f->table) - before, 1, 3 * 64); /* pages of at most 64 KiB */
}

static void secrets_are_left_out_of_core_dumps(void **state)
{
    char flags[256];
    struct siphash_key *key = guard_secret_new(sizeof *key);

    (void)state;
    assert_non_null(key);
    assert_int_equal(key->words[0] | key->words[1], 0);
    read_mapping(key, "VmFlags:", flags, sizeof flags);
    assert_non_null(strstr(flags, " dd"));
    guard_secret_free(key, sizeof *key);
    guard_secret_free(NULL, sizeof *key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TABLE(a_source_has_its_burst_and_then_its_rate),
        IN_TABLE(a_bucket_is_full_again_and_no_fuller_after_a_pause),
        IN_TABLE(time_that_stands_or_goes_back_a_little_gives_nothing),
        IN_TABLE(prefixes_are_those_of_the_rules),
        IN_TABLE(the_same_bits_under_another_width_are_another_prefix),
        IN_TABLE(a_flooded_address_leaves_its_neighbours_their_share),
        IN_TABLE(new_sources_have_half_of_the_cap_in_any_second),
        IN_TABLE(steady_sources_have_their_half_of_the_cap_whatever_new_ones_do),
        IN_TABLE(no_second_has_more_answers_than_the_cap),
        IN_TABLE(new_sources_push_no_steady_one_out_of_the_table),
        cmocka_unit_test(a_source_is_steady_after_a_second_and_not_before),
        cmocka_unit_test(a_clock_that_is_a_little_behind_makes_nobody_steady),
        cmocka_unit_test(who_finds_no_entry_shares_a_bucket),
        cmocka_unit_test(an_entry_that_nobody_sees_any_more_is_given_away),
        cmocka_unit_test(sources_seen_once_go_first_and_the_oldest_of_them),
        IN_TABLE(one_refused_ping_in_so_many_leaks),
        IN_TABLE(leaks_have_their_part_of_the_cap_and_no_more),
        IN_TABLE(a_flooded_address_is_sent_two_percent_at_most),
        IN_TABLE(without_a_leak_nothing_leaks),
        IN_TABLE(other_rules_go_on_with_what_was_taken),
        IN_TABLE(loopback_is_exempt_unless_told_otherwise),
        IN_TABLE(sweeping_frees_what_is_old_and_nothing_else),
        IN_TABLE(a_source_is_served_at_any_time),
        IN_TABLE(threads_share_the_tokens_of_a_source),
        IN_TABLE(the_table_takes_memory_as_sources_come),
        cmocka_unit_test(secrets_are_left_out_of_core_dumps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What access lists and the guard cost a ping, beside the decision without them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "bench.h"
#include "qcmp/responder.h"

#define ITERATIONS 200000
#define PREFIXES 100000
#define SOURCES 65536

struct work {
    struct responder_rules rules;
    struct responder_turn turn;
    struct in6_addr sources[SOURCES];
    size_t sources_count; /* so many of them, in turn */
    uint64_t step_ns;     /* from one ping to the next */
    uint8_t ping[QCMP_PING_BYTES];
    uint64_t outcomes[OUTCOME_COUNT];
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static struct in6_addr mapped(uint32_t ipv4)
{
    struct in6_addr address = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    for (int i = 0; i < 4; i++)
        address.s6_addr[12 + i] = (uint8_t)(ipv4 >> (24 - 8 * i));
    return address;
}

static void answer(uint64_t iterations, void *user)
{
    struct work *work = user;
    uint8_t data[QCMP_PONG_BYTES];
    struct packet packet = {.data = data,
                            .bytes = QCMP_PING_BYTES,
                            .peer = {.port = 9},
                            .local = {.address = in6addr_loopback},
                            .received_ns = 1};
    for (uint64_t i = 0; i < iterations; i++) {
        memcpy(data, work->ping, sizeof work->ping); /* a pong stands where the ping was */
        packet.peer.address = work->sources[i % work->sources_count];
        work->turn.now_ns += work->step_ns;
        work->outcomes[responder_answer(&packet, &work->rules, &work->turn)]++;
        bench_keep(work);
    }
}

static struct access *random_lists(uint64_t *random)
{
    struct prefix_list allow = {0}, deny = {0};
    struct access *access = NULL;
    for (unsigned i = 0; i < PREFIXES; i++) {
        /* A prefix in 128.0.0.0/1, where no source of the bench is. */
        struct prefix prefix = {mapped((uint32_t)next_random(random) | UINT32_C(0x80000000)),
                                PREFIX_IPV4_BITS + 24};
        prefix.address.s6_addr[15] = 0;
        if (prefix_list_add(&deny, &prefix) != 0)
            exit(EXIT_FAILURE);
    }
    if (access_new(&access, &allow, &deny) != 0)
        exit(EXIT_FAILURE);
    prefix_list_fini(&deny);
    return access;
}

static void run(const char *name, struct work *work, const struct bench_result *baseline)
{
    memset(work->outcomes, 0, sizeof work->outcomes);
    struct bench_result result = bench_run(answer, ITERATIONS, work);
    bench_print(name, result, baseline != NULL ? baseline->median_ns : result.median_ns);
    printf("    answered %" PRIu64 ", limited %" PRIu64 ", beyond the cap %" PRIu64 "\n",
           work->outcomes[OUTCOME_VALID] + work->outcomes[OUTCOME_LEAKED],
           work->outcomes[OUTCOME_RATE_LIMITED], work->outcomes[OUTCOME_PROCESS_CAP]);
}

int main(void)
{
    static struct work work = {.sources_count = SOURCES, .step_ns = 3000, .turn = {.now_ns = 1}};
    static struct guard_parameters limits;
    const struct siphash_key key = {{1, 2}};
    uint64_t random = 1;
    struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = 1, .client_ns = 1};

    qcmp_packet_encode(&ping, work.ping, sizeof work.ping);
    for (size_t i = 0; i < SOURCES; i++)
        work.sources[i] = mapped((uint32_t)next_random(&random) & UINT32_C(0x7fffffff));
    guard_parameters_init(&limits, &guard_default_rules, &key);
    struct guard_set *table = guard_table_new();
    struct access *access = random_lists(&random);
    if (table == NULL)
        return EXIT_FAILURE;

    bench_print_head("the decision about a ping", ITERATIONS);
    struct bench_result baseline = bench_run(answer, ITERATIONS, &work);
    run("no lists, guard off", &work, &baseline);
    work.rules.access = access;
    run("100,000 prefixes, guard off", &work, &baseline);
    work.rules = (struct responder_rules){.limits = &limits, .table = table};
    work.sources_count = 1000;
    work.step_ns = 12000;
    run("guard on, 1000 sources, 83 pings a second each", &work, &baseline);
    work.sources_count = SOURCES;
    work.step_ns = 500;
    run("guard on, 65536 sources, 2,000,000 pings a second", &work, &baseline);
    work.sources_count = 1;
    run("guard on, one source is flooded", &work, &baseline);
    access_free(access);
    guard_table_free(table);
    return EXIT_SUCCESS;
}

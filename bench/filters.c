/* SPDX-License-Identifier: Apache-2.0 */
/* What each filter costs a datagram; what routing by one of a million tokens costs beside the bare
 * look-up in a table of that size; and how soon a token more or less is in force there. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "proxy/world.h"

#define ITERATIONS 100000
#define PAYLOAD_BYTES 64
#define TOKEN_BYTES 8
#define TOKENS 1000000
#define ENDPOINTS 20000
#define BATCH 32
#define UPDATES 21
#define ROUNDS 7

/* A filter's id before its last part, which is doubled: firewall.v1alpha1.Firewall. */
#define FILTER(name, config) "{\"name\":\"quilkin.filters." name "\",\"config\":" config "}"
#define CAPTURE FILTER("capture.v1alpha1.Capture", "{\"suffix\":{\"size\":8,\"remove\":true}}")
#define ROUTER FILTER("token_router.v1alpha1.TokenRouter", "{}")
#define HASHED_ROUTER FILTER("token_router.v1alpha1.HashedTokenRouter", "{}")
#define BALANCER(policy)                                                                           \
    FILTER("load_balancer.v1alpha1.LoadBalancer", "{\"policy\":\"" policy "\"}")
#define RULE(action, prefix)                                                                       \
    "{\"action\":\"" action "\",\"sources\":[\"" prefix "\"],\"ports\":[\"0-65535\"]}"
#define FIREWALL                                                                                   \
    FILTER("firewall.v1alpha1.Firewall",                                                           \
           "{\"on_read\":[" RULE("DENY", "203.0.113.0/24") "," RULE(                               \
               "DENY",                                                                             \
               "2001:db8::/32") "," RULE("DENY",                                                   \
                                         "198.51.100.0/24") "," RULE("ALLOW",                      \
                                                                     "10.0.0.0/8") "],\"on_"       \
                                                                                   "write\":[]}")
#define LIMIT                                                                                      \
    FILTER("local_rate_limit.v1alpha1.LocalRateLimit", "{\"max_packets\":4000000000,\"period\":"   \
                                                       "1}")
#define CONCATENATE                                                                                \
    FILTER("concatenate.v1alpha1.Concatenate",                                                     \
           "{\"on_read\":\"APPEND\",\"bytes\":\"YWJjZGVmZ2g=\"}")
#define MATCH                                                                                      \
    FILTER("match.v1alpha1.Match",                                                                 \
           "{\"on_read\":{\"metadataKey\":\"quilkin.dev/capture\",\"branches\":[{\"value\":"       \
           "\"abcdefgh\",\"name\":\"quilkin.filters.drop.v1alpha1.Drop\"}],\"fallthrough\":"       \
           "{\"name\":\"quilkin.filters.pass.v1alpha1.Pass\"}}}")

struct row {
    const char *name, *filters;
};

static const struct row ROWS[] = {
    {"Pass", FILTER("pass.v1alpha1.Pass", "null")},
    {"Drop", FILTER("drop.v1alpha1.Drop", "null")},
    {"Firewall, the 4th of 4 rules", FIREWALL},
    {"LocalRateLimit, 4096 sources", LIMIT},
    {"Concatenate, 8 bytes", CONCATENATE},
    {"Debug", FILTER("debug.v1alpha1.Debug", "{\"id\":\"a\"}")},
    {"Capture, suffix", FILTER("capture.v1alpha1.Capture", "{\"suffix\":{\"size\":8}}")},
    {"Capture, suffix removed", CAPTURE},
    {"Capture, prefix removed",
     FILTER("capture.v1alpha1.Capture", "{\"prefix\":{\"size\":8,\"remove\":true}}")},
    {"Capture, regex", FILTER("capture.v1alpha1.Capture",
                              "{\"regex\":{\"pattern\":\"(?-u)[\\\\x00-\\\\xff]{8}$\"}}")},
    {"Capture, Timestamp", CAPTURE
     "," FILTER("timestamp.v1alpha1.Timestamp", "{\"metadataKey\":\"quilkin.dev/capture\"}")},
    {"Capture, Match", CAPTURE "," MATCH},
    {"Capture, TokenRouter", CAPTURE "," ROUTER},
    {"Capture, HashedTokenRouter", CAPTURE "," HASHED_ROUTER},
    {"LoadBalancer, ROUND_ROBIN", BALANCER("ROUND_ROBIN")},
    {"LoadBalancer, RANDOM", BALANCER("RANDOM")},
    {"LoadBalancer, HASH", BALANCER("HASH")},
    {"LoadBalancer, LEAST_SESSIONS", BALANCER("LEAST_SESSIONS")},
    {"five: Firewall, LocalRateLimit,\n  Capture, TokenRouter, LoadBalancer",
     FIREWALL "," LIMIT "," CAPTURE "," ROUTER "," BALANCER("ROUND_ROBIN")},
};

/* A world, and a player's datagram that goes through its chain again and again. */
struct work {
    const struct destinations *world;
    struct filter_call call;
    struct packet packet;
    struct endpoint source;
    uint64_t random, tokens; /* tokens are the numbers below it, mixed */
    uint64_t passed;
    uint8_t buffer[PACKET_ROOM + 256 + PACKET_ROOM];
    uint8_t scratch[FILTER_SCRATCH_BYTES], spare[FILTER_SPARE_BYTES];
};

static uint64_t mix(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

static uint64_t token_of(uint64_t number)
{
    return mix(number + 1);
}

static uint64_t next_token(struct work *work)
{
    work->random += UINT64_C(0x9e3779b97f4a7c15);
    return token_of(mix(work->random) % work->tokens);
}

static void pass(struct work *work, uint64_t token)
{
    unsigned reason;
    memcpy(work->buffer + PACKET_ROOM + PAYLOAD_BYTES - TOKEN_BYTES, &token, sizeof token);
    work->packet.data = work->buffer + PACKET_ROOM;
    work->packet.bytes = PAYLOAD_BYTES;
    work->passed += chain_read(work->world->chain->workers[0], &work->call, &reason) == FILTER_NEXT;
}

static void run_chain(uint64_t iterations, void *user)
{
    struct work *work = user;
    for (uint64_t i = 0; i < iterations; i++) {
        work->source.port = (uint16_t)(i % 4096);
        if (i % BATCH == 0)
            chain_begin(work->world->chain->workers[0]);
        pass(work, next_token(work));
        if (i % BATCH == BATCH - 1)
            chain_end(work->world->chain->workers[0]);
        bench_keep(work);
    }
}

/* The bare table: open addressing, at most half full, with a keyed hash, of pointers to tokens. */
struct bare {
    struct siphash_key key;
    struct bare_entry {
        uint64_t hash;
        const struct token *token;
    } * entries;
    uint64_t mask, found;
    struct work *work;
};

static struct bare_entry *bare_find(const struct bare *bare, const void *token, uint32_t bytes)
{
    uint64_t hash = siphash(&bare->key, token, bytes);
    for (uint64_t i = hash & bare->mask;; i = (i + 1) & bare->mask) {
        struct bare_entry *entry = &bare->entries[i];
        if (entry->token == NULL || (entry->hash == hash && entry->token->bytes == bytes &&
                                     memcmp(entry->token->data, token, bytes) == 0)) {
            entry->hash = hash;
            return entry;
        }
    }
}

static void run_bare(uint64_t iterations, void *user)
{
    struct bare *bare = user;
    for (uint64_t i = 0; i < iterations; i++) {
        uint64_t token = next_token(bare->work);
        bare->found += bare_find(bare, &token, sizeof token)->token != NULL;
        bench_keep(bare);
    }
}

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(EXIT_FAILURE);
}

/* A cluster with tokens, each of one endpoint. */
static struct clusters *make_clusters(uint64_t tokens, uint32_t endpoints)
{
    struct clusters *clusters = clusters_new();
    struct cluster *cluster = cluster_new("");
    uint64_t token = 0;
    if (clusters == NULL || cluster == NULL)
        fail("no memory");
    for (uint32_t i = 0; i < endpoints; i++) {
        struct cluster_endpoint *endpoint;
        char text[64];
        snprintf(text, sizeof text, "10.1.%u.%u:7000", i / 256, i % 256);
        if (cluster_add_endpoint(cluster, text, &endpoint) != 0)
            fail("no memory");
        for (uint64_t end = tokens * (i + 1) / endpoints; token < end; token++) {
            uint64_t mixed = token_of(token);
            if (cluster_add_token(cluster, endpoint, &mixed, sizeof mixed) != 0)
                fail("no memory");
        }
    }
    if (clusters_add(clusters, cluster) != 0)
        fail("no memory");
    return clusters;
}

static json_t *list_of(const char *filters)
{
    json_error_t error;
    char *text = NULL;
    if (asprintf(&text, "[%s]", filters) < 0)
        fail("no memory");
    json_t *list = json_loads(text, 0, &error);
    if (list == NULL)
        fail(error.text);
    free(text);
    return list;
}

static struct destinations *make_world(struct clusters *clusters, json_t *filters,
                                       const struct destinations *before)
{
    const struct catalog_version told = {.clusters = clusters, .filters = filters};
    const struct world_options one = {.workers = 1};
    struct destinations *world;
    struct error error;
    if (world_new(&world, &told, before, &one, &error) != 0)
        fail(error.text);
    return world;
}

static void work_init(struct work *work, const struct destinations *world, uint64_t tokens)
{
    *work = (struct work){.world = world, .tokens = tokens, .random = 1};
    work->source =
        (struct endpoint){.address = {.s6_addr = {[10] = 0xff, 0xff, 10, 0, 0, 1}}, .port = 1};
    work->call.packet = &work->packet;
    work->call.source = &work->source;
    work->call.world = &world->open;
    work->call.scratch = work->scratch;
    work->call.spare = work->spare;
    work->call.now_ns = bench_now_ns();
}

static struct bench_result run_row(const char *filters, uint64_t *passed)
{
    static struct work work;
    struct clusters *clusters = make_clusters(1000, 8);
    json_t *list = list_of(filters);
    struct destinations *world = make_world(clusters, list, NULL);
    work_init(&work, world, 1000);
    struct bench_result result = bench_run(run_chain, ITERATIONS, &work);
    *passed = work.passed;
    world_free(&world->retired);
    json_decref(list);
    clusters_free(clusters);
    return result;
}

static void bench_filters(void)
{
    uint64_t passed;
    bench_print_head("filters, payload 64 bytes", ITERATIONS);
    struct bench_result baseline = run_row("", &passed);
    bench_print("a chain without filters", baseline, baseline.median_ns);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        bench_print(ROWS[i].name, run_row(ROWS[i].filters, &passed), baseline.median_ns);
        if ((passed == 0) != (strcmp(ROWS[i].name, "Drop") == 0))
            fail("a filter did not do what is measured");
    }
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void bench_tokens(const struct destinations *world)
{
    static struct work work;
    struct bench_result bare_results[ROUNDS], results[ROUNDS];
    struct bare bare = {.key = {{1, 2}}, .mask = (1 << 21) - 1, .work = &work};
    bare.entries = calloc(bare.mask + 1, sizeof *bare.entries);
    if (bare.entries == NULL)
        fail("no memory");
    for (const struct cluster_endpoint *endpoint = world->clusters->items[0].cluster->endpoints;
         endpoint != NULL; endpoint = endpoint->next) {
        for (const struct token *token = endpoint->tokens; token != NULL; token = token->next)
            bare_find(&bare, token->data, token->bytes)->token = token;
    }
    work_init(&work, world, TOKENS);

    /* They take turns, as the machine may be another one a second later. */
    double ratios[ROUNDS];
    for (unsigned i = 0; i < ROUNDS; i++) {
        bare_results[i] = bench_run(run_bare, ITERATIONS, &bare);
        results[i] = bench_run(run_chain, ITERATIONS, &work);
        ratios[i] = results[i].median_ns / bare_results[i].median_ns;
    }
    qsort(ratios, ROUNDS, sizeof *ratios, compare);
    bench_print_head("one of 1,000,000 tokens, at random", ITERATIONS);
    bench_print("a bare look-up", bare_results[0], bare_results[0].median_ns);
    bench_print("Capture, TokenRouter", results[0], bare_results[0].median_ns);
    printf("    the median of %d such ratios: %.2fx (%.2fx to %.2fx)\n", ROUNDS, ratios[ROUNDS / 2],
           ratios[0], ratios[ROUNDS - 1]);
    if (work.passed != (uint64_t)ITERATIONS * ROUNDS * (BENCH_ROUNDS + 1) ||
        bare.found != work.passed)
        fail("a token was not found");
    free(bare.entries);
}

/* A worker that routes without end, and how long it was kept from that at most. */
struct reader {
    _Atomic(struct destinations *) world; /* published with release */
    _Atomic uint64_t passes;              /* released after each batch */
    atomic_bool is_stopping;
    _Atomic int64_t longest_ns, longest_cpu_ns; /* relaxed; set to 0 by the other thread */
    _Atomic uint64_t batches, long_batches;     /* relaxed: all, and above 100 us of CPU time */
    atomic_bool is_watched;                     /* relaxed: whether to note them */
    struct work work;
};

static void *read_on(void *user)
{
    struct reader *reader = user;
    int64_t before_ns = bench_now_ns(), before_cpu_ns = bench_cpu_ns();
    while (!atomic_load(&reader->is_stopping)) {
        reader->work.world = atomic_load_explicit(&reader->world, memory_order_acquire);
        reader->work.call.world = &reader->work.world->open;
        run_chain(BATCH, &reader->work);
        atomic_fetch_add_explicit(&reader->passes, 1, memory_order_release);
        int64_t now_ns = bench_now_ns(), now_cpu_ns = bench_cpu_ns();
        if (atomic_load_explicit(&reader->is_watched, memory_order_relaxed)) {
            if (now_ns - before_ns > atomic_load(&reader->longest_ns))
                atomic_store(&reader->longest_ns, now_ns - before_ns);
            if (now_cpu_ns - before_cpu_ns > atomic_load(&reader->longest_cpu_ns))
                atomic_store(&reader->longest_cpu_ns, now_cpu_ns - before_cpu_ns);
            reader->batches++;
            reader->long_batches += now_cpu_ns - before_cpu_ns > 100000;
        }
        before_ns = now_ns;
        before_cpu_ns = now_cpu_ns;
    }
    return NULL;
}

/* What changes the world, as the service does it. */
struct control {
    struct catalog *catalog;
    struct reader reader;
    int64_t in_force_ns, in_force_cpu_ns; /* when the last update was in force */
};

static void follow(void *user)
{
    struct control *control = user;
    const struct catalog_version *told = catalog_read(control->catalog);
    struct destinations *before = control->reader.world;
    struct destinations *next = make_world(told->clusters, told->filters, before);
    atomic_store_explicit(&control->reader.world, next, memory_order_release);
    control->in_force_ns = bench_now_ns();
    control->in_force_cpu_ns = bench_cpu_ns();
    if (before == NULL)
        return;
    uint64_t passes = atomic_load_explicit(&control->reader.passes, memory_order_acquire);
    while (atomic_load_explicit(&control->reader.passes, memory_order_acquire) < passes + 2)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    world_free(&before->retired);
}

static void print_longest(struct reader *reader, const char *when)
{
    printf("    the worker's longest of %" PRIu64
           " batches of %d %s: %.1f us of its CPU time, %.1f "
           "us by the clock; above 100 us of CPU time: %" PRIu64 "\n",
           atomic_exchange(&reader->batches, 0), BATCH, when,
           (double)atomic_exchange(&reader->longest_cpu_ns, 0) / 1e3,
           (double)atomic_exchange(&reader->longest_ns, 0) / 1e3,
           atomic_exchange(&reader->long_batches, 0));
}

static void bench_updates(void)
{
    static struct control control;
    struct log log;
    pthread_t thread;
    double took_ms[UPDATES], took_cpu_ms[UPDATES];
    log_init(&log, &(struct log_options){.fd = -1, .level = LOG_LEVEL_OFF});
    if (catalog_new(&control.catalog, NULL, &log) != 0)
        fail("no memory");
    struct catalog_watch watch = {.changed = follow, .user = &control};
    catalog_watch(control.catalog, &watch);

    for (unsigned i = 0; i <= UPDATES; i++) {
        struct catalog_change change = {.clusters = make_clusters(TOKENS + i % 2, ENDPOINTS),
                                        .filters = list_of(CAPTURE "," ROUTER)};
        if (i == 1) {
            control.reader.is_watched = true;
            nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
            print_longest(&control.reader, "without updates");
        }
        int64_t start_ns = bench_now_ns(), start_cpu_ns = bench_cpu_ns();
        control.reader.is_watched = i > 0;
        if (catalog_update(control.catalog, CATALOG_FS, &change) != 0)
            fail("no memory");
        control.reader.is_watched = false;
        if (i > 0) {
            took_ms[i - 1] = (double)(control.in_force_ns - start_ns) / 1e6;
            took_cpu_ms[i - 1] = (double)(control.in_force_cpu_ns - start_cpu_ns) / 1e6;
            continue;
        }
        printf("a token more or less of 1,000,000, %d times\n", UPDATES);
        work_init(&control.reader.work, control.reader.world, TOKENS);
        bench_tokens(control.reader.world);
        if (pthread_create(&thread, NULL, read_on, &control.reader) != 0)
            fail("no thread");
    }
    print_longest(&control.reader, "with updates");
    atomic_store(&control.reader.is_stopping, true);
    pthread_join(thread, NULL);
    qsort(took_ms, UPDATES, sizeof *took_ms, compare);
    qsort(took_cpu_ms, UPDATES, sizeof *took_cpu_ms, compare);
    printf(
        "    from the catalog's update until it is in force: median %.1f ms, most %.1f ms by the "
        "clock; median %.1f ms, most %.1f ms of CPU time\n",
        took_ms[UPDATES / 2], took_ms[UPDATES - 1], took_cpu_ms[UPDATES / 2],
        took_cpu_ms[UPDATES - 1]);
    world_free(&control.reader.world->retired);
    catalog_free(control.catalog);
}

int main(void)
{
    bench_filters();
    bench_updates();
    return EXIT_SUCCESS;
}

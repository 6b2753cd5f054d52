/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "filters/chain.h"
#include "net/address.h"

#define FILTER(name, config) "{\"name\":\"quilkin.filters." name "\",\"config\":" config "}"
#define FIREWALL(config) FILTER("firewall.v1alpha1.Firewall", config)
#define LIMIT(config) FILTER("local_rate_limit.v1alpha1.LocalRateLimit", config)
#define CONCATENATE(config) FILTER("concatenate.v1alpha1.Concatenate", config)
#define CAPTURE(config) FILTER("capture.v1alpha1.Capture", config)
#define MATCH(config) FILTER("match.v1alpha1.Match", config)
#define TIMESTAMP(config) FILTER("timestamp.v1alpha1.Timestamp", config)
#define DEBUG(config) FILTER("debug.v1alpha1.Debug", config)
#define DROP FILTER("drop.v1alpha1.Drop", "null")
#define PASS_ID "quilkin.filters.pass.v1alpha1.Pass"
#define DROP_ID "quilkin.filters.drop.v1alpha1.Drop"
#define CONCATENATE_ID "quilkin.filters.concatenate.v1alpha1.Concatenate"
#define SECOND INT64_C(1000000000)

/* One chain, and a datagram that runs through it. */
struct bench {
    struct chain *chain;
    struct chain_meter *meter;
    struct chain_worker *worker;
    struct filter_call call;
    struct packet packet;
    struct endpoint peer, player;
    unsigned reason;
    uint8_t buffer[PACKET_MAX_BYTES + 2 * PACKET_ROOM];
    uint8_t scratch[FILTER_SCRATCH_BYTES], spare[FILTER_SPARE_BYTES];
};

static struct endpoint at(const char *text, uint16_t port)
{
    struct endpoint endpoint = {.port = htons(port)};
    struct in_addr ipv4;
    if (inet_pton(AF_INET, text, &ipv4) == 1)
        endpoint.address = address_from_ipv4(ipv4);
    else
        assert_int_equal(inet_pton(AF_INET6, text, &endpoint.address), 1);
    return endpoint;
}

static struct bench *open_bench(const char *filters)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    json_t *list = json_loads(filters, 0, NULL);
    assert_non_null(list);
    if (chain_from_json(&bench->chain, list, &error) != 0)
        fail_msg("%s", error.text);
    json_decref(list);
    bench->meter = chain_meter_new();
    bench->worker = chain_worker_new(bench->chain, bench->meter, 0);
    bench->peer = at("192.0.2.1", 1000);
    bench->player = at("192.0.2.99", 99);
    bench->call.packet = &bench->packet;
    bench->call.source = &bench->peer;
    bench->call.scratch = bench->scratch;
    bench->call.spare = bench->spare;
    bench->call.now_ns = 1000 * SECOND;
    return bench;
}

static void close_bench(struct bench *bench)
{
    chain_worker_free(bench->worker);
    chain_meter_unref(bench->meter);
    chain_unref(bench->chain);
    free(bench);
}

static void fill(struct bench *bench, const void *data, size_t bytes)
{
    bench->packet.data = bench->buffer + PACKET_ROOM;
    bench->packet.bytes = (uint32_t)bytes;
    memcpy(bench->packet.data, data, bytes);
}

static enum filter_result read_bytes(struct bench *bench, const void *data, size_t bytes)
{
    fill(bench, data, bytes);
    bench->call.server = bench->call.player = NULL;
    chain_begin(bench->worker);
    enum filter_result result = chain_read(bench->worker, &bench->call, &bench->reason);
    chain_end(bench->worker);
    return result;
}

static enum filter_result write_bytes(struct bench *bench, const void *data, size_t bytes)
{
    fill(bench, data, bytes);
    bench->call.server = &bench->peer;
    bench->call.player = &bench->player;
    chain_begin(bench->worker);
    enum filter_result result = chain_write(bench->worker, &bench->call, &bench->reason);
    chain_end(bench->worker);
    return result;
}

static enum filter_result read_from(struct bench *bench, const char *address, uint16_t port)
{
    bench->peer = at(address, port);
    return read_bytes(bench, "x", 1);
}

static void assert_bytes(const struct bench *bench, const char *text)
{
    assert_int_equal(bench->packet.bytes, strlen(text));
    assert_memory_equal(bench->packet.data, text, strlen(text));
}

static void a_firewall_goes_by_its_first_rule_that_fits(void **state)
{
    struct bench *bench = open_bench(
        "[" FIREWALL("{\"on_read\":[{\"action\":\"DENY\",\"sources\":[\"192.0.2.7/"
                     "31\"],\"ports\":[\"1-65535\"]},"
                     "{\"action\":\"ALLOW\",\"sources\":[\"192.0.2.0/24\",\"2001:db8::/33\"],"
                     "\"ports\":[10,\"20-30\",\"65535\"]}],"
                     "\"on_write\":[{\"action\":\"ALLOW\",\"sources\":[\"::/"
                     "0\"],\"ports\":[\"0-65535\"]}]}") "]");
    (void)state;
    assert_int_equal(read_from(bench, "192.0.2.6", 10), FILTER_DROP); /* host bits do not count */
    assert_string_equal(chain_reason(bench->reason), "filter::firewall::denied");
    assert_int_equal(read_from(bench, "192.0.2.7", 10), FILTER_DROP);
    assert_int_equal(read_from(bench, "192.0.2.8", 10), FILTER_NEXT);
    assert_int_equal(read_from(bench, "192.0.2.8", 11), FILTER_DROP);
    assert_int_equal(read_from(bench, "192.0.2.8", 20), FILTER_NEXT);
    assert_int_equal(read_from(bench, "192.0.2.8", 29), FILTER_NEXT);
    assert_int_equal(read_from(bench, "192.0.2.8", 30), FILTER_DROP);
    assert_int_equal(read_from(bench, "192.0.2.8", 65535), FILTER_NEXT);
    assert_int_equal(read_from(bench, "192.0.2.7", 65535), FILTER_NEXT); /* not in 1-65535 */
    assert_int_equal(read_from(bench, "192.0.3.8", 10), FILTER_DROP);
    assert_int_equal(read_from(bench, "2001:db8:7fff::1", 10), FILTER_NEXT);
    assert_int_equal(read_from(bench, "2001:db8:8000::1", 10), FILTER_DROP);
    bench->peer = at("192.0.2.8", 10);
    assert_int_equal(write_bytes(bench, "x", 1), FILTER_DROP); /* ::/0 has no IPv4 */
    bench->peer = at("2001:db8::1", 10);
    assert_int_equal(write_bytes(bench, "x", 1), FILTER_NEXT);
    close_bench(bench);
}

static void a_firewall_without_rules_denies(void **state)
{
    struct bench *bench = open_bench("[" FIREWALL(
        "{\"on_read\":[],\"on_write\":[{\"action\":\"ALLOW\",\"sources\":[\"0.0.0.0/0\"],\"ports\":"
        "[]}]}") "]");
    (void)state;
    assert_int_equal(read_bytes(bench, "x", 1), FILTER_DROP);
    assert_int_equal(write_bytes(bench, "x", 1), FILTER_DROP);
    close_bench(bench);
}

static void a_source_has_its_packets_again_after_a_period_of_silence(void **state)
{
    struct bench *bench = open_bench("[" LIMIT("{\"max_packets\":3,\"period\":2}") "]");
    (void)state;
    bench->call.now_ns = 1000 * SECOND + 199999999;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(read_bytes(bench, "x", 1), FILTER_NEXT);
    assert_int_equal(read_bytes(bench, "x", 1), FILTER_DROP);
    assert_string_equal(chain_reason(bench->reason), "filter::rate_limit::dropped");
    assert_int_equal(read_from(bench, "192.0.2.1", 1001), FILTER_NEXT); /* another source */
    assert_int_equal(write_bytes(bench, "x", 1), FILTER_NEXT);          /* players alone */
    bench->peer = at("192.0.2.1", 1000);
    bench->call.now_ns += 2 * SECOND - 10000;
    assert_int_equal(read_bytes(bench, "x", 1), FILTER_DROP);
    bench->call.now_ns += 10000;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(read_bytes(bench, "x", 1), FILTER_NEXT);
    assert_int_equal(read_bytes(bench, "x", 1), FILTER_DROP);
    close_bench(bench);
}

/* Random bursts; the times of what passed are held against every period. */
static void no_period_has_more_than_a_tenth_above_the_limit(void **state)
{
    enum {
        MOST = 100000
    };
    struct bench *bench = open_bench("[" LIMIT("{\"max_packets\":50,\"period\":1}") "]");
    int64_t *passed = calloc(MOST, sizeof *passed);
    size_t count = 0, oldest = 0, steady = 0;
    uint32_t random = 7;
    (void)state;
    for (unsigned i = 0; i < MOST; i++) {
        random = random * 1664525 + 1013904223;
        bench->call.now_ns += random % 7 == 0 ? (random >> 8) % 300000000 : 1000;
        if (read_bytes(bench, "x", 1) != FILTER_NEXT)
            continue;
        passed[count++] = bench->call.now_ns;
        while (passed[oldest] <= bench->call.now_ns - SECOND)
            oldest++;
        assert_in_range(count - oldest, 1, 55);
    }
    bench->call.now_ns += 2 * SECOND;
    for (unsigned i = 0; i < 1000; i++) { /* who keeps to the limit loses nothing */
        bench->call.now_ns += SECOND / 50;
        steady += read_bytes(bench, "x", 1) == FILTER_NEXT;
    }
    assert_int_equal(steady, 1000);
    free(passed);
    close_bench(bench);
}

static void forged_sources_do_not_make_a_busy_one_forgotten(void **state)
{
    struct bench *bench = open_bench("[" LIMIT("{\"max_packets\":20,\"period\":60}") "]");
    unsigned passed = 0;
    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        bench->peer = at("192.0.2.1", 1000);
        if (i % 1000 < 20 && i < 2000)
            passed += read_bytes(bench, "x", 1) == FILTER_NEXT;
        bench->peer.address.s6_addr32[2] = i + 1;
        read_bytes(bench, "x", 1);
    }
    bench->peer = at("192.0.2.1", 1000);
    assert_int_equal(passed, 20);
    assert_int_equal(read_bytes(bench, "x", 1), FILTER_DROP);
    close_bench(bench);
}

/* The driver takes from the same window then. */
static void a_source_that_is_shared_is_not_forgotten_and_has_one_limit(void **state)
{
    struct bench *bench = open_bench("[" LIMIT("{\"max_packets\":20,\"period\":60}") "]");
    struct rate_window window;
    unsigned passed = 0;
    (void)state;
    assert_null(chain_allowance(bench->worker, &bench->peer));
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(read_bytes(bench, "x", 1), FILTER_NEXT);
    const struct endpoint source = bench->peer;
    struct filter_allowance *allowance = chain_allowance(bench->worker, &source);
    assert_non_null(allowance);
    window = allowance->own;
    allowance->shared = &window;
    for (unsigned i = 0; i < 300000; i++) {
        bench->peer.address.s6_addr32[2] = i + 1;
        read_bytes(bench, "x", 1);
    }
    bench->peer = source;
    assert_ptr_equal(chain_allowance(bench->worker, &source), allowance);
    const struct rate_law law = rate_law_of(20, 60);
    const struct rate_moment moment = rate_moment_of(&law, (uint64_t)bench->call.now_ns);
    for (unsigned i = 0; i < 20; i++) {
        passed += read_bytes(bench, "x", 1) == FILTER_NEXT;
        passed += rate_window_take(&window, &law, &moment) == RATE_PASSES;
    }
    assert_int_equal(passed, 15);
    rate_window_move(&allowance->own, &window);
    allowance->shared = NULL;
    assert_int_equal(read_bytes(bench, "x", 1), FILTER_DROP);
    close_bench(bench);
}

static void so_few_sources_are_shared_that_others_have_a_place(void **state)
{
    struct bench *bench = open_bench("[" LIMIT("{\"max_packets\":3,\"period\":60}") "]");
    struct rate_window window = {0};
    unsigned shared = 0;
    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        bench->peer.address.s6_addr32[2] = i + 1;
        assert_int_equal(read_bytes(bench, "x", 1), FILTER_NEXT);
        struct filter_allowance *allowance = chain_allowance(bench->worker, &bench->peer);
        shared += allowance != NULL;
        if (allowance != NULL)
            allowance->shared = &window;
        window.newest = 0;
    }
    assert_in_range(shared, 40000, 49152); /* places are 65,536 */
    bench->peer.address.s6_addr32[2] = 0;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(read_bytes(bench, "x", 1), FILTER_NEXT);
    assert_int_equal(read_bytes(bench, "x", 1), FILTER_DROP);
    close_bench(bench);
}

static void bytes_are_added_on_either_side(void **state)
{
    struct bench *bench =
        open_bench("[" CONCATENATE("{\"on_read\":\"APPEND\",\"bytes\":\"IQ==\"}") "," CONCATENATE(
            "{\"on_read\":\"PREPEND\",\"on_write\":\"APPEND\",\"bytes\":\"Pz8=\"}") "]");
    (void)state;
    assert_int_equal(read_bytes(bench, "abc", 3), FILTER_NEXT);
    assert_bytes(bench, "?\?abc!");
    assert_int_equal(write_bytes(bench, "abc", 3), FILTER_NEXT);
    assert_bytes(bench, "abc?\?");
    assert_int_equal(read_bytes(bench, bench->scratch, 65504), FILTER_NEXT);
    assert_int_equal(bench->packet.bytes, 65507);
    assert_int_equal(read_bytes(bench, bench->scratch, 65505), FILTER_TOO_LARGE);
    close_bench(bench);
}

static void bytes_without_room_beside_the_datagram_are_added_all_the_same(void **state)
{
    char chain[4096], bytes[1024];
    (void)state;
    memset(bytes, 'A', 400); /* 300 zeroes */
    snprintf(
        chain, sizeof chain,
        "[" CAPTURE("{\"suffix\":{\"size\":2,\"remove\":true}}") "," CONCATENATE(
            "{\"on_read\":"
            "\"PREPEND\","
            "\"bytes\":\"%."
            "400s\"}") "," CONCATENATE("{\"on_read\":\"APPEND\",\"bytes\":\"%.400s\"}") "," CONCATENATE("{\"on_read\":"
                                                                                                        "\"PREPEND\","
                                                                                                        "\"bytes\":\"Pz8=\"}") "]",
        bytes, bytes);
    struct bench *bench = open_bench(chain);
    assert_int_equal(read_bytes(bench, "abcde", 5), FILTER_NEXT);
    assert_int_equal(bench->packet.bytes, 605);
    assert_memory_equal(bench->packet.data, "?\?\0\0", 4);
    assert_memory_equal(bench->packet.data + 302, "abc\0\0", 5);
    assert_int_equal(bench->packet.data[604], 0);
    close_bench(bench);
}

/* What is added is taken again, by a chain that is as long as any may be. */
static void a_chain_that_grows_and_cuts_stays_within_its_memory(void **state)
{
    size_t bytes = 60000, length = 0, capacity = 32 * (bytes / 3 * 4 + 400);
    char *chain = malloc(capacity), *text = malloc(bytes / 3 * 4 + 1);
    (void)state;
    memset(text, 'A', bytes / 3 * 4);
    text[bytes / 3 * 4] = '\0';
    for (unsigned i = 0; i < 32; i++)
        length +=
            (size_t)snprintf(chain + length, capacity - length,
                             "%s" CONCATENATE("{\"on_read\":\"%s\",\"bytes\":\"%s\"}") "," CAPTURE(
                                 "{\"prefix\":{\"size\":60000,\"remove\":true}}"),
                             i == 0 ? "[" : ",", i % 2 == 0 ? "APPEND" : "PREPEND", text);
    snprintf(chain + length, capacity - length, "]");
    struct bench *bench = open_bench(chain);
    assert_int_equal(read_bytes(bench, "abc", 3), FILTER_TOO_LARGE);
    close_bench(bench);
    free(chain);
    free(text);
}

static void match_runs_the_filter_of_the_value(void **state)
{
    struct bench *bench =
        open_bench("[" CAPTURE("{\"suffix\":{\"size\":1,\"remove\":true}}") "," MATCH(
            "{\"on_read\":{\"metadataKey\":\"quilkin.dev/capture\",\"branches\":["
            "{\"value\":\"a\",\"name\":\"" CONCATENATE_ID
            "\",\"config\":{\"on_read\":\"APPEND\",\"bytes\":\"IQ==\"}},"
            "{\"value\":7,\"name\":\"" CONCATENATE_ID
            "\",\"config\":{\"on_read\":\"APPEND\",\"bytes\":\"Pz8=\"}},"
            "{\"value\":[8],\"name\":\"" PASS_ID "\"},"
            "{\"value\":true,\"name\":\"" PASS_ID "\"}]}}") "]");
    (void)state;
    assert_int_equal(read_bytes(bench, "xa", 2), FILTER_NEXT);
    assert_bytes(bench, "x!");
    assert_int_equal(read_bytes(bench, "x\x07", 2), FILTER_NEXT);
    assert_bytes(bench, "x?\?");
    assert_int_equal(read_bytes(bench, "x\x08", 2), FILTER_NEXT);
    assert_bytes(bench, "x");
    assert_int_equal(read_bytes(bench, "x\x01", 2), FILTER_DROP); /* true is no byte */
    assert_string_equal(chain_reason(bench->reason), "filter::drop::dropped");
    assert_int_equal(write_bytes(bench, "xb", 2), FILTER_NEXT);
    close_bench(bench);
}

static void match_without_metadata_drops_whatever_the_fallthrough(void **state)
{
    struct bench *bench = open_bench(
        "[" MATCH("{\"on_write\":{\"metadataKey\":\"a\",\"branches\":[],\"fallthrough\":{\"name\":"
                  "\"" PASS_ID "\"}}}") "]");
    (void)state;
    assert_int_equal(write_bytes(bench, "x", 1), FILTER_DROP);
    assert_string_equal(chain_reason(bench->reason), "filter::match::no metadata");
    close_bench(bench);
}

static void match_within_match_has_the_reasons_of_the_innermost(void **state)
{
    struct bench *bench = open_bench("[" CAPTURE("{\"prefix\":{\"size\":1}}") "," MATCH(
        "{\"on_read\":{\"metadataKey\":\"quilkin.dev/capture/is_present\",\"branches\":["
        "{\"value\":true,\"name\":\"quilkin.filters.match.v1alpha1.Match\",\"config\":"
        "{\"on_read\":{\"metadataKey\":\"quilkin.dev/capture\",\"branches\":["
        "{\"value\":\"a\",\"name\":\"quilkin.filters.local_rate_limit.v1alpha1.LocalRateLimit\""
        ",\"config\":{\"max_packets\":1,\"period\":1}}],\"fallthrough\":{\"name\":"
        "\"quilkin.filters.token_router.v1alpha1.TokenRouter\","
        "\"config\":{\"metadataKey\":\"other\"}}}}}]}}") "]");
    (void)state;
    assert_int_equal(read_bytes(bench, "a", 1), FILTER_NEXT);
    assert_int_equal(read_bytes(bench, "a", 1), FILTER_DROP);
    assert_string_equal(chain_reason(bench->reason), "filter::rate_limit::dropped");
    assert_int_equal(read_bytes(bench, "b", 1), FILTER_DROP);
    assert_string_equal(chain_reason(bench->reason), "filter::token_router::no token found");
    close_bench(bench);
}

static char *metrics_of(struct bench *bench)
{
    char *text = NULL;
    size_t bytes;
    struct metrics out = {.out = open_memstream(&text, &bytes)};
    chain_meter_write(bench->meter, &out);
    fclose(out.out);
    return text;
}

static void assert_in(const char *text, const char *line)
{
    if (strstr(text, line) == NULL)
        fail_msg("no %s in\n%s", line, text);
}

static void counts_outlive_the_chain_that_made_them(void **state)
{
    struct bench *bench =
        open_bench("[" CAPTURE("{\"suffix\":{\"size\":8},\"metadataKey\":\"t\"}") "," TIMESTAMP(
            "{\"metadataKey\":\"t\"}") "," MATCH("{\"on_read\":{\"metadataKey\":\"t\",\"branches\":"
                                                 "[]}}") "]");
    (void)state;
    bench->packet.received_ns = 1000 * SECOND + 20000000;
    read_bytes(bench, "\0\0\0\0\0\0\x03\xe8", 8); /* 20 ms ago */
    read_bytes(bench, "\0\0\0\0\0\0\x03\xe9", 8); /* to come */
    read_bytes(bench, "\0\0\0\0\0\0\0\0", 8);
    read_bytes(bench, "short", 5);
    for (unsigned i = 0; i < 2; i++) {
        char *text = metrics_of(bench);
        assert_in(text, "filter_histogram_bucket{event=\"read\",help=\"Time from the timestamp in "
                        "metadata to now\",id=\"quilkin.filters.timestamp.v1alpha1.Timestamp\","
                        "label=\"duration\",shared_metadata_1=\"t\",le=\"0.005\"} 1\n");
        assert_in(text, "shared_metadata_1=\"t\",le=\"0.025\"} 2\n");
        assert_in(text, "shared_metadata_1=\"t\",le=\"+Inf\"} 3\n");
        assert_in(text, "label=\"packets_fallthrough_total\",help=\"Total number of packets that "
                        "are processed by the fallthrough configuration\",event=\"read\"} 3\n");
        assert_in(text, "quilkin_filter_read_duration_seconds_count{filter=\"quilkin.filters."
                        "capture.v1alpha1.Capture\"} 4\n");
        assert_in(text, "quilkin_filter_read_duration_seconds_count{filter=\"quilkin.filters."
                        "match.v1alpha1.Match\"} 3\n");
        free(text);
        chain_worker_free(bench->worker);
        bench->worker = chain_worker_new(bench->chain, bench->meter, 0);
    }
    close_bench(bench);
}

#define LATENCY                                                                                    \
    "{event=\"read\",help=\"Time from the timestamp in metadata to now\","                         \
    "id=\"quilkin.filters.timestamp.v1alpha1.Timestamp\",label=\"duration\","                      \
    "shared_metadata_1=\"t\""

static void a_time_to_come_counts_as_none_passed(void **state)
{
    static const char times[][9] = {"\0\0\0\0\0\0\x03\xe9",             /* the next second */
                                    "\0\0\0\0\0\0\xff\xff",             /* hours later */
                                    "\0\0\0\x04\x4b\x82\xfa\x0a",       /* 2^64 ns and more */
                                    "\x7f\xff\xff\xff\xff\xff\xff\xff", /* the sign bit, and all */
                                    "\x80\0\0\0\0\0\0\0",
                                    "\xff\xff\xff\xff\xff\xff\xff\xff"};
    struct bench *bench =
        open_bench("[" CAPTURE("{\"suffix\":{\"size\":8},\"metadataKey\":\"t\"}") "," TIMESTAMP(
            "{\"metadataKey\":\"t\"}") "]");
    (void)state;
    bench->packet.received_ns = 1000 * SECOND + 20000000;
    for (unsigned i = 0; i < sizeof times / sizeof times[0]; i++)
        assert_int_equal(read_bytes(bench, times[i], 8), FILTER_NEXT);
    char *text = metrics_of(bench);
    assert_in(text, "filter_histogram_bucket" LATENCY ",le=\"0.005\"} 6\n");
    assert_in(text, "filter_histogram_count" LATENCY "} 6\n");
    assert_in(text, "filter_histogram_sum" LATENCY "} 0.000000000\n");
    free(text);
    close_bench(bench);
}

static void a_time_of_another_length_is_passed_over(void **state)
{
    static const char *const chains[] = {
        "[" CAPTURE("{\"suffix\":{\"size\":1},\"metadataKey\":\"t\"}") "," TIMESTAMP(
            "{\"metadataKey\":\"t\"}") "]",
        "[" CAPTURE("{\"suffix\":{\"size\":7},\"metadataKey\":\"t\"}") "," TIMESTAMP(
            "{\"metadataKey\":\"t\"}") "]",
        "[" CAPTURE("{\"suffix\":{\"size\":9},\"metadataKey\":\"t\"}") "," TIMESTAMP(
            "{\"metadataKey\":\"t\"}") "]",
        "[" CAPTURE("{\"suffix\":{\"size\":16},\"metadataKey\":\"t\"}") "," TIMESTAMP(
            "{\"metadataKey\":\"t\"}") "]",
        "[" TIMESTAMP("{\"metadataKey\":\"t\"}") "]"}; /* nobody left one */
    (void)state;
    for (unsigned i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        struct bench *bench = open_bench(chains[i]);
        assert_int_equal(read_bytes(bench, "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1", 16), FILTER_NEXT);
        char *text = metrics_of(bench);
        assert_in(text, "filter_histogram_count" LATENCY "} 0\n");
        free(text);
        close_bench(bench);
    }
}

static void debug_tells_the_control_thread_what_it_saw(void **state)
{
    struct bench *bench = open_bench("[" DEBUG("{\"id\":\"here\"}") "]");
    char text[4096] = "";
    struct log log;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_init(&log, &(struct log_options){
                       .fd = ends[1], .format = LOG_FORMAT_JSON, .level = LOG_LEVEL_INFO});
    read_bytes(bench, "a\"\n\xff", 4);
    write_bytes(bench, "b", 1);
    chain_worker_report(bench->worker, &log);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_in(text, "{\"message\":\"Read filter event\",\"id\":\"here\",\"source\":\"192.0.2.1:1000"
                    "\",\"contents\":\"a\\\\\\\"\\\\n\\\\xff\"}");
    assert_in(text, "{\"message\":\"Write filter event\",\"id\":\"here\",\"source\":\"192.0.2.1:"
                    "1000\",\"dest\":\"192.0.2.99:99\",\"contents\":\"b\"}");
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(read_bytes(bench, "x", 1), FILTER_NEXT);
    log.options.level = LOG_LEVEL_WARN;
    chain_worker_report(bench->worker, &log);
    memset(text, 0, sizeof text);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    assert_in(text, "\"lost\":44");
    close(ends[0]);
    close(ends[1]);
    close_bench(bench);
}

static void several_matches_are_a_list_that_no_router_takes(void **state)
{
    struct bench *bench = open_bench("[" CAPTURE("{\"regex\":{\"pattern\":\"[0-9]\"}}") "," FILTER(
        "token_router.v1alpha1.TokenRouter", "null") "]");
    (void)state;
    assert_int_equal(read_bytes(bench, "a1b2", 4), FILTER_DROP);
    assert_string_equal(chain_reason(bench->reason), "filter::token_router::no endpoint match");
    assert_int_equal(read_bytes(bench, "ab", 2), FILTER_DROP);
    assert_string_equal(chain_reason(bench->reason), "filter::capture::no value captured");
    close_bench(bench);
}

/* Each error names the key; what is behind the last colon is what was expected. */
static void bad_configurations_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *filter, *error;
    } rows[] = {
        {FIREWALL("null"), "filters[0].config: expected a map"},
        {FIREWALL("{\"on_read\":[]}"), "filters[0].config: expected the key 'on_write'"},
        {FIREWALL("{\"on_read\":[{\"action\":\"ALLOW\",\"ports\":[]}],\"on_write\":[]}"),
         "filters[0].config.on_read[0]: expected the key 'sources'"},
        {FIREWALL("{\"on_read\":[{\"action\":\"allow\",\"sources\":[],\"ports\":[]}],"
                  "\"on_write\":[]}"),
         "on_read[0].action: expected ALLOW or DENY"},
        {FIREWALL("{\"on_read\":[{\"action\":\"DENY\",\"sources\":[\"192.0.2.0/33\"],\"ports\":[]}"
                  "],\"on_write\":[]}"),
         "on_read[0].sources[0]: expected an address"},
        {FIREWALL("{\"on_read\":[{\"action\":\"DENY\",\"sources\":[],\"ports\":[\"20-10\"]}],"
                  "\"on_write\":[]}"),
         "on_read[0].ports[0]: expected a port"},
        {FIREWALL("{\"on_read\":[{\"action\":\"DENY\",\"sources\":[],\"ports\":[65536]}],"
                  "\"on_write\":[]}"),
         "on_read[0].ports[0]: expected a port"},
        {LIMIT("{\"max_packets\":1}"), "expected the key 'period'"},
        {LIMIT("{\"max_packets\":1,\"period\":0}"), "config.period: expected a number from 1"},
        {LIMIT("{\"maxPackets\":1,\"period\":1}"), "maxPackets"},
        {CONCATENATE("{\"bytes\":\"IQ==\"}"), "expected one of on_read, on_write"},
        {CONCATENATE("{\"on_read\":\"APPEND\"}"), "expected the key 'bytes'"},
        {CONCATENATE("{\"on_read\":\"APPEND\",\"bytes\":\"IQ\"}"), "bytes: expected base64"},
        {MATCH("{}"), "filters[0].config: expected one of on_read, on_write"},
        {MATCH("{\"on_read\":{\"branches\":[]}}"),
         "config.on_read: expected the key 'metadataKey'"},
        {MATCH("{\"on_read\":{\"metadataKey\":\"a\"}}"), "expected the key 'branches'"},
        {MATCH("{\"on_read\":{\"metadataKey\":\"a\",\"branches\":[{\"value\":1.5,\"name\":"
               "\"" PASS_ID "\"}]}}"),
         "config.on_read.branches[0].value: expected a text, a whole number"},
        {MATCH("{\"on_read\":{\"metadataKey\":\"a\",\"branches\":[{\"value\":1,\"name\":\"x\"}]}}"),
         "config.on_read.branches[0].name: expected the id of a filter"},
        {MATCH("{\"on_read\":{\"metadataKey\":\"a\",\"branches\":[{\"value\":1,\"name\":\"" DROP_ID
               "\",\"config\":{}}]}}"),
         "config.on_read.branches[0].config: expected no configuration"},
        {MATCH("{\"on_read\":{\"metadataKey\":\"a\",\"branches\":[],\"fallthrough\":{\"name\":"
               "\"" CONCATENATE_ID "\",\"config\":{\"bytes\":\"\"}}}}"),
         "on_read.fallthrough.config: expected one of on_read, on_write"},
        {TIMESTAMP("{}"), "expected the key 'metadataKey'"},
        {DEBUG("{\"id\":7}"), "config.id: expected"},
        {CAPTURE("{\"regex\":{}}"), "config.regex: expected the key 'pattern'"},
        {CAPTURE("{\"regex\":{\"pattern\":\"(?=a)\"}}"),
         "filters[0].config.regex.pattern: expected a regular expression: look-around"},
        {CAPTURE("{\"regex\":{\"pattern\":\"a\"},\"prefix\":{\"size\":1}}"),
         "expected one of prefix, suffix, regex"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct chain *chain = NULL;
        struct error error = {0};
        json_t *list = json_pack("[o]", json_loads(rows[i].filter, 0, NULL));
        assert_int_not_equal(chain_from_json(&chain, list, &error), 0);
        assert_in(error.text, rows[i].error);
        json_decref(list);
    }
}

static void what_is_shown_is_taken_again_and_shown_alike(void **state)
{
    static const char filters[] = "[" CAPTURE("{\"regex\":{\"pattern\":\"\\\\d\"}}") "," FIREWALL(
        "{\"on_read\":[{\"action\":\"DENY\",\"sources\":[\"192.0.2.7/24\"],\"ports\":[1,"
        "\"2-4\"]}],\"on_write\":[]}") "," MATCH("{\"on_read\":{\"metadataKey\":\"a\","
                                                 "\"branches\":[{\"value\":[1,2],\"name\":"
                                                 "\"" PASS_ID
                                                 "\"}]}}") "," CONCATENATE("{\"on_read\":"
                                                                           "\"APPEND\","
                                                                           "\"bytes\":\"IQ=="
                                                                           "\"}") "," DEBUG("nu"
                                                                                            "l"
                                                                                            "l") "]";
    struct bench *bench = open_bench(filters);
    (void)state;
    json_t *shown = chain_show(bench->chain);
    struct chain *again;
    struct error error = {0};
    if (chain_from_json(&again, shown, &error) != 0)
        fail_msg("%s", error.text);
    json_t *twice = chain_show(again);
    assert_true(json_equal(shown, twice));
    json_decref(shown);
    json_decref(twice);
    chain_unref(again);
    close_bench(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_firewall_goes_by_its_first_rule_that_fits),
        cmocka_unit_test(a_firewall_without_rules_denies),
        cmocka_unit_test(a_source_has_its_packets_again_after_a_period_of_silence),
        cmocka_unit_test(no_period_has_more_than_a_tenth_above_the_limit),
        cmocka_unit_test(a_source_that_is_shared_is_not_forgotten_and_has_one_limit),
        cmocka_unit_test(so_few_sources_are_shared_that_others_have_a_place),
        cmocka_unit_test(forged_sources_do_not_make_a_busy_one_forgotten),
        cmocka_unit_test(bytes_are_added_on_either_side),
        cmocka_unit_test(bytes_without_room_beside_the_datagram_are_added_all_the_same),
        cmocka_unit_test(a_chain_that_grows_and_cuts_stays_within_its_memory),
        cmocka_unit_test(match_runs_the_filter_of_the_value),
        cmocka_unit_test(match_without_metadata_drops_whatever_the_fallthrough),
        cmocka_unit_test(match_within_match_has_the_reasons_of_the_innermost),
        cmocka_unit_test(counts_outlive_the_chain_that_made_them),
        cmocka_unit_test(a_time_to_come_counts_as_none_passed),
        cmocka_unit_test(a_time_of_another_length_is_passed_over),
        cmocka_unit_test(debug_tells_the_control_thread_what_it_saw),
        cmocka_unit_test(several_matches_are_a_list_that_no_router_takes),
        cmocka_unit_test(bad_configurations_are_refused_with_their_place),
        cmocka_unit_test(what_is_shown_is_taken_again_and_shown_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

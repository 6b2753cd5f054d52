/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <time.h>

#include "support/catalog_text.h"

#define PASS "quilkin.filters.pass.v1alpha1.Pass"
#define BALANCER "quilkin.filters.load_balancer.v1alpha1.LoadBalancer"

static const struct {
    const char *text, *error;
} bad[] = {
    {"filters: a", "1:10: filters: expected a list of filters, found 'a'"},
    {"filters:", "1:1: filters: expected a list of filters, found nothing"},
    {"filters: [{}]", "1:11: filters[0]: expected the key 'name', found a map without it"},
    {"filters: [{name: }]", "1:12: filters[0].name: expected the id of a filter, found nothing"},
    {"filters: [{name: 7}]",
     "1:18: filters[0].name: expected the id of a filter, found '7' without quotes"},
    {"filters: [{name: ''}]", "1:18: filters[0].name: expected the id of a filter, found ''"},
    {"filters: [{name: [a]}]", "1:18: filters[0].name: expected the id of a filter, found a list"},
    {"filters: [{name: a}]", "1:18: filters[0].name: expected the id of a filter, found 'a'"},
    {"filters: [{name: " PASS "}, {name: " PASS ", label: 1}]",
     "1:105: filters[1].label: expected a text, found '1' without quotes"},
    {"filters: [{name: " PASS ", label: [x]}]",
     "1:61: filters[0].label: expected a text, found a list"},
    {"filters: [{name: " PASS ", config: {}}]",
     "1:62: filters[0].config: expected no configuration, found a map"},
    {"filters: [{name: " PASS ", Config: {}}]",
     "1:54: filters[0]: unknown key 'Config', expected one of name, label, config"},
    {"clusters: {}", "1:11: clusters: expected a list of clusters, found a map"},
    {"clusters: 5", "1:11: clusters: expected a list of clusters, found '5'"},
    {"clusters: [5]", "1:12: clusters[0]: expected a map, found '5'"},
    {"clusters: [{}]", "1:12: clusters[0]: expected the key 'endpoints', found a map without it"},
    {"clusters: [{locality: a}]",
     "1:12: clusters[0]: expected the key 'endpoints', found a map without it"},
    {"clusters: [{endpoints: }]",
     "1:13: clusters[0].endpoints: expected a list of endpoints, found nothing"},
    {"clusters: [{endpoints: {}}]",
     "1:24: clusters[0].endpoints: expected a list of endpoints, found a map"},
    {"clusters: [{endpoints: [a]}]", "1:25: clusters[0].endpoints[0]: expected a map, found 'a'"},
    {"clusters: [{locality: '', endpoints: []}]",
     "1:23: clusters[0].locality: expected region, region:zone or region:zone:sub_zone, found ''"},
    {"clusters: [{locality: 'a:b:c:d', endpoints: []}]",
     "1:23: clusters[0].locality: expected region, region:zone or region:zone:sub_zone, found "
     "'a:b:c:d'"},
    {"clusters: [{locality: 'a:', endpoints: []}]",
     "1:23: clusters[0].locality: expected region, region:zone or region:zone:sub_zone, found "
     "'a:'"},
    {"clusters: [{locality: 'a::c', endpoints: []}]",
     "1:23: clusters[0].locality: expected region, region:zone or region:zone:sub_zone, found "
     "'a::c'"},
    {"clusters: [{locality: 5, endpoints: []}]",
     "1:23: clusters[0].locality: expected region, region:zone or region:zone:sub_zone, found '5' "
     "without quotes"},
    {"clusters: [{locality: [a], endpoints: []}]",
     "1:23: clusters[0].locality: expected region, region:zone or region:zone:sub_zone, found a "
     "list"},
    {"clusters:\n- {locality: a, endpoints: []}\n- {endpoints: [], locality: a}",
     "3:29: clusters[1].locality: expected a locality that no cluster before has, found 'a'"},
    {"clusters:\n- {endpoints: []}\n- {endpoints: []}",
     "3:3: clusters[1].locality: expected a locality, as a cluster before has none, found a map"},
    {"clusters:\n- {endpoints: []}\n- {endpoints: [], locality: null}",
     "3:3: clusters[1].locality: expected a locality, as a cluster before has none, found a map"},
    {"clusters: [{endpoints: [], version: -1}]",
     "1:37: clusters[0].version: expected a number from 0 to 9223372036854775807, found '-1'"},
    {"clusters: [{endpoints: [], version: x}]",
     "1:37: clusters[0].version: expected a number from 0 to 9223372036854775807, found 'x'"},
    {"clusters: [{endpoints: [], name: x}]",
     "1:28: clusters[0]: unknown key 'name', expected one of locality, endpoints, version"},
    {"clusters: [{endpoints: [{}]}]",
     "1:25: clusters[0].endpoints[0]: expected the key 'address', found a map without it"},
    {"clusters: [{endpoints: [{address: '127.0.0.1:0'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found '127.0.0.1:0'"},
    {"clusters: [{endpoints: [{address: 127.0.0.1}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found '127.0.0.1'"},
    {"clusters: [{endpoints: [{address: '127.0.0.1:65536'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found '127.0.0.1:65536'"},
    {"clusters: [{endpoints: [{address: '::1:7000'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found '::1:7000'"},
    {"clusters: [{endpoints: [{address: '[127.0.0.1]:7000'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found '[127.0.0.1]:7000'"},
    {"clusters: [{endpoints: [{address: '127.0.0.300:7000'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found '127.0.0.300:7000'"},
    {"clusters: [{endpoints: [{address: 'a b:7000'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found 'a b:7000'"},
    {"clusters: [{endpoints: [{address: 'tcp://a:7000'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found 'tcp://a:7000'"},
    {"clusters: [{endpoints: [{address: ':7000'}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found ':7000'"},
    {"clusters: [{endpoints: [{address: 7000}]}]",
     "1:35: clusters[0].endpoints[0].address: expected an address or a name, and a port from 1 to "
     "65535, found '7000' without quotes"},
    {"clusters: [{endpoints: [{address: 'a:1', tokens: []}]}]",
     "1:42: clusters[0].endpoints[0]: unknown key 'tokens', expected one of address, metadata"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: [a]}]}]",
     "1:52: clusters[0].endpoints[0].metadata: expected a map, found a list"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: }]}]",
     "1:42: clusters[0].endpoints[0].metadata: expected a map, found nothing"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {paddock: [3]}}]}]",
     "1:62: clusters[0].endpoints[0].metadata.paddock: expected a map, found a list"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {paddock: {wait: 3}}}]}]",
     "1:63: clusters[0].endpoints[0].metadata.paddock: unknown key 'wait', expected one of "
     "weight"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {paddock: {weight: 0}}}]}]",
     "1:71: clusters[0].endpoints[0].metadata.paddock.weight: expected a number from 1 to 1000, "
     "found '0'"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {paddock: {weight: 1001}}}]}]",
     "1:71: clusters[0].endpoints[0].metadata.paddock.weight: expected a number from 1 to 1000, "
     "found '1001'"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: 5}}]}]",
     "1:66: clusters[0].endpoints[0].metadata.quilkin.dev: expected a map, found '5'"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {token: []}}}]}]",
     "1:67: clusters[0].endpoints[0].metadata.quilkin.dev: unknown key 'token', expected one of "
     "tokens"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: MQ==}}}]}]",
     "1:75: clusters[0].endpoints[0].metadata.quilkin.dev.tokens: expected a list of tokens, found "
     "another text"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: }}}]}]",
     "1:67: clusters[0].endpoints[0].metadata.quilkin.dev.tokens: expected a list of tokens, found "
     "nothing"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: [1234]}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text, found a number"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: [null]}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text, found nothing"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: [[]]}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text, found a list"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: [{}]}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text, found a map"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: [true]}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text, found a boolean"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: [MQ]}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text with its padding, found another text"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: ['MQ==', "
     "'MR==']}}}]}]",
     "1:84: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[1]: expected a token as base64 "
     "text with its padding, found another text"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: ['MQ=-']}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text with its padding, found another text"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: ['MQ==', 'Mg==', "
     "'MQ==']}}}]}]",
     "1:92: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[2]: expected a token that the "
     "endpoint has only once, found another text"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: ['', '']}}}]}]",
     "1:80: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[1]: expected a token that the "
     "endpoint has only once, found another text"},
    {"clusters: [{endpoints: [{address: 'a:1', metadata: {quilkin.dev: {tokens: "
     "['fingerprint:0123']}}}]}]",
     "1:76: clusters[0].endpoints[0].metadata.quilkin.dev.tokens[0]: expected a token as base64 "
     "text with its padding, found another text"},
    {"datacenters: 5", "1:14: datacenters: expected a list or a map, found '5'"},
    {"datacenters: [5]", "1:15: datacenters[0]: expected a map, found '5'"},
    {"datacenters: [{}]",
     "1:15: datacenters[0]: expected the key 'address', found a map without it"},
    {"datacenters: [{address: 'a:7600'}]",
     "1:25: datacenters[0].address: expected an address or a name, without a port, found 'a:7600'"},
    {"datacenters: [{address: 192.0.2.1, qcmp_port: 0}]",
     "1:47: datacenters[0].qcmp_port: expected a number from 1 to 65535, found '0'"},
    {"datacenters: [{address: 192.0.2.1, qcmp_port: 016660}]",
     "1:47: datacenters[0].qcmp_port: expected a number from 1 to 65535, found '016660'"},
    {"datacenters: [{address: 192.0.2.1, icao_code: efhk}]",
     "1:47: datacenters[0].icao_code: expected four letters A-Z, found 'efhk'"},
    {"datacenters: [{address: 192.0.2.1, icao: EFHK}]",
     "1:36: datacenters[0]: unknown key 'icao', expected one of address, qcmp_port, icao_code"},
    {"datacenters: [{address: 192.0.2.1}, {address: 192.0.2.1}]",
     "1:37: datacenters[1]: expected an address and a port that none before has, found a map"},
    {"datacenters: {}", "1:14: datacenters: expected the key 'map', found a map without it"},
    {"datacenters: {map: []}", "1:20: datacenters.map: expected a map, found a list"},
    {"datacenters: {map: {'a:7600': {}}}",
     "1:21: datacenters.map: expected an address or a name, without a port, found the text "
     "'a:7600'"},
    {"datacenters: {map: {192.0.2.1: 5}}", "1:32: datacenters.map: expected a map, found '5'"},
    {"datacenters: {map: {192.0.2.1: {address: a}}}",
     "1:33: datacenters.map: unknown key 'address', expected one of qcmp_port, icao_code"},
    {"datacenters: {map: {}, version: a}",
     "1:33: datacenters.version: expected a number from 0 to 9223372036854775807, found 'a'"},
};

static void bad_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct catalog_settings settings;
        struct error error = {0};

        assert_int_not_equal(
            catalog_text_parse(bad[i].text, strlen(bad[i].text), &settings, &error), 0);
        assert_string_equal(error.text, bad[i].error);
        field_fini(catalog_section.fields, &settings);
    }
}

/* What a section shows, as a file. */
static char *show(const struct catalog_settings *settings, bool with_private)
{
    json_t *json = json_object();
    char *text;

    assert_int_equal(field_show(catalog_section.fields, settings, json, true, with_private), 0);
    text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
    json_decref(json);
    return text;
}

static void assert_parsed(const char *text, const char *expected)
{
    struct catalog_settings settings;
    struct error error = {0};
    char *shown;

    if (catalog_text_parse(text, strlen(text), &settings, &error) != 0)
        fail_msg("%s: %s", text, error.text);
    shown = show(&settings, true);
    assert_string_equal(shown, expected);
    field_fini(catalog_section.fields, &settings);
    assert_int_equal(catalog_text_parse(shown, strlen(shown), &settings, &error), 0);
    free(shown);
    shown = show(&settings, true);
    assert_string_equal(shown, expected);
    free(shown);
    shown = show(&settings, false);
    assert_null(strstr(shown, "tokens"));
    free(shown);
    field_fini(catalog_section.fields, &settings);
}

static void good_files(void **state)
{
    (void)state;
    assert_parsed("{}", "{}");
    assert_parsed("{filters: [], clusters: [], datacenters: []}",
                  "{\"clusters\":[],\"datacenters\":[],\"filters\":[]}");
    assert_parsed("datacenters:", "{\"datacenters\":[]}");
    assert_parsed("filters: [{name: " PASS ", label: null, config: null}, {name: " BALANCER
                  ", label: '', config: {}}]",
                  "{\"filters\":[{\"config\":null,\"label\":null,\"name\":\"" PASS
                  "\"},{\"config\":{\"policy\":\"ROUND_ROBIN\"},\"label\":\"\",\"name\":\"" BALANCER
                  "\"}]}");
    assert_parsed(
        "clusters: [{locality: null, version: 5, endpoints: []}, {locality: a, endpoints: []}]",
        "{\"clusters\":[{\"endpoints\":[]},{\"endpoints\":[],\"locality\":\"a\"}]}");
    assert_parsed(
        "clusters: [{endpoints: [{metadata: {quilkin.dev: {tokens: [MQ==, '']}, z: [1]}, "
        "address: 'udp://Host:1'}, {address: 'host:1', metadata: {quilkin.dev: {tokens: "
        "[Mg==, MQ==, 'fingerprint:0123456789abcdef']}}}, {address: '[::1]:2', metadata: {}}]}]",
        "{\"clusters\":[{\"endpoints\":[{\"address\":\"udp://Host:1\",\"metadata\":"
        "{\"quilkin.dev\":{\"tokens\":[\"MQ==\",\"\",\"Mg==\"]},\"z\":[1]}},"
        "{\"address\":\"[::1]:2\",\"metadata\":{\"quilkin.dev\":{\"tokens\":[]}}}]}]}");
    assert_parsed(
        "datacenters: [{address: a}, {address: 192.0.2.1, qcmp_port: 1, icao_code: EFHK}]",
        "{\"datacenters\":[{\"address\":\"a\",\"icao_code\":\"XXXX\",\"qcmp_port\":7600},"
        "{\"address\":\"192.0.2.1\",\"icao_code\":\"EFHK\",\"qcmp_port\":1}]}");
    assert_parsed(
        "datacenters: {version: 3, map: {192.0.2.1: {}, '::1': {qcmp_port: 2}}}",
        "{\"datacenters\":[{\"address\":\"192.0.2.1\",\"icao_code\":\"XXXX\",\"qcmp_port\":7600},"
        "{\"address\":\"::1\",\"icao_code\":\"XXXX\",\"qcmp_port\":2}]}");
}

static const struct config_section service = {
    .name = "service",
    .fields =
        (const struct field[]){
            {.flag = "serve", .kind = FIELD_BOOLEAN, .flags = FIELD_SERVICE, .bytes = sizeof(bool)},
            {0}},
    .bytes = sizeof(bool)};
static const struct config_section *const sections[] = {&service, &catalog_section, NULL};

static const char *get(const char *name, void *user)
{
    const char *const *variable = user;

    return variable != NULL && strcmp(name, variable[0]) == 0 ? variable[1] : NULL;
}

static enum config_result load(const char *const *words, const char *const *variable,
                               struct config **config, struct config_report *report)
{
    const struct config_environment environment = {
        .get = get, .user = (void *)(uintptr_t)variable, .host_name = "host"};
    char *argv[16] = {(char *)(uintptr_t) "paddock", (char *)(uintptr_t) "--serve"};
    int argc = 2;

    for (; *words != NULL; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    *report = (struct config_report){0};
    return config_load(
        config,
        &(struct config_source){
            .sections = sections, .argc = argc, .argv = argv, .environment = &environment},
        report);
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define ENDPOINTS "--provider.static.endpoints"
#define TOKENS "--provider.static.endpoint-tokens"

static void bad_flags(void **state)
{
    static const struct {
        const char *words[5], *error;
    } table[] = {
        {{ENDPOINTS, ""},
         ENDPOINTS ": expected numeric addresses with ports, and commas between "
                   "them, not ''"},
        {{ENDPOINTS, "127.0.0.1:1,"}, NULL},
        {{ENDPOINTS, ",127.0.0.1:1"}, NULL},
        {{ENDPOINTS, "127.0.0.1:1, 127.0.0.1:2"}, NULL},
        {{ENDPOINTS, "127.0.0.1:1 "}, NULL},
        {{ENDPOINTS, "127.0.0.1:0"}, NULL},
        {{ENDPOINTS, "127.0.0.1"}, NULL},
        {{ENDPOINTS, "localhost:1"}, NULL},
        {{ENDPOINTS, "udp://127.0.0.1:1"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1,", ENDPOINTS "=127.0.0.1:2"}, NULL},
        {{TOKENS, "1:1"}, TOKENS ": needs " ENDPOINTS},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "0:1"},
         TOKENS ": expected COUNT:LENGTH, two numbers above 0, with a length of at most 8 bytes, "
                "not '0:1'"},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "1:0"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "1:9"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "1"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "a:1"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "1:1:1"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "18446744073709551616:8"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "257:1"},
         TOKENS ": expected at most 256 tokens in all, not 257 of each of 1 endpoints"},
        {{ENDPOINTS "=127.0.0.1:1,127.0.0.1:2", TOKENS, "129:1"}, NULL},
        {{ENDPOINTS "=127.0.0.1:1", TOKENS, "18446744073709551615:8"}, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct config_report report;
        struct config *config = NULL;

        assert_int_equal(load(table[i].words, NULL, &config, &report), CONFIG_USAGE);
        assert_non_null(strstr(report.error.text, "--provider.static."));
        if (table[i].error != NULL)
            assert_string_equal(report.error.text, table[i].error);
    }
}

static const struct catalog_settings *of(const struct config *config)
{
    return config_settings(config, &catalog_section);
}

/* A flag that repeats adds to the list, and wins over the variable as a whole. */
static void static_endpoints(void **state)
{
    const char *const variable[] = {"QUILKIN_PROVIDERS_STATIC_ENDPOINTS", "192.0.2.9:9"};
    const char *const tokens[] = {"QUILKIN_PROVIDERS_STATIC_ENDPOINT_TOKENS", "128:1"};
    struct config_report report;
    struct config *config;
    struct catalog_change change = {0};
    json_t *json;

    (void)state;
    assert_int_equal(load(WORDS("--"), variable, &config, &report), CONFIG_SERVE);
    assert_string_equal(of(config)->static_endpoints->endpoints->address, "192.0.2.9:9");
    config_free(config);

    /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one word with its value */
    assert_int_equal(load(WORDS(ENDPOINTS, "127.0.0.1:1,[::1]:2", ENDPOINTS "=127.0.0.1:1",
                                ENDPOINTS, "[::ffff:127.0.0.1]:1,127.0.0.1:3"),
                          variable, &config, &report),
                     CONFIG_SERVE);
    assert_int_equal(of(config)->static_endpoints->endpoint_count, 3);
    json = config_to_json(config, false);
    char *text = json_dumps(json_object_get(json, "flags"), JSON_COMPACT);
    assert_non_null(strstr(text, "\"provider.static.endpoints\":[\"127.0.0.1:1\",\"[::1]:2\","
                                 "\"127.0.0.1:3\"]"));
    free(text);
    json_decref(json);
    assert_int_equal(catalog_settings_change(of(config), CATALOG_STATIC, "", &change), 0);
    assert_null(change.filters);
    assert_int_equal(change.clusters->items[0].cluster->token_count, 0);
    catalog_change_fini(&change);
    config_free(config);

    assert_int_equal(load(WORDS(ENDPOINTS, "127.0.0.1:1,127.0.0.1:2"), tokens, &config, &report),
                     CONFIG_SERVE);
    assert_int_equal(catalog_settings_change(of(config), CATALOG_STATIC, "eu", &change), 0);
    config_free(config);
    const struct cluster *cluster = change.clusters->items[0].cluster;
    assert_string_equal(cluster->locality, "eu");
    assert_int_equal(cluster->token_count, 256);
    assert_int_equal(cluster->endpoints->tokens->data[0], 0);
    assert_int_equal(cluster->endpoints->next->tokens->bytes, 1);
    assert_int_equal(cluster->endpoints->next->tokens->data[0], 128);
    assert_int_equal(json_array_size(change.filters), 2);
    catalog_change_fini(&change);
}

static double cpu_seconds(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The specification's half second is for a release build; this is the bound of any build. */
static void twenty_thousand(void **state)
{
    struct catalog_settings settings;
    struct error error;
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    double start;

    (void)state;
    fputs("clusters:\n  - endpoints:\n", stream);
    for (unsigned i = 0; i < 20000; i++)
        fprintf(stream,
                "      - address: 10.%u.%u.%u:7000\n"
                "        metadata: {quilkin.dev: {tokens: [%04uAAAAAAA=, %04uBBBBBBA=]}}\n",
                i / 65536, i / 256 % 256, i % 256, i % 10000, i % 10000);
    fclose(stream);
    start = cpu_seconds();
    if (catalog_text_parse(text, bytes, &settings, &error) != 0)
        fail_msg("%s", error.text);
    print_message("20,000 endpoints with 2 tokens each: %.3f s of CPU\n", cpu_seconds() - start);
    assert_true(cpu_seconds() - start < 10);
    assert_int_equal(settings.config.clusters->items[0].cluster->endpoint_count, 20000);
    assert_int_equal(settings.config.clusters->items[0].cluster->token_count, 40000);
    field_fini(catalog_section.fields, &settings);
    free(text);
}

static void schemas(void **state)
{
    json_t *schema = config_schema(sections), *properties;

    (void)state;
    properties = json_object_get(schema, "properties");
    assert_non_null(properties);
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = {"filters", "clusters", "datacenters"};
        json_t *row = json_object_get(properties, names[i]);
        assert_true(json_object_get(row, "type") != NULL || json_object_get(row, "anyOf") != NULL);
    }
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files), cmocka_unit_test(good_files),
        cmocka_unit_test(bad_flags), cmocka_unit_test(static_endpoints),
        cmocka_unit_test(schemas),   cmocka_unit_test(twenty_thousand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

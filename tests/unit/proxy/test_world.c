/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "net/address.h"
#include "proxy/world.h"
#include "support/catalog_text.h"
#include "support/random.h"

/* A version of a file's text; the settings are given back. */
static struct destinations *make(const char *text, const struct destinations *before)
{
    struct catalog_settings settings;
    struct destinations *world = NULL;
    struct error error;

    if (catalog_text_parse(text, strlen(text), &settings, &error) != 0)
        fail_msg("%s", error.text);
    struct clusters *none = clusters_new();
    const struct catalog_version told = {
        .clusters = settings.config.clusters != NULL ? settings.config.clusters : none,
        .filters = settings.config.filters};
    if (world_new(&world, &told, before, &(struct world_options){.workers = 2}, &error) != 0)
        fail_msg("%s", error.text);
    clusters_free(none);
    field_fini(catalog_section.fields, &settings);
    return world;
}

/* The ports of the endpoints that own a token, as a sum of powers of two. */
static unsigned owners(const struct destinations *world, const char *token)
{
    uint32_t chosen[16];
    unsigned sum = 0;
    uint32_t count = world->open.find_token(&world->open, (const uint8_t *)token,
                                            (uint32_t)strlen(token), chosen, 16);
    for (uint32_t i = 0; i < count; i++) {
        assert_true(chosen[i] < world->open.count);
        unsigned bit = 1U << ntohs(world->items[chosen[i]].at.port);
        assert_int_equal(sum & bit, 0); /* none twice */
        sum |= bit;
    }
    return sum;
}

static struct endpoint at_port(uint16_t port)
{
    struct endpoint endpoint = {.port = htons(port)};
    endpoint.address.s6_addr[10] = endpoint.address.s6_addr[11] = 0xff;
    endpoint.address.s6_addr[12] = 10;
    endpoint.address.s6_addr[15] = 1;
    return endpoint;
}

/* a, b, c and the empty one in base64. */
#define TOKENS(list) "metadata: {quilkin.dev: {tokens: [" list "]}}"

static void tokens_have_owners(void **state)
{
    struct destinations *world = make(
        "clusters: [{endpoints: [{address: '10.0.0.1:1', " TOKENS(
            "YQ==, Yg==") "}, {address: '10.0.0.1:2', " TOKENS("Yg==, ''") "}]}, "
                                                                           "{locality: x, "
                                                                           "endpoints: [{address: "
                                                                           "'10.0.0.1:1', " TOKENS(
                                                                               "YQ==, Yw==") "}]}]",
        NULL);
    struct endpoint there = at_port(2), not_there = at_port(3);

    (void)state;
    assert_int_equal(world->open.count, 2); /* one in two clusters is one */
    assert_int_equal(owners(world, "a"), 1 << 1);
    assert_int_equal(owners(world, "b"), 1 << 1 | 1 << 2);
    assert_int_equal(owners(world, "c"), 1 << 1);
    assert_int_equal(owners(world, ""), 1 << 2);
    assert_int_equal(owners(world, "d"), 0);
    assert_int_equal(owners(world, "aa"), 0);
    assert_int_not_equal(world_find(world, &there), FILTER_NOWHERE);
    assert_int_equal(world_find(world, &not_there), FILTER_NOWHERE);
    world_free(&world->retired);
}

static void no_more_owners_are_given_than_asked_for(void **state)
{
    struct destinations *world =
        make("clusters: [{endpoints: [{address: '10.0.0.1:1', " TOKENS(
                 "YQ==") "}, {address: '10.0.0.1:2', " TOKENS("YQ==") "}]}]",
             NULL);
    uint32_t chosen[2] = {7, 7};

    (void)state;
    assert_int_equal(world->open.find_token(&world->open, (const uint8_t *)"a", 1, chosen, 1), 1);
    assert_int_equal(chosen[1], 7);
    world_free(&world->retired);
}

static void without_endpoints_there_is_nothing(void **state)
{
    struct destinations *world = make("{}", NULL);
    struct endpoint there = at_port(2);

    (void)state;
    assert_int_equal(world->open.count, 0);
    assert_int_equal(owners(world, ""), 0);
    assert_int_equal(world_find(world, &there), FILTER_NOWHERE);
    world_free(&world->retired);
}

static uint64_t weight(const struct destinations *world, uint16_t port)
{
    struct endpoint at = at_port(port);
    uint32_t place = world_find(world, &at);
    assert_non_null(world->open.weights);
    assert_int_not_equal(place, FILTER_NOWHERE);
    return world->open.weights[place] - (place > 0 ? world->open.weights[place - 1] : 0);
}

static void endpoints_weigh_what_metadata_says(void **state)
{
    struct destinations *world =
        make("clusters: [{endpoints: [{address: '10.0.0.1:1'}, {address: '10.0.0.1:2', metadata: "
             "{paddock: {weight: 7}}}, {address: '10.0.0.1:3', metadata: {paddock: {}}}]}, "
             "{locality: x, endpoints: [{address: '10.0.0.1:1', metadata: {paddock: {weight: "
             "3}}}, {address: '10.0.0.1:2'}]}]",
             NULL);

    (void)state;
    assert_int_equal(weight(world, 1), 3); /* the greatest of two clusters */
    assert_int_equal(weight(world, 2), 7);
    assert_int_equal(weight(world, 3), 1);
    world_free(&world->retired);
}

static void equal_weights_are_none(void **state)
{
    struct destinations *world =
        make("clusters: [{endpoints: [{address: '10.0.0.1:1', metadata: {paddock: {weight: 4}}}, "
             "{address: '10.0.0.1:2', metadata: {paddock: {weight: 4}}}]}]",
             NULL);

    (void)state;
    assert_null(world->open.weights);
    world_free(&world->retired);
}

/* A random list of clusters: ports are those of endpoints, letters are tokens. */
static void random_clusters(uint64_t *random, char *text, size_t room)
{
    size_t used = (size_t)snprintf(text, room, "clusters: [");
    for (unsigned c = 0, clusters = (unsigned)(random_next(random) % 3); c < clusters; c++) {
        used += (size_t)snprintf(text + used, room - used, "{locality: l%u, endpoints: [", c);
        for (unsigned e = 0, count = (unsigned)(random_next(random) % 5); e < count; e++) {
            used += (size_t)snprintf(text + used, room - used,
                                     "{address: '10.0.0.1:%u', metadata: {quilkin.dev: {tokens: [",
                                     (unsigned)(random_next(random) % 6));
            for (unsigned t = 0, letters = (unsigned)random_next(random); t < 6; t++) {
                if ((letters >> t & 1) != 0) /* from a to f in base64 */
                    used += (size_t)snprintf(
                        text + used, room - used, "%s, ",
                        (const char *[]){"YQ==", "Yg==", "Yw==", "ZA==", "ZQ==", "Zg=="}[t]);
            }
            used += (size_t)snprintf(text + used, room - used, "]}}}, ");
        }
        used += (size_t)snprintf(text + used, room - used, "]}, ");
    }
    snprintf(text + used, room - used, "]");
}

static void a_version_is_the_same_whatever_was_before(void **state)
{
    uint64_t random = 3;
    struct destinations *before = make("{}", NULL);

    (void)state;
    for (unsigned run = 0; run < 1000; run++) {
        char text[4096];
        random_clusters(&random, text, sizeof text);
        for (char *port = text; (port = strstr(port, ":0'")) != NULL;)
            port[1] = '9'; /* a port is not 0 */
        struct destinations *fresh = make(text, NULL), *next = make(text, before);
        assert_int_equal(fresh->open.count, next->open.count);
        for (char token[2] = "a"; token[0] <= 'f'; token[0]++)
            assert_int_equal(owners(fresh, token), owners(next, token));
        world_free(&fresh->retired);
        world_free(&before->retired);
        before = next;
    }
    world_free(&before->retired);
}

/* What a chain remembers goes on while the chain is the same. */
static void the_same_chain_is_kept_and_another_is_not(void **state)
{
    static const char pass[] = "filters: [{name: quilkin.filters.pass.v1alpha1.Pass}]";
    struct destinations *first = make(pass, NULL), *second = make(pass, first),
                        *third = make("filters: []", second), *fourth = make("{}", third);

    (void)state;
    assert_ptr_equal(first->chain, second->chain);
    assert_ptr_not_equal(second->chain, third->chain);
    assert_true(second->number > first->number);
    world_free(&first->retired);
    world_free(&second->retired);
    world_free(&third->retired);
    world_free(&fourth->retired);
}

static double seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void a_million_tokens_are_taken_in_time(void **state)
{
    enum {
        ENDPOINTS = 20000,
        EACH = 50
    };
    struct clusters *clusters = clusters_new();
    struct cluster *cluster = cluster_new("");
    struct destinations *world;
    struct error error;
    uint32_t chosen[2];

    (void)state;
    for (uint32_t i = 0; i < ENDPOINTS; i++) {
        struct cluster_endpoint *endpoint;
        char text[64];
        snprintf(text, sizeof text, "10.1.%u.%u:7000", i / 256, i % 256);
        assert_int_equal(cluster_add_endpoint(cluster, text, &endpoint), 0);
        for (uint32_t j = 0; j < EACH; j++) {
            uint32_t token = i * EACH + j;
            assert_int_equal(cluster_add_token(cluster, endpoint, &token, sizeof token), 0);
        }
    }
    assert_int_equal(clusters_add(clusters, cluster), 0);
    const struct catalog_version told = {.clusters = clusters};
    double start = seconds();
    const struct world_options one = {.workers = 1};
    assert_int_equal(world_new(&world, &told, NULL, &one, &error), 0);
    print_message("a million tokens of 20,000 endpoints: %.3f s of CPU\n", seconds() - start);
    assert_true(seconds() - start < 10);
    for (uint32_t token = 0; token < ENDPOINTS * EACH; token += 997) {
        assert_int_equal(
            world->open.find_token(&world->open, (const uint8_t *)&token, sizeof token, chosen, 2),
            1);
        assert_int_equal(chosen[0], token / EACH);
    }
    clusters_free(clusters);
    world_free(&world->retired);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_have_owners),
        cmocka_unit_test(no_more_owners_are_given_than_asked_for),
        cmocka_unit_test(without_endpoints_there_is_nothing),
        cmocka_unit_test(endpoints_weigh_what_metadata_says),
        cmocka_unit_test(equal_weights_are_none),
        cmocka_unit_test(a_version_is_the_same_whatever_was_before),
        cmocka_unit_test(the_same_chain_is_kept_and_another_is_not),
        cmocka_unit_test(a_million_tokens_are_taken_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

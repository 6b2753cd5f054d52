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
    assert_true(world_has(world, &there));
    assert_false(world_has(world, &not_there));
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
    assert_false(world_has(world, &there));
    world_free(&world->retired);
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
        cmocka_unit_test(the_same_chain_is_kept_and_another_is_not),
        cmocka_unit_test(a_million_tokens_are_taken_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

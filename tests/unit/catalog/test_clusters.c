/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>

#include "base/base64.h"
#include "catalog/clusters.h"

static void localities(void **state)
{
    static const char *const bad[] = {"",     ":",      "a:",      ":a",  "a::b",
                                      "a:b:", "a:b:c:", "a:b:c:d", "a\nb"};
    struct locality locality = {.region = "kept"};
    char text[LOCALITY_TEXT_BYTES], region[LOCALITY_PART_BYTES + 1];

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(locality_parse(bad[i], &locality), -1);
    assert_string_equal(locality.region, "kept");
    assert_int_equal(locality_parse("eu-north:b:1", &locality), 0);
    assert_string_equal(locality.region, "eu-north");
    assert_string_equal(locality.zone, "b");
    assert_string_equal(locality.sub_zone, "1");
    assert_int_equal(locality_format(&locality, text), 0);
    assert_string_equal(text, "eu-north:b:1");
    assert_int_equal(locality_format(&(struct locality){.region = "a", .zone = "b"}, text), 0);
    assert_string_equal(text, "a:b");
    assert_int_equal(locality_format(&(struct locality){.region = ""}, text), 0);
    assert_string_equal(text, "");
    assert_int_equal(locality_format(&(struct locality){.zone = "b"}, text), -1);
    assert_int_equal(locality_format(&(struct locality){.region = "a", .sub_zone = "c"}, text), -1);
    assert_int_equal(locality_format(&(struct locality){.region = "a:b"}, text), -1);
    memset(region, 'r', sizeof region);
    region[LOCALITY_PART_BYTES] = '\0';
    assert_int_equal(locality_parse(region, &locality), -1);
    region[LOCALITY_PART_BYTES - 1] = '\0';
    assert_int_equal(locality_parse(region, &locality), 0);
}

static void addresses(void **state)
{
    static const char *const bad[] = {"",
                                      "a",
                                      "a:0",
                                      "a:65536",
                                      ":1",
                                      "127.0.0.1",
                                      "[::1]",
                                      "::1:1",
                                      "[a]:1",
                                      "[1.2.3.4]:1",
                                      "1.2.3:1",
                                      "1.2.3.256:1",
                                      "a..b:1",
                                      ".a:1",
                                      "a b:1",
                                      "a:1 ",
                                      "a:x",
                                      "http://a:1",
                                      "fe80::1:1",
                                      "[fe80::1%nothing-here]:1",
                                      "[2001:db8::1%lo]:1",
                                      "a%lo:1",
                                      "a:+1",
                                      "udp://"};
    struct server_address address, again;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (server_address_parse(bad[i], &address) == 0)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(server_address_parse("192.0.2.1:7000", &address), 0);
    assert_int_equal(server_address_parse("udp://[::ffff:192.0.2.1]:7000", &again), 0);
    assert_true(endpoint_equals(&address.at, &again.at));
    assert_int_equal(ntohs(address.at.port), 7000);
    assert_string_equal(address.name, "");
    assert_int_equal(server_address_parse("Game-1.Example.:7000", &address), 0);
    assert_string_equal(address.name, "game-1.example.");
    assert_int_equal(ntohs(address.at.port), 7000);
    assert_int_equal(server_address_parse("[fe80::1%lo]:65535", &address), 0);
    assert_int_not_equal(address.at.scope, 0);
}

static void base64(void **state)
{
    static const char *const bad[] = {
        "M",        "=",        "====", "MQ",   "MQ=",  "MR==", "M===",
        "MTI=MTI=", "MQ==MQ==", "MQ-=", "MTJ=", " MQ=", "MQ=\n"};
    uint8_t data[64], back[64];
    char text[BASE64_TEXT_BYTES(64)];
    size_t bytes = 7;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (base64_decode(bad[i], back, &bytes) == 0)
            fail_msg("'%s' was taken", bad[i]);
    }
    assert_int_equal(bytes, 7);
    base64_encode((const uint8_t *)"foobar", 5, text);
    assert_string_equal(text, "Zm9vYmE=");
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 200);
    for (size_t i = 0; i <= sizeof data; i++) {
        base64_encode(data, i, text);
        assert_int_equal(strlen(text) + 1, BASE64_TEXT_BYTES(i));
        assert_int_equal(base64_decode(text, back, &bytes), 0);
        assert_int_equal(bytes, i);
        assert_memory_equal(data, back, i);
    }
}

/* Two spellings of an address are one endpoint, which is shown as it was written first. */
static void endpoints(void **state)
{
    struct cluster *cluster = cluster_new("eu");
    struct cluster_endpoint *first, *second, *third;

    (void)state;
    assert_int_equal(cluster_add_endpoint(cluster, "nonsense", &first), -EINVAL);
    assert_int_equal(cluster_add_endpoint(cluster, "udp://192.0.2.1:7000", &first), 0);
    assert_int_equal(cluster_add_token(cluster, first, "", 0), 0);
    assert_int_equal(cluster_add_token(cluster, first, "a\0b", 3), 0);
    assert_int_equal(cluster_add_token(cluster, first, "a\0b", 3), -EEXIST);
    assert_int_equal(cluster_add_token(cluster, first, "", 0), -EEXIST);
    assert_int_equal(cluster_add_endpoint(cluster, "192.0.2.1:7000", &second), 0);
    assert_ptr_equal(first, second);
    assert_int_equal(cluster_add_endpoint(cluster, "192.0.2.1:7001", &second), 0);
    assert_int_equal(cluster_add_token(cluster, second, "a\0b", 3), 0);
    assert_int_equal(cluster_add_endpoint(cluster, "Host:7001", &second), 0);
    assert_int_equal(cluster_add_endpoint(cluster, "hOST:7001", &third), 0);
    assert_ptr_equal(second, third);
    assert_int_equal(cluster_add_endpoint(cluster, "host:7002", &third), 0);
    assert_ptr_not_equal(second, third);
    assert_int_equal(cluster->endpoint_count, 4);
    assert_int_equal(cluster->token_count, 3);
    assert_string_equal(first->address, "udp://192.0.2.1:7000");
    assert_null(first->name);
    assert_string_equal(second->name, "host");
    assert_int_equal(first->token_count, 2);
    assert_int_equal(first->tokens->bytes, 0);
    assert_memory_equal(first->tokens->next->data, "a\0b", 3);
    assert_null(first->tokens->next->next);
    cluster_free(cluster);
    cluster_free(NULL);
}

static struct cluster *make(const char *locality, const char *address, const char *token,
                            const char *metadata)
{
    struct cluster *cluster = cluster_new(locality);
    struct cluster_endpoint *endpoint;
    json_t *json = json_loads(metadata, 0, NULL);

    assert_int_equal(cluster_add_endpoint(cluster, address, &endpoint), 0);
    assert_int_equal(cluster_add_token(cluster, endpoint, token, strlen(token)), 0);
    if (json_object_size(json) > 0)
        assert_int_equal(cluster_add_metadata(endpoint, json), 0);
    json_decref(json);
    return cluster;
}

static void equality(void **state)
{
    struct cluster *a = make("eu", "h:1", "t", "{\"k\":1}");
    struct cluster *others[] = {
        make("us", "h:1", "t", "{\"k\":1}"),  make("eu", "h:2", "t", "{\"k\":1}"),
        make("eu", "H:1", "t", "{\"k\":1}"),  make("eu", "h:1", "u", "{\"k\":1}"),
        make("eu", "h:1", "tt", "{\"k\":1}"), make("eu", "h:1", "t", "{\"k\":2}"),
        make("eu", "h:1", "t", "{}")};
    struct cluster *same = make("eu", "h:1", "t", "{\"k\":1}");
    struct cluster_endpoint *endpoint;

    (void)state;
    assert_true(cluster_equal(a, same));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(cluster_equal(a, others[i]));
        assert_false(cluster_equal(others[i], a));
        cluster_free(others[i]);
    }
    assert_int_equal(cluster_add_endpoint(same, "h:3", &endpoint), 0);
    assert_false(cluster_equal(a, same));
    assert_false(cluster_equal(same, a));
    cluster_free(same);
    cluster_free(a);
}

/* What two lists share lives as long as one of them; the order of clusters does not matter. */
static void lists(void **state)
{
    struct clusters *a = clusters_new(), *b = clusters_new(), *copy;

    (void)state;
    assert_true(clusters_equal(a, b) && clusters_equal(a, NULL) && clusters_equal(NULL, NULL));
    assert_int_equal(clusters_add(a, make("eu", "h:1", "t", "{}")), 0);
    assert_int_equal(clusters_add(a, make("eu", "h:2", "t", "{}")), -EEXIST);
    assert_int_equal(clusters_add(a, make("", "h:2", "t", "{}")), 0);
    assert_false(clusters_equal(a, b));
    assert_false(clusters_equal(NULL, a));
    assert_int_equal(clusters_share(b, clusters_find(a, "")->cluster, 7), 0);
    assert_int_equal(clusters_share(b, clusters_find(a, "eu")->cluster, 9), 0);
    assert_true(clusters_equal(a, b) && clusters_equal(b, a));
    assert_null(clusters_find(a, "us"));
    clusters_free(a);
    copy = clusters_copy(b);
    clusters_free(b);
    assert_int_equal(copy->count, 2);
    assert_int_equal(clusters_find(copy, "")->version, 7);
    assert_string_equal(clusters_find(copy, "eu")->cluster->endpoints->address, "h:1");
    clusters_free(copy);
    clusters_free(NULL);
}

static void many(void **state)
{
    struct clusters *clusters = clusters_new();
    char text[32];

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(text, sizeof text, "r%u", i);
        assert_int_equal(clusters_add(clusters, make(text, "h:1", "t", "{}")), 0);
    }
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(text, sizeof text, "r%u", i);
        assert_ptr_equal(clusters_find(clusters, text), &clusters->items[i]);
    }
    assert_null(clusters_find(clusters, "r10000"));
    clusters_free(clusters);
}

static void add_all(void **state)
{
    struct cluster *a = make("eu", "h:1", "t", "{\"k\":1,\"l\":1}");
    struct cluster *b = make("", "H:1", "u", "{\"k\":2}");
    struct cluster_endpoint *endpoint;

    (void)state;
    assert_int_equal(cluster_add_endpoint(b, "h:2", &endpoint), 0);
    assert_int_equal(cluster_add_all(a, b), 0);
    assert_int_equal(cluster_add_all(a, b), 0);
    assert_int_equal(a->endpoint_count, 2);
    assert_int_equal(a->token_count, 2);
    assert_string_equal(a->endpoints->address, "h:1");
    assert_int_equal(json_integer_value(json_object_get(a->endpoints->metadata, "k")), 2);
    assert_int_equal(json_integer_value(json_object_get(a->endpoints->metadata, "l")), 1);
    assert_int_equal(json_object_size(b->endpoints->metadata), 1);
    cluster_free(a);
    cluster_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localities), cmocka_unit_test(addresses), cmocka_unit_test(base64),
        cmocka_unit_test(endpoints),  cmocka_unit_test(equality),  cmocka_unit_test(lists),
        cmocka_unit_test(many),       cmocka_unit_test(add_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

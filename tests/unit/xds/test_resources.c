/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "xds/resources.h"

static struct cluster *read_bytes(const uint8_t *data, size_t bytes, struct error *error)
{
    const ProtobufCBinaryData message = {bytes, (uint8_t *)(uintptr_t)data};
    struct cluster *cluster = NULL;
    struct arena arena;

    arena_init(&arena, bytes);
    (void)resource_read_cluster(&message, &arena, &cluster, error);
    arena_fini(&arena);
    return cluster;
}

static struct cluster *read_blob(const struct http_blob *blob)
{
    struct error error = {0};

    return read_bytes((const uint8_t *)blob->data, blob->bytes, &error);
}

/* A locality eu, and the endpoint a:1 with the token of two bytes "hi", which is aGk=. */
static const uint8_t golden[] = {0x0a, 4,    0x0a, 2,    'e', 'u',     /* locality */
                                 0x12, 45,   0x0a, 1,    'a', 0x10, 1, /* endpoint */
                                 0x1a, 38,   0x0a, 36,                 /* metadata */
                                 0x0a, 11,   'q',  'u',  'i', 'l',  'k', 'i',  'n', '.', 'd', 'e',
                                 'v',  0x12, 21,   0x2a, 19,  0x0a, 17,  0x0a, 6,   't', 'o', 'k',
                                 'e',  'n',  's',  0x12, 7,   0x1a, 5,   'a',  'G', 'k', '=', '='};

static void a_cluster_is_read_from_the_wire(void **state)
{
    (void)state;
    uint8_t bytes[sizeof golden];
    struct error error = {0};

    /* One text instead of a list of tokens, with the right padding. */
    memcpy(bytes, golden, sizeof golden);
    bytes[sizeof golden - 8] = 6;
    bytes[sizeof golden - 6] = 4;
    bytes[7]--, bytes[14]--, bytes[16]--, bytes[31]--, bytes[33]--, bytes[35]--;
    struct cluster *cluster = read_bytes(bytes, sizeof golden - 1, &error);
    assert_string_equal(error.text, "");
    assert_non_null(cluster);
    assert_string_equal(cluster->locality, "eu");
    assert_string_equal(cluster->endpoints->address, "a:1");
    assert_int_equal(cluster->endpoints->tokens->bytes, 2);
    assert_memory_equal(cluster->endpoints->tokens->data, "hi", 2);
    assert_null(cluster->endpoints->metadata);
    cluster_free(cluster);
}

static void a_bad_token_is_named(void **state)
{
    (void)state;
    struct error error = {0};

    assert_null(read_bytes(golden, sizeof golden, &error));
    assert_string_equal(error.text, "a token that is no base64 text");
}

static void every_truncation_is_refused_or_is_a_shorter_cluster(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof golden; bytes++) {
        struct error error = {0};
        struct cluster *cluster = read_bytes(golden, bytes, &error);

        assert_true(bytes == 0 || bytes == 6 ? cluster != NULL : cluster == NULL);
        cluster_free(cluster);
    }
}

static void a_cluster_comes_back_as_it_was(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new("eu:a:b");
    struct cluster_endpoint *endpoint;
    json_t *metadata = json_pack("{s:s, s:[i,f,n,b,{}], s:{s:s}}", "name", "x", "list", 1, 2.5, 1,
                                 "map", "k", "v");

    assert_int_equal(cluster_add_endpoint(cluster, "192.0.2.1:7000", &endpoint), 0);
    assert_int_equal(cluster_add_token(cluster, endpoint, "", 0), 0);
    assert_int_equal(cluster_add_token(cluster, endpoint, "\0\xff", 2), 0);
    assert_int_equal(cluster_add_metadata(endpoint, metadata), 0);
    assert_int_equal(cluster_add_endpoint(cluster, "[2001:db8::1]:1", &endpoint), 0);
    assert_int_equal(cluster_add_endpoint(cluster, "name.example:65535", &endpoint), 0);
    struct http_blob *blob = resource_write_cluster(cluster);
    assert_non_null(blob);
    struct cluster *again = read_blob(blob);
    assert_non_null(again);
    assert_true(cluster_equal(cluster, again));
    cluster_free(cluster);
    cluster_free(again);
    http_blob_unref(blob);
    json_decref(metadata);
}

static json_t *nest(unsigned depth)
{
    json_t *json = json_integer(1);

    for (unsigned i = 0; i < depth; i++) {
        json_t *outer = i % 2 == 0 ? json_object() : json_array();

        if (json_is_object(outer))
            json_object_set_new(outer, "a", json);
        else
            json_array_append_new(outer, json);
        json = outer;
    }
    return json;
}

static void metadata_nest_as_deep_as_the_limit(void **state)
{
    (void)state;
    for (unsigned depth = 1; depth < 2 * RESOURCE_MAX_DEPTH; depth += 2) {
        json_t *json = nest(depth), *again = NULL;
        ProtobufCBinaryData message;
        struct error error = {0};
        struct arena arena;

        arena_init(&arena, 1000000);
        int code = resource_write_struct(json, &arena, &message);
        assert_int_equal(code == 0, depth <= RESOURCE_MAX_DEPTH);
        if (code == 0)
            again = resource_read_struct(&message, &arena, &error);
        assert_int_equal(again != NULL, code == 0);
        if (again != NULL)
            assert_true(json_equal(json, again));
        json_decref(again);
        json_decref(json);
        arena_fini(&arena);
    }
}

static void many_small_parts_do_not_take_many_times_their_memory(void **state)
{
    (void)state;
    static uint8_t parts[2000000];
    struct error error = {0};

    for (size_t i = 0; i < sizeof parts; i += 2)
        parts[i] = 0x12; /* an empty endpoint */
    assert_null(read_bytes(parts, sizeof parts, &error));
    assert_string_equal(error.text, "a Cluster that is broken");
}

static void a_datacenter_has_a_port_and_a_code(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        uint16_t port;
        const char *code;
        bool is_fine, is_address;
    } rows[] = {
        {"192.0.2.1", 7600, "EDDF", true, true},   {"2001:db8::1", 1, "XXXX", true, true},
        {"", 7600, "EDDF", true, false},           {"name", 7600, "EDDF", true, false},
        {"192.0.2.1", 0, "EDDF", false, false},    {"192.0.2.1", 7600, "eddf", false, false},
        {"192.0.2.1", 7600, "EDDFX", false, false}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_blob *blob =
            resource_write_datacenter(rows[i].host, rows[i].port, rows[i].code);
        const ProtobufCBinaryData message = {blob->bytes, (uint8_t *)blob->data};
        struct datacenter node = {.qcmp_port = 0};
        struct error error = {0};
        struct arena arena;
        bool is_address = false;

        arena_init(&arena, blob->bytes);
        int code = resource_read_datacenter(&message, &arena, &node, &is_address, &error);
        assert_int_equal(code == 0, rows[i].is_fine);
        assert_int_equal(node.qcmp_port, rows[i].is_fine ? rows[i].port : 0);
        assert_int_equal(is_address, rows[i].is_address && rows[i].is_fine);
        arena_fini(&arena);
        http_blob_unref(blob);
    }
}

static void a_chain_comes_back_with_its_defaults(void **state)
{
    (void)state;
    json_t *filters =
        json_pack("[{s:s, s:s, s:{s:{s:i}}}, {s:s}]", "name",
                  "quilkin.filters.capture.v1alpha1.Capture", "label", "x", "config", "suffix",
                  "size", 3, "name", "quilkin.filters.token_router.v1alpha1.TokenRouter");
    struct http_blob *blob = resource_write_filters(filters);
    const ProtobufCBinaryData message = {blob->bytes, (uint8_t *)blob->data};
    struct error error = {0};
    struct arena arena;
    json_t *again = NULL;

    arena_init(&arena, blob->bytes);
    assert_int_equal(resource_read_filters(&message, &arena, &again, &error), 0);
    assert_int_equal(json_array_size(again), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(again, 0), "label")), "x");
    struct http_blob *whole = resource_write_filters(again);
    const ProtobufCBinaryData second = {whole->bytes, (uint8_t *)whole->data};
    json_t *third = NULL;
    assert_int_equal(resource_read_filters(&second, &arena, &third, &error), 0);
    assert_true(json_equal(again, third));
    json_decref(filters);
    json_decref(again);
    json_decref(third);
    http_blob_unref(blob);
    http_blob_unref(whole);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_read_from_the_wire),
        cmocka_unit_test(a_bad_token_is_named),
        cmocka_unit_test(every_truncation_is_refused_or_is_a_shorter_cluster),
        cmocka_unit_test(a_cluster_comes_back_as_it_was),
        cmocka_unit_test(metadata_nest_as_deep_as_the_limit),
        cmocka_unit_test(many_small_parts_do_not_take_many_times_their_memory),
        cmocka_unit_test(a_datacenter_has_a_port_and_a_code),
        cmocka_unit_test(a_chain_comes_back_with_its_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

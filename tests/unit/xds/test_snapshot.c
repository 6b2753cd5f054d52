/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "xds/learned.h"
#include "xds/snapshot.h"

struct bench {
    struct log log;
    struct catalog *catalog;
};

static int set_up(void **state)
{
    static struct bench bench;

    log_init(&bench.log, &(struct log_options){.fd = -1, .level = LOG_LEVEL_OFF});
    assert_int_equal(catalog_new(&bench.catalog, NULL, &bench.log), 0);
    *state = &bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;

    catalog_free(bench->catalog);
    return 0;
}

/* Tells clusters as "locality=port" with blanks between them. */
static void tell(struct bench *bench, const char *text)
{
    struct catalog_change change = {.clusters = clusters_new()};
    char locality[32], address[32];
    int port, used;

    while (sscanf(text, " %31[^=]=%d%n", locality, &port, &used) == 2) {
        struct cluster *cluster = cluster_new(locality);
        struct cluster_endpoint *endpoint;

        snprintf(address, sizeof address, "192.0.2.1:%d", port);
        assert_int_equal(cluster_add_endpoint(cluster, address, &endpoint), 0);
        assert_int_equal(clusters_add(change.clusters, cluster), 0);
        text += used;
    }
    assert_int_equal(catalog_update(bench->catalog, CATALOG_FS, &change), 0);
}

static Xds__DeltaDiscoveryResponse *parse(const struct http_blob *blob)
{
    return xds__delta_discovery_response__unpack(NULL, blob->bytes, (const uint8_t *)blob->data);
}

/* Whether a step from one to the other tells these names, and removes these. */
static void assert_diff(const struct snapshot *from, const struct snapshot *to, const char *told,
                        const char *removed)
{
    struct http_blob *blob = snapshot_diff(from, to, "id");
    Xds__DeltaDiscoveryResponse *response = parse(blob);
    char text[256] = "";

    assert_non_null(response);
    assert_string_equal(response->system_version_info, "9");
    assert_string_equal(response->control_plane->identifier, "id");
    for (size_t i = 0; i < response->n_resources; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s",
                 response->resources[i]->name);
    assert_string_equal(text, told);
    text[0] = '\0';
    for (size_t i = 0; i < response->n_removed_resources; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %s",
                 response->removed_resources[i]);
    assert_string_equal(text, removed);
    xds__delta_discovery_response__free_unpacked(response, NULL);
    http_blob_unref(blob);
}

static struct snapshot *claim(const char *name, const char *version)
{
    Xds__DeltaDiscoveryRequest request;
    Xds__Pair pair, *pairs[] = {&pair};

    xds__delta_discovery_request__init(&request);
    xds__pair__init(&pair);
    pair.key = (char *)(uintptr_t)name;
    pair.value = (char *)(uintptr_t)version;
    request.n_initial_resource_versions = name != NULL;
    request.initial_resource_versions = pairs;
    return snapshot_claimed(RESOURCE_CLUSTER, &request);
}

static void only_what_differs_is_told(void **state)
{
    struct snapshot *nothing = claim(NULL, NULL);

    tell(*state, "b=1 a=1 c=1");
    struct snapshot *first =
        snapshot_new(RESOURCE_CLUSTER, ((struct bench *)*state)->catalog, NULL);
    assert_diff(nothing, first, " a b c", "");
    tell(*state, "b=2 a=1 d=1");
    struct snapshot *second =
        snapshot_new(RESOURCE_CLUSTER, ((struct bench *)*state)->catalog, first);
    assert_diff(first, second, " b d", " c");
    assert_ptr_equal(second->items[0], first->items[0]); /* encoded once */
    assert_true(snapshot_equal(second, second));
    assert_false(snapshot_equal(first, second));
    snapshot_unref(nothing);
    snapshot_unref(first);
    snapshot_unref(second);
}

static void versions_are_of_contents(void **state)
{
    tell(*state, "a=1");
    struct snapshot *first =
        snapshot_new(RESOURCE_CLUSTER, ((struct bench *)*state)->catalog, NULL);
    tell(*state, "a=2");
    tell(*state, "a=1");
    struct snapshot *second =
        snapshot_new(RESOURCE_CLUSTER, ((struct bench *)*state)->catalog, NULL);
    assert_true(snapshot_equal(first, second));
    struct snapshot *claimed = claim("a", first->items[0]->version);
    assert_true(snapshot_equal(claimed, second));
    snapshot_unref(first);
    snapshot_unref(second);
    snapshot_unref(claimed);
}

static void what_is_gone_goes_by_way_of_an_empty_list(void **state)
{
    struct snapshot *claimed = claim("gone", "1");

    tell(*state, "a=1");
    struct snapshot *now = snapshot_new(RESOURCE_CLUSTER, ((struct bench *)*state)->catalog, NULL);
    struct snapshot *direct = snapshot_step(claimed, now, false, false);
    assert_ptr_equal(direct, now);
    assert_diff(claimed, direct, " a", " gone");
    struct snapshot *step = snapshot_step(claimed, now, true, false);
    assert_diff(claimed, step, " a gone", "");
    struct snapshot *last = snapshot_step(step, now, true, false);
    assert_ptr_equal(last, now);
    assert_diff(step, last, "", " gone");
    struct snapshot *kept = snapshot_step(claimed, now, true, true);
    assert_diff(claimed, kept, " a", "");
    snapshot_unref(claimed);
    snapshot_unref(now);
    snapshot_unref(direct);
    snapshot_unref(step);
    snapshot_unref(last);
    snapshot_unref(kept);
}

/* A response of clusters "a" and "b", of which the second may be broken. */
static int take(struct learned *learned, const char *version)
{
    struct cluster *a = cluster_new("a"), *b = cluster_new("b");
    struct http_blob *contents[] = {resource_write_cluster(a), resource_write_cluster(b)};
    Xds__DeltaDiscoveryResponse response;
    Xds__Resource resources[2], *list[2];
    Xds__Any any[2];
    struct error error = {0};
    struct arena arena;

    xds__delta_discovery_response__init(&response);
    for (unsigned i = 0; i < 2; i++) {
        xds__resource__init(&resources[i]);
        xds__any__init(&any[i]);
        any[i].type_url = (char *)(uintptr_t)resource_type_url(RESOURCE_CLUSTER);
        any[i].value = (ProtobufCBinaryData){contents[i]->bytes, (uint8_t *)contents[i]->data};
        resources[i].name = i == 0 ? "a" : "b";
        resources[i].version = (char *)(uintptr_t)(i == 0 ? "1" : version);
        resources[i].resource = &any[i];
        list[i] = &resources[i];
    }
    response.n_resources = 2;
    response.resources = list;
    arena_init(&arena, 1000);
    int code = learned_take(learned, RESOURCE_CLUSTER, &response, NULL, &arena, &error);
    arena_fini(&arena);
    http_blob_unref(contents[0]);
    http_blob_unref(contents[1]);
    cluster_free(a);
    cluster_free(b);
    return code;
}

static void a_response_is_taken_whole_or_not_at_all(void **state)
{
    struct bench *bench = *state;
    struct learned *learned;
    uint64_t digest;

    assert_int_equal(learned_new(&learned, bench->catalog, CATALOG_XDS), 0);
    assert_int_not_equal(take(learned, "no hex"), 0);
    assert_int_equal(learned_count(learned, RESOURCE_CLUSTER, NULL, &digest), 0);
    assert_int_equal(catalog_read(bench->catalog)->clusters->count, 0);
    assert_int_equal(take(learned, "2"), 0);
    assert_int_equal(learned_count(learned, RESOURCE_CLUSTER, NULL, &digest), 2);
    assert_int_equal(catalog_read(bench->catalog)->clusters->count, 2);
    learned_free(learned);
}

/* One cluster of an agent, with a field of so many bytes that nobody knows. */
static int push(struct learned *learned, struct learned_owner *owner, const char *locality,
                size_t bytes)
{
    struct cluster *cluster = cluster_new(locality);
    struct http_blob *content = resource_write_cluster(cluster);
    uint8_t *data = calloc(1, content->bytes + 6 + bytes), *at = data + content->bytes;
    Xds__DeltaDiscoveryResponse response;
    Xds__Resource resource, *list[] = {&resource};
    Xds__Any any;
    struct error error = {0};
    struct arena arena;

    assert_non_null(data);
    memcpy(data, content->data, content->bytes);
    *at++ = 15 << 3 | 2;
    for (unsigned i = 0; i < 5; i++)
        *at++ = (uint8_t)((bytes >> 7 * i & 0x7f) | (i < 4 ? 0x80 : 0));
    xds__delta_discovery_response__init(&response);
    xds__resource__init(&resource);
    xds__any__init(&any);
    any.type_url = (char *)(uintptr_t)resource_type_url(RESOURCE_CLUSTER);
    any.value = (ProtobufCBinaryData){content->bytes + 6 + bytes, data};
    resource.name = (char *)(uintptr_t)locality;
    resource.version = "1";
    resource.resource = &any;
    response.n_resources = 1;
    response.resources = list;
    arena_init(&arena, content->bytes + 6 + bytes);
    int code = learned_take(learned, RESOURCE_CLUSTER, &response, owner, &arena, &error);
    arena_fini(&arena);
    free(data);
    http_blob_unref(content);
    cluster_free(cluster);
    return code;
}

static void agents_have_so_much_room_together(void **state)
{
    struct bench *bench = *state;
    struct learned *learned;
    const struct in6_addr here = {.s6_addr = {1}}, there = {.s6_addr = {2}};

    assert_int_equal(learned_new(&learned, bench->catalog, CATALOG_MDS), 0);
    struct learned_owner *first = learned_join(learned, &here);
    struct learned_owner *second = learned_join(learned, &there);
    assert_int_equal(push(learned, first, "a", 40U << 20), 0);
    assert_int_equal(push(learned, second, "b", 30U << 20), -E2BIG);
    assert_int_equal(catalog_read(bench->catalog)->clusters->count, 1);
    assert_int_equal(push(learned, first, "a", 30U << 20), 0);
    assert_int_equal(push(learned, second, "b", 30U << 20), 0);
    assert_int_equal(catalog_read(bench->catalog)->clusters->count, 2);
    learned_leave(learned, first);
    learned_leave(learned, second);
    learned_free(learned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_differs_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(versions_are_of_contents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_gone_goes_by_way_of_an_empty_list, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_response_is_taken_whole_or_not_at_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(agents_have_so_much_room_together, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

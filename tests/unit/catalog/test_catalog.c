/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "support/catalog_text.h"

struct world {
    struct log log;
    int pipe[2];
    struct catalog *catalog;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_int_equal(pipe(world->pipe), 0);
    log_init(&world->log, &(struct log_options){.fd = world->pipe[1],
                                                .level = LOG_LEVEL_INFO,
                                                .format = LOG_FORMAT_JSON});
    assert_int_equal(catalog_new(&world->catalog, NULL, &world->log), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    catalog_free(world->catalog);
    close(world->pipe[0]);
    close(world->pipe[1]);
    free(world);
    return 0;
}

/* How many lines the log has got. */
static unsigned log_lines(struct world *world)
{
    char text[65536];
    unsigned lines = 0;

    (void)!write(world->pipe[1], ".", 1);
    ssize_t bytes = read(world->pipe[0], text, sizeof text);
    for (ssize_t i = 0; i < bytes; i++)
        lines += text[i] == '\n';
    return lines;
}

static void tell(struct world *world, enum catalog_source source, const char *locality,
                 const char *text)
{
    struct catalog_settings settings;
    struct catalog_change change;
    struct error error;

    if (catalog_text_parse(text, strlen(text), &settings, &error) != 0)
        fail_msg("%s", error.text);
    if (source == CATALOG_STATIC) {
        settings.static_endpoints = settings.config.clusters != NULL ? cluster_new("") : NULL;
        if (settings.config.clusters != NULL)
            assert_int_equal(cluster_add_all(settings.static_endpoints,
                                             settings.config.clusters->items[0].cluster),
                             0);
        if (settings.config.filters != NULL)
            settings.static_tokens = (struct static_tokens){2, 3};
    }
    assert_int_equal(catalog_settings_change(&settings, source, locality, &change), 0);
    field_fini(catalog_section.fields, &settings);
    assert_int_equal(catalog_update(world->catalog, source, &change), 0);
}

static void assert_shown(struct world *world, bool with_tokens, const char *expected)
{
    json_t *json = json_loads("{\"clusters\":5,\"paddock\":{\"kept\":1}}", 0, NULL);
    json_t *wanted = json_loads(expected, 0, NULL);

    assert_non_null(wanted);
    assert_int_equal(catalog_show(world->catalog, json, with_tokens), 0);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "paddock"), "kept")),
                     1);
    json_object_del(json_object_get(json, "paddock"), "kept");
    if (!json_equal(json, wanted)) {
        char *shown = json_dumps(json, JSON_SORT_KEYS);
        fail_msg("%s", shown);
    }
    json_decref(json);
    json_decref(wanted);
}

static void empty(void **state)
{
    struct world *world = *state;

    assert_int_equal(catalog_read(world->catalog)->number, 1);
    assert_shown(world, true,
                 "{\"filters\":[],\"clusters\":[],\"datacenters\":{\"map\":{},\"version\":1},"
                 "\"paddock\":{\"sources\":{}}}");
    tell(world, CATALOG_CONFIG, "", "{}");
    assert_int_equal(catalog_read(world->catalog)->number, 1);
}

static void versions(void **state)
{
    struct world *world = *state;
    const struct catalog_version *before;

    tell(world, CATALOG_CONFIG, "",
         "clusters: [{locality: a, endpoints: [{address: 'h:1'}]}, {locality: b, endpoints: []}]");
    before = catalog_read(world->catalog);
    assert_int_equal(before->number, 2);
    assert_int_equal(before->datacenters_number, 1);
    tell(world, CATALOG_CONFIG, "",
         "clusters: [{locality: b, endpoints: []}, {locality: a, endpoints: [{address: 'h:1'}]}]");
    assert_ptr_equal(catalog_read(world->catalog), before);
    const struct cluster *kept = clusters_find(before->clusters, "a")->cluster;
    tell(world, CATALOG_CONFIG, "",
         "datacenters: [{address: x}]\n"
         "clusters: [{locality: a, endpoints: [{address: 'h:1'}]}, {locality: b, endpoints: "
         "[{address: 'h:2'}]}]");
    assert_int_equal(catalog_read(world->catalog)->number, 3);
    assert_int_equal(catalog_read(world->catalog)->datacenters_number, 3);
    assert_int_equal(clusters_find(catalog_read(world->catalog)->clusters, "a")->version, 2);
    assert_int_equal(clusters_find(catalog_read(world->catalog)->clusters, "b")->version, 3);
    assert_ptr_equal(clusters_find(catalog_read(world->catalog)->clusters, "a")->cluster, kept);
    tell(world, CATALOG_CONFIG, "", "filters: []");
    assert_int_equal(catalog_read(world->catalog)->clusters->count, 0);
    assert_int_equal(catalog_read(world->catalog)->number, 4);
    tell(world, CATALOG_CONFIG, "", "{}");
    assert_int_equal(catalog_read(world->catalog)->number, 5);
    tell(world, CATALOG_CONFIG, "", "clusters: [{locality: a, endpoints: [{address: 'h:1'}]}]");
    assert_int_equal(clusters_find(catalog_read(world->catalog)->clusters, "a")->version, 6);
    assert_int_equal(log_lines(world), 0);
}

static void precedence(void **state)
{
    struct world *world = *state;

    tell(world, CATALOG_STATIC, "",
         "{filters: [], clusters: [{endpoints: [{address: '127.0.0.1:1'}]}]}");
    tell(world, CATALOG_CONFIG, "",
         "filters: [{name: quilkin.filters.pass.v1alpha1.Pass, label: l}]\n"
         "clusters: [{endpoints: [{address: '127.0.0.1:9'}]}, {locality: a, "
         "endpoints: []}]");
    assert_int_equal(log_lines(world), 2);
    assert_shown(
        world, true,
        "{\"filters\":[{\"name\":\"quilkin.filters.capture.v1alpha1.Capture\",\"label\":null,"
        "\"config\":{\"suffix\":{\"size\":3,\"remove\":true}}},"
        "{\"name\":\"quilkin.filters.token_router.v1alpha1.TokenRouter\",\"label\":null,\"config\":"
        "null}],"
        "\"clusters\":[{\"endpoints\":[{\"address\":\"127.0.0.1:1\",\"metadata\":{\"quilkin.dev\":{"
        "\"tokens\":[\"AAAA\",\"AQAA\"]}}}],\"locality\":null,\"version\":2},"
        "{\"endpoints\":[],\"locality\":\"a\",\"version\":3}],"
        "\"datacenters\":{\"map\":{},\"version\":1},\"paddock\":{\"sources\":{"
        "\"config\":{\"version\":1,\"filters\":1,\"clusters\":2,\"endpoints\":1,\"datacenters\":0},"
        "\"static\":{\"version\":1,\"filters\":2,\"clusters\":1,\"endpoints\":1,\"datacenters\":0}}"
        "}}");
    tell(world, CATALOG_CONFIG, "",
         "filters: [{name: quilkin.filters.drop.v1alpha1.Drop}]\n"
         "clusters: [{endpoints: [{address: '127.0.0.1:8'}]}]");
    assert_int_equal(log_lines(world), 0);
    assert_int_equal(clusters_find(catalog_read(world->catalog)->clusters, "")->version, 2);
    assert_int_equal(catalog_read(world->catalog)->number, 4);
    tell(world, CATALOG_CONFIG, "",
         "filters: [{name: quilkin.filters.pass.v1alpha1.Pass}]\n"
         "clusters: [{endpoints: [{address: '127.0.0.1:8'}]}]");
    assert_int_equal(catalog_read(world->catalog)->number, 4);
    tell(world, CATALOG_STATIC, "", "{}");
    assert_string_equal(
        clusters_find(catalog_read(world->catalog)->clusters, "")->cluster->endpoints->address,
        "127.0.0.1:8");
    assert_int_equal(clusters_find(catalog_read(world->catalog)->clusters, "")->version, 5);
    assert_int_equal(json_array_size(catalog_read(world->catalog)->filters), 1);
}

/* The process's own locality takes what has none, beside what the file tells of it. */
static void own_locality(void **state)
{
    struct world *world = *state;
    const struct cluster *cluster;

    tell(world, CATALOG_CONFIG, "eu:a",
         "clusters: [{endpoints: [{address: 'h:1'}]}, {locality: b, endpoints: []}, {locality: "
         "'eu:a', endpoints: [{address: 'h:2'}]}]");
    assert_int_equal(catalog_read(world->catalog)->clusters->count, 2);
    assert_null(clusters_find(catalog_read(world->catalog)->clusters, ""));
    cluster = clusters_find(catalog_read(world->catalog)->clusters, "eu:a")->cluster;
    assert_int_equal(cluster->endpoint_count, 2);
    assert_string_equal(cluster->endpoints->address, "h:2");
    assert_string_equal(cluster->endpoints->next->address, "h:1");
    tell(world, CATALOG_STATIC, "eu:a", "clusters: [{endpoints: [{address: '127.0.0.1:3'}]}]");
    assert_int_equal(catalog_read(world->catalog)->clusters->count, 2);
    cluster = clusters_find(catalog_read(world->catalog)->clusters, "eu:a")->cluster;
    assert_string_equal(cluster->endpoints->address, "127.0.0.1:3");
}

/* What is shown is a file; fingerprints in it are no tokens, and the log says so. */
static void fingerprints(void **state)
{
    struct world *world = *state;
    json_t *json = json_object(), *file = json_object();
    const struct cluster_endpoint *endpoint;

    tell(world, CATALOG_CONFIG, "",
         "filters: [{name: quilkin.filters.pass.v1alpha1.Pass}]\nclusters: [{endpoints: [{address: "
         "'h:1', metadata: {k: 1, "
         "quilkin.dev: "
         "{tokens: [c2VjcmV0, '']}}}]}]");
    assert_int_equal(catalog_show(world->catalog, json, false), 0);
    json_object_set(file, "filters", json_object_get(json, "filters"));
    json_object_set(file, "clusters", json_object_get(json, "clusters"));
    char *text = json_dumps(file, 0);
    assert_null(strstr(text, "c2VjcmV0"));
    assert_non_null(strstr(text, "[\"fingerprint:"));
    assert_int_equal(log_lines(world), 0);
    tell(world, CATALOG_CONFIG, "", text);
    assert_int_equal(log_lines(world), 1);
    endpoint = catalog_read(world->catalog)->clusters->items[0].cluster->endpoints;
    assert_int_equal(endpoint->token_count, 0);
    assert_int_equal(json_object_size(endpoint->metadata), 1);
    free(text);
    json_decref(json);
    json_decref(file);
}

/* A worker that has read a version may use it until its turn is over. */
static unsigned done;

static void count_up(struct worker *worker, void *user)
{
    const struct catalog_version *version = catalog_read(user);

    (void)worker;
    assert_non_null(version);
    done += (unsigned)version->number;
}

static void retires(void **state)
{
    struct world *world = *state;
    struct workers *workers;
    struct catalog *catalog;
    struct error error;
    struct catalog *own = world->catalog;

    assert_int_equal(workers_new(&workers, &(struct workers_options){.count = 1}), 0);
    assert_int_equal(catalog_new(&catalog, workers, &world->log), 0);
    assert_int_equal(workers_start(workers, &error), 0);
    world->catalog = catalog;
    for (unsigned i = 0; i < 100; i++) {
        char text[64];
        snprintf(text, sizeof text, "clusters: [{endpoints: [{address: 'h:%u'}]}]", i + 1);
        tell(world, CATALOG_CONFIG, "", text);
        done = 0;
        workers_call(workers, count_up, catalog);
        assert_int_equal(done, i + 2);
        workers_tick(workers, i * INT64_C(1000000000));
    }
    workers_free(workers);
    catalog_free(catalog);
    world->catalog = own;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(empty),        TEST(versions),     TEST(precedence),
                                       TEST(own_locality), TEST(fingerprints), TEST(retires)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

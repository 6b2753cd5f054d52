/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <string.h>

#include "k8s/configmaps.h"
#include "k8s/servers.h"

static json_t *parse(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    return json;
}

static json_t *game_server(const char *name, const char *address, int port, const char *tokens)
{
    return json_pack("{s:{s:s, s:s, s:{s:s}}, s:{s:s, s:s, s:[{s:i}]}}", "metadata", "namespace",
                     "a", "name", name, "annotations", "quilkin.dev/tokens", tokens, "status",
                     "state", "Allocated", "address", address, "ports", "port", port);
}

static void what_agones_leaves_out_is_not_missed(void **state)
{
    static const char *const nothing[] = {
        "{}", "{\"status\":3}", "{\"metadata\":{\"name\":\"n\",\"namespace\":\"a\"}}",
        ("{\"metadata\":{\"name\":\"n\",\"namespace\":\"a\"},\"status\":{\"state\":\"Ready\","
         "\"address\":\"192.0.2.1\",\"ports\":[{\"port\":1}]}}")};
    static const char *const unfit[] = {"{}",
                                        "{\"address\":\"192.0.2.1\"}",
                                        "{\"address\":\"192.0.2.1\",\"ports\":[{\"port\":0}]}",
                                        "{\"address\":\"192.0.2.1\",\"ports\":[{\"port\":65536}]}",
                                        "{\"address\":\"a b\",\"ports\":[{\"port\":1}]}",
                                        "{\"address\":\"\",\"ports\":[{\"port\":1}]}",
                                        "{\"address\":7,\"ports\":{\"port\":1}}"};
    const struct k8s_settings settings = {.reads_game_servers = true};

    (void)state;
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        struct servers servers = {0};
        json_t *object = parse(nothing[i]);

        assert_int_equal(servers_read_game_server(&servers, object, &settings), 0);
        assert_int_equal(servers.count, 0);
        assert_false(servers.is_unfit);
        json_decref(object);
    }
    for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; i++) {
        struct servers servers = {0};
        json_t *object = parse("{\"metadata\":{\"name\":\"n\",\"namespace\":\"a\"}}"),
               *status = parse(unfit[i]);

        json_object_set_new(status, "state", json_string("Allocated"));
        json_object_set_new(object, "status", status);
        assert_int_equal(servers_read_game_server(&servers, object, &settings), 0);
        assert_int_equal(servers.count, 0);
        assert_true(servers.is_unfit);
        json_decref(object);
    }
}

static void an_address_is_chosen_by_type_and_family(void **state)
{
    static const struct {
        const char *type;
        enum k8s_ip_kind kind;
        const char *address;
    } rows[] = {{"", K8S_IP_ANY, "192.0.2.1:7"},
                {"PodIP", K8S_IP_ANY, "[2001:db8::1]:7"},
                {"PodIP", K8S_IP_V4, "192.0.2.3:7"},
                {"PodIP", K8S_IP_V6, "[2001:db8::1]:7"},
                {"Hostname", K8S_IP_ANY, "node.test:7"},
                {"Hostname", K8S_IP_V4, NULL},
                {"podip", K8S_IP_ANY, NULL}};
    json_t *object = game_server("n", "192.0.2.1", 7, "");

    (void)state;
    json_object_set_new(json_object_get(object, "status"), "addresses",
                        json_pack("[{s:s}, {s:s, s:s}, {s:s, s:s}, {s:s, s:s}, i]", "type", "PodIP",
                                  "type", "PodIP", "address", "2001:db8::1", "type", "PodIP",
                                  "address", "192.0.2.3", "type", "Hostname", "address",
                                  "node.test", 5));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct k8s_settings settings = {.ip_kind = rows[i].kind};
        struct servers servers = {0};

        snprintf(settings.address_type, sizeof settings.address_type, "%s", rows[i].type);
        assert_int_equal(servers_read_game_server(&servers, object, &settings), 0);
        assert_int_equal(servers.count, rows[i].address != NULL);
        if (rows[i].address != NULL)
            assert_string_equal(servers.items[0].address, rows[i].address);
        servers_fini(&servers);
    }
    json_decref(object);
}

static void tokens_that_are_no_base64_are_skipped(void **state)
{
    static const uint8_t expected[] = {3, 0, 0, 0, 'a', 'b', 'c', 1, 0, 0, 0, 'x'};
    const struct k8s_settings settings = {0};
    struct servers servers = {0};
    json_t *object = game_server("n", "192.0.2.1", 7, "YWJj,YW, ,?, eA== ");

    (void)state;
    assert_int_equal(servers_read_game_server(&servers, object, &settings), 0);
    assert_int_equal(servers.bad_tokens, 3);
    assert_int_equal(servers.tokens_bytes, sizeof expected);
    assert_memory_equal(servers.tokens, expected, sizeof expected);
    servers_fini(&servers);
    json_decref(object);
}

static void players_and_weights_are_metadata(void **state)
{
    const struct k8s_settings settings = {0};
    struct servers servers = {0};
    json_t *object = parse("{\"metadata\":{\"name\":\"n\",\"namespace\":\"a\",\"labels\":{\"m\":"
                           "\"1\"},\"annotations\":{\"paddock/weight\":\"9\"}},\"status\":{"
                           "\"state\":\"Allocated\",\"address\":\"192.0.2.1\",\"ports\":[{\"port\":"
                           "7}],\"counters\":{\"players\":{\"capacity\":64,\"count\":2}}}}");
    json_t *expected = parse("{\"name\":\"n\",\"namespace\":\"a\",\"labels\":{\"m\":\"1\"},"
                             "\"capacity\":64,\"paddock\":{\"weight\":9}}");

    (void)state;
    assert_int_equal(servers_read_game_server(&servers, object, &settings), 0);
    assert_true(json_equal(servers.items[0].metadata, expected));
    servers_fini(&servers);
    json_decref(expected);
    json_decref(object);
}

static void a_slice_gives_its_ready_endpoints_at_its_udp_port(void **state)
{
    struct servers servers = {0};
    json_t *object = parse(
        "{\"metadata\":{\"name\":\"n\",\"namespace\":\"a\"},\"ports\":[{\"protocol\":\"TCP\","
        "\"port\":1},{\"protocol\":\"UDP\",\"port\":7}],\"endpoints\":[{\"addresses\":["
        "\"192.0.2.1\",\"192.0.2.9\"],\"targetRef\":{\"name\":\"pod\"},\"zone\":\"z\"},{"
        "\"addresses\":[\"192.0.2.2\"],\"conditions\":{\"ready\":false}},{\"addresses\":[]}]}");

    (void)state;
    assert_int_equal(servers_read_slice(&servers, object), 0);
    assert_int_equal(servers.count, 1);
    assert_string_equal(servers.items[0].address, "192.0.2.1:7");
    assert_string_equal(json_string_value(json_object_get(servers.items[0].metadata, "name")),
                        "pod");
    servers_fini(&servers);
    json_decref(object);
}

/* Puts a GameServer into a list. */
static enum server_change put(struct server_store *store, unsigned list, const char *name, int port,
                              const char *tokens)
{
    const struct k8s_settings settings = {0};
    json_t *object = game_server(name, "192.0.2.1", port, tokens);
    struct servers servers = {0};

    assert_int_equal(servers_read_game_server(&servers, object, &settings), 0);
    enum server_change change = server_store_put(store, list, object, &servers);
    json_decref(object);
    return change;
}

static size_t endpoints(struct server_store *store)
{
    struct cluster *cluster = server_store_cluster(store, "here");

    assert_non_null(cluster);
    assert_string_equal(cluster->locality, "here");
    size_t count = cluster->endpoint_count;
    cluster_free(cluster);
    return count;
}

static void lists_do_not_take_each_others_servers(void **state)
{
    struct server_store *store = server_store_new();

    (void)state;
    assert_int_equal(put(store, 0, "n", 1, "YWJj"), SERVER_PUT);
    assert_int_equal(put(store, 1, "n", 2, "YWJj"), SERVER_PUT);
    assert_int_equal(endpoints(store), 2);
    assert_false(server_store_is_changed(store));
    assert_int_equal(put(store, 1, "n", 2, "YWJj"), SERVER_PUT);
    assert_false(server_store_is_changed(store));
    server_store_mark(store, 0);
    server_store_sweep(store, 0);
    assert_true(server_store_is_changed(store));
    assert_int_equal(endpoints(store), 1);
    assert_int_equal(server_store_count(store), 1);
    assert_int_equal(put(store, 1, "n", 0, "YWJj"), SERVER_GONE); /* it has no port any more */
    assert_int_equal(put(store, 1, "n", 0, "YWJj"), SERVER_SAME);
    assert_int_equal(endpoints(store), 0);
    server_store_free(store);
}

/* Names of servers that come and go for years are not kept. */
static void many_that_come_and_go_leave_nothing(void **state)
{
    struct server_store *store = server_store_new();
    char name[32];

    (void)state;
    assert_int_equal(put(store, 0, "stays", 1, "YWJj"), SERVER_PUT);
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(put(store, 0, name, 2, "eHl6"), SERVER_PUT);
        assert_int_equal(put(store, 0, name, 0, "eHl6"), SERVER_GONE);
    }
    assert_int_equal(endpoints(store), 1);
    assert_int_equal(put(store, 0, "stays", 0, ""), SERVER_GONE);
    server_store_free(store);
}

static json_t *config_map(const char *name, const char *version, const char *text)
{
    return json_pack("{s:{s:s, s:s, s:s}, s:{s:s}}", "metadata", "namespace", "a", "name", name,
                     "resourceVersion", version, "data", "quilkin.yaml", text);
}

static int put_map(struct config_maps *maps, const char *name, const char *version,
                   const char *text, struct error *error)
{
    json_t *object = config_map(name, version, text);
    int code = config_maps_put(maps, object, error);

    json_decref(object);
    return code;
}

static void the_last_good_config_map_counts(void **state)
{
    struct config_maps *maps = config_maps_new();
    struct error error = {0};
    json_t *second;

    (void)state;
    assert_null(config_maps_filters(maps));
    assert_int_equal(put_map(maps, "x", "1", "filters: 3", &error), -22);
    assert_string_equal(error.text, "ConfigMap a/x: quilkin.yaml:1:10: filters: expected a list of "
                                    "filters, found '3'");
    assert_null(config_maps_filters(maps));
    error = (struct error){0};
    assert_int_equal(put_map(maps, "x", "1", "filters: 3", &error), 0); /* known, and told once */
    assert_string_equal(error.text, "");
    assert_int_equal(put_map(maps, "y", "2", "other: 1", &error), 0);
    assert_int_equal(json_array_size(config_maps_filters(maps)), 0);
    assert_non_null(config_maps_filters(maps));
    assert_int_equal(
        put_map(maps, "x", "3", "filters: [{name: quilkin.filters.pass.v1alpha1.Pass}]", &error),
        0);
    assert_int_equal(json_array_size(config_maps_filters(maps)), 1);
    assert_int_equal(put_map(maps, "x", "4", "filters: [{name: nothing}]", &error), -22);
    assert_int_equal(json_array_size(config_maps_filters(maps)), 1);
    second = config_map("x", "5", "");
    config_maps_drop(maps, second);
    json_decref(second);
    assert_int_equal(json_array_size(config_maps_filters(maps)), 0);
    config_maps_mark(maps);
    config_maps_sweep(maps);
    assert_int_equal(json_array_size(config_maps_filters(maps)), 0);
    config_maps_free(maps);
}

/* Names, of which a list has the order, say nothing. */
static void the_config_map_that_changed_last_counts_after_a_list_too(void **state)
{
    struct config_maps *maps = config_maps_new();
    struct error error = {0};

    (void)state;
    assert_int_equal(
        put_map(maps, "a", "10", "filters: [{name: quilkin.filters.pass.v1alpha1.Pass}]", &error),
        0);
    assert_int_equal(put_map(maps, "b", "9", "filters: []", &error), 0);
    assert_int_equal(json_array_size(config_maps_filters(maps)), 1);
    assert_int_equal(put_map(maps, "b", "11", "filters: []", &error), 0);
    assert_int_equal(json_array_size(config_maps_filters(maps)), 0);
    config_maps_free(maps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_agones_leaves_out_is_not_missed),
        cmocka_unit_test(an_address_is_chosen_by_type_and_family),
        cmocka_unit_test(tokens_that_are_no_base64_are_skipped),
        cmocka_unit_test(players_and_weights_are_metadata),
        cmocka_unit_test(a_slice_gives_its_ready_endpoints_at_its_udp_port),
        cmocka_unit_test(lists_do_not_take_each_others_servers),
        cmocka_unit_test(many_that_come_and_go_leave_nothing),
        cmocka_unit_test(the_last_good_config_map_counts),
        cmocka_unit_test(the_config_map_that_changed_last_counts_after_a_list_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <string.h>

#include "phoenix/nodes.h"
#include "phoenix/table.h"

#define MS INT64_C(1000000)

/* A list of nodes with `address`, port and code, ended by an address that is NULL. */
static struct datacenters *list(const struct datacenter *nodes)
{
    struct datacenters *made = datacenters_new();
    assert_non_null(made);
    for (; nodes->address[0] != '\0'; nodes++)
        assert_int_equal(datacenters_add(made, nodes), 0);
    return made;
}

struct left {
    unsigned count;
    uint16_t port;
};

static void note_leave(struct node *node, void *user)
{
    struct left *left = user;
    left->count++;
    left->port = node->named.qcmp_port;
}

static unsigned follow(struct nodes *nodes, const struct datacenter *told)
{
    struct datacenters *datacenters = list(told);
    struct left left = {.count = 0};
    assert_int_equal(nodes_follow(nodes, datacenters, note_leave, &left), 0);
    datacenters_free(datacenters);
    return left.count;
}

#define FOLLOW(nodes, ...)                                                                         \
    follow((nodes), (const struct datacenter[]){__VA_ARGS__, {.address = ""}})

static struct node *find(const struct nodes *nodes, uint16_t port)
{
    size_t i = 0;
    while (i < nodes->count && nodes->items[i]->named.qcmp_port != port)
        i++;
    assert_true(i < nodes->count);
    return nodes->items[i];
}

static void answer(struct nodes *nodes, uint16_t port, unsigned count, int64_t rtt_ns)
{
    for (unsigned i = 0; i < count; i++)
        window_add(&find(nodes, port)->window, &(struct window_sample){.rtt_ns = rtt_ns});
}

static void assert_table(const struct nodes *nodes, const char *latencies)
{
    struct http_blob *blob = table_latencies(nodes);
    assert_non_null(blob);
    assert_int_equal(blob->bytes, strlen(latencies));
    assert_memory_equal(blob->data, latencies, blob->bytes);
    http_blob_unref(blob);
}

static void nodes_stay_as_long_as_address_and_port_do(void **state)
{
    struct nodes nodes = {.count = 0};
    (void)state;
    assert_int_equal(FOLLOW(&nodes, {"10.0.0.2", 1, "EFHK"}, {"10.0.0.1", 2, "KJFK"}), 0);
    assert_int_equal(nodes.count, 2);
    assert_int_equal(nodes.sites_count, 2);
    struct node *kept = find(&nodes, 1);
    kept->sent = 7;
    answer(&nodes, 1, 1, 5 * MS);
    assert_int_equal(FOLLOW(&nodes, {"10.0.0.1", 3, "KJFK"}, {"10.0.0.2", 1, "EFHK"}), 1);
    assert_ptr_equal(find(&nodes, 1), kept);
    assert_int_equal(kept->sent, 7);
    assert_true(window_is_known(&kept->window));
    assert_false(window_is_known(&find(&nodes, 3)->window));
    nodes_fini(&nodes);
}

static void an_address_that_gets_another_port_is_another_node(void **state)
{
    struct nodes nodes = {.count = 0};
    struct left left = {.count = 0};
    (void)state;
    FOLLOW(&nodes, {"10.0.0.1", 1, "EFHK"});
    struct datacenters *next =
        list((const struct datacenter[]){{"10.0.0.1", 2, "EFHK"}, {"", 0, ""}});
    assert_int_equal(nodes_follow(&nodes, next, note_leave, &left), 0);
    datacenters_free(next);
    assert_int_equal(left.count, 1);
    assert_int_equal(left.port, 1);
    assert_int_equal(nodes.count, 1);
    assert_int_equal(find(&nodes, 2)->at.port, htons(2));
    nodes_fini(&nodes);
}

static void counts_of_a_site_outlive_its_nodes(void **state)
{
    struct nodes nodes = {.count = 0};
    (void)state;
    FOLLOW(&nodes, {"10.0.0.1", 1, "EFHK"});
    nodes.sites[0]->errors = 9;
    FOLLOW(&nodes, {"10.0.0.2", 2, "EFHK"}, {"10.0.0.3", 3, "AAAA"});
    assert_string_equal(nodes.sites[0]->icao_code, "AAAA");
    assert_int_equal(nodes.sites[1]->errors, 9);
    assert_int_equal(nodes_follow(&nodes, NULL, note_leave, &(struct left){0}), 0);
    assert_int_equal(nodes.count + nodes.sites_count, 0);
    assert_table(&nodes, "{}\n");
    nodes_fini(&nodes);
}

static void the_nearest_node_answers_for_a_site(void **state)
{
    struct nodes nodes = {.count = 0};
    (void)state;
    FOLLOW(&nodes, {"10.0.0.1", 1, "EFHK"}, {"10.0.0.2", 2, "EFHK"}, {"10.0.0.3", 3, "KJFK"},
           {"10.0.0.4", 4, "DEAD"});
    assert_false(nodes_evaluate(&nodes, 0));
    answer(&nodes, 1, 1, 30 * MS);
    answer(&nodes, 2, 1, 29 * MS);
    answer(&nodes, 3, 1, 7);
    assert_true(nodes_evaluate(&nodes, 0));
    assert_table(&nodes, "{\"EFHK\":29000000,\"KJFK\":7}\n");
    assert_false(nodes_evaluate(&nodes, 0));
    struct http_blob *coordinates = table_coordinates(&nodes);
    static const char wanted[] = "{\"EFHK\":{\"incoming\":14500000,\"outgoing\":14500000},"
                                 "\"KJFK\":{\"incoming\":3,\"outgoing\":4}}\n";
    assert_int_equal(coordinates->bytes, sizeof wanted - 1);
    assert_memory_equal(coordinates->data, wanted, sizeof wanted - 1);
    http_blob_unref(coordinates);
    nodes_fini(&nodes);
}

static void a_node_takes_over_when_it_is_better_or_the_other_is_gone(void **state)
{
    struct nodes nodes = {.count = 0};
    (void)state;
    FOLLOW(&nodes, {"10.0.0.1", 1, "EFHK"}, {"10.0.0.2", 2, "EFHK"}, {"10.0.0.3", 3, "EFHK"});
    answer(&nodes, 1, WINDOW_SAMPLES, 30 * MS);
    answer(&nodes, 2, WINDOW_SAMPLES, 40 * MS);
    answer(&nodes, 3, WINDOW_SAMPLES, 38 * MS);
    nodes_evaluate(&nodes, 0);
    assert_table(&nodes, "{\"EFHK\":30000000}\n");
    answer(&nodes, 2, WINDOW_SAMPLES, 28 * MS); /* by too little */
    assert_false(nodes_evaluate(&nodes, 0));
    answer(&nodes, 2, WINDOW_BASES - 1, 20 * MS); /* for too short a time */
    assert_false(nodes_evaluate(&nodes, 0));
    answer(&nodes, 2, 1, 20 * MS);
    assert_true(nodes_evaluate(&nodes, 0));
    assert_table(&nodes, "{\"EFHK\":20000000}\n");
    for (unsigned i = 0; i < WINDOW_DOWN; i++)
        window_lose(&find(&nodes, 2)->window);
    nodes_evaluate(&nodes, 0);
    assert_table(&nodes, "{\"EFHK\":30000000}\n"); /* the nearest of the others */
    FOLLOW(&nodes, {"10.0.0.2", 2, "EFHK"}, {"10.0.0.3", 3, "EFHK"});
    nodes_evaluate(&nodes, 0);
    assert_table(&nodes, "{\"EFHK\":38000000}\n");
    nodes_fini(&nodes);
}

static void a_node_may_change_its_code(void **state)
{
    struct nodes nodes = {.count = 0};
    (void)state;
    FOLLOW(&nodes, {"10.0.0.1", 1, "EFHK"}, {"10.0.0.2", 2, "EFHK"});
    answer(&nodes, 1, 1, 10 * MS);
    answer(&nodes, 2, 1, 20 * MS);
    nodes_evaluate(&nodes, 0);
    assert_int_equal(FOLLOW(&nodes, {"10.0.0.1", 1, "KJFK"}, {"10.0.0.2", 2, "EFHK"}), 0);
    assert_true(nodes_evaluate(&nodes, 0));
    assert_table(&nodes, "{\"EFHK\":20000000,\"KJFK\":10000000}\n");
    nodes_fini(&nodes);
}

static void what_is_too_old_is_not_told(void **state)
{
    struct nodes nodes = {.count = 0};
    (void)state;
    FOLLOW(&nodes, {"10.0.0.1", 1, "EFHK"});
    answer(&nodes, 1, 3, 10 * MS);
    nodes_evaluate(&nodes, 0);
    assert_true(nodes_evaluate(&nodes, WINDOW_AGE_NS + 1));
    assert_table(&nodes, "{}\n");
    nodes_fini(&nodes);
}

static void sites_keep_their_order_as_long_as_none_is_better(void **state)
{
    struct nodes nodes = {.count = 0};
    (void)state;
    FOLLOW(&nodes, {"10.0.0.1", 1, "AAAA"}, {"10.0.0.2", 2, "BBBB"});
    answer(&nodes, 1, WINDOW_SAMPLES, 20 * MS);
    answer(&nodes, 2, WINDOW_SAMPLES, 21 * MS);
    nodes_evaluate(&nodes, 0);
    answer(&nodes, 1, WINDOW_SAMPLES + WINDOW_BASES - 1, 22 * MS);
    nodes_evaluate(&nodes, 0);
    assert_table(&nodes, "{\"AAAA\":22000000,\"BBBB\":22000001}\n");
    answer(&nodes, 1, WINDOW_SAMPLES + WINDOW_BASES - 1, 25 * MS);
    nodes_evaluate(&nodes, 0);
    assert_table(&nodes, "{\"AAAA\":25000000,\"BBBB\":21000000}\n");
    nodes_fini(&nodes);
}

static void only_addresses_of_hosts_are_pinged(void **state)
{
    static const struct {
        struct datacenter named;
        bool has_address;
        const char *name;
    } rows[] = {{{"192.0.2.1", 1, "AAAA"}, true, ""},
                {{"2001:db8::1", 2, "AAAA"}, true, ""},
                {{"224.0.0.1", 3, "AAAA"}, false, ""},
                {{"0.0.0.0", 4, "AAAA"}, false, ""},
                {{"fe80::1%nowhere", 5, "AAAA"}, false, ""},
                {{"Node.example", 6, "AAAA"}, false, "node.example"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nodes nodes = {.count = 0};
        follow(&nodes, (const struct datacenter[]){rows[i].named, {.address = ""}});
        assert_int_equal(nodes.items[0]->has_address, rows[i].has_address);
        assert_string_equal(nodes.items[0]->name, rows[i].name);
        nodes_fini(&nodes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_stay_as_long_as_address_and_port_do),
        cmocka_unit_test(an_address_that_gets_another_port_is_another_node),
        cmocka_unit_test(counts_of_a_site_outlive_its_nodes),
        cmocka_unit_test(the_nearest_node_answers_for_a_site),
        cmocka_unit_test(a_node_takes_over_when_it_is_better_or_the_other_is_gone),
        cmocka_unit_test(a_node_may_change_its_code),
        cmocka_unit_test(what_is_too_old_is_not_told),
        cmocka_unit_test(sites_keep_their_order_as_long_as_none_is_better),
        cmocka_unit_test(only_addresses_of_hosts_are_pinged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

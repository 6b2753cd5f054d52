/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "catalog/names.h"
#include "net/address.h"

#define SECOND INT64_C(1000000000)

/* A name server that the test asks between two turns of the loop, and what it says. */
struct bench {
    int server;
    char servers[32];
    struct loop *loop;
    struct log log;
    struct names *names;
    struct clusters *clusters;
    const char *addresses[4]; /* those of every name; without any, NXDOMAIN */
    uint32_t ttl;
    bool is_broken; /* SERVFAIL */
    unsigned questions, changes;
};

static void note_change(void *user)
{
    ((struct bench *)user)->changes++;
}

static int open_bench(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof at;
    bench->server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(bench->server, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(bench->server, (struct sockaddr *)&at, &bytes), 0);
    snprintf(bench->servers, sizeof bench->servers, "127.0.0.1:%u", ntohs(at.sin_port));
    bench->ttl = 60;
    log_init(&bench->log, &(struct log_options){.fd = STDERR_FILENO});
    assert_int_equal(loop_new(&bench->loop), 0);
    const struct names_options options = {.loop = bench->loop,
                                          .log = &bench->log,
                                          .servers = bench->servers,
                                          .changed = note_change,
                                          .user = bench};
    assert_int_equal(names_new(&bench->names, &options), 0);
    *state = bench;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *bench = *state;
    names_free(bench->names);
    clusters_free(bench->clusters);
    loop_free(bench->loop);
    close(bench->server);
    free(bench);
    return 0;
}

/* The question comes back; A records follow it, in the answer to a question for them. */
static void answer_question(struct bench *bench)
{
    uint8_t data[1024];
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof from;
    ssize_t length = recvfrom(bench->server, data, 512, 0, (struct sockaddr *)&from, &from_bytes);
    if (length < 12)
        return;
    bench->questions++;
    size_t end = 12;
    while (data[end] != 0)
        end += data[end] + 1U;
    bool is_a = data[end + 2] == 1;
    end += 5;
    data[2] = 0x81;
    data[3] = bench->is_broken ? 0x82 : bench->addresses[0] == NULL ? 0x83 : 0x80;
    memset(data + 6, 0, 6);
    for (unsigned i = 0; is_a && !bench->is_broken && bench->addresses[i] != NULL; i++) {
        const uint8_t head[12] = {
            0xc0, 12, 0, 1, 0, 1, 0, 0, (uint8_t)(bench->ttl >> 8), (uint8_t)bench->ttl, 0, 4};
        memcpy(data + end, head, sizeof head);
        assert_int_equal(inet_pton(AF_INET, bench->addresses[i], data + end + 12), 1);
        end += 16;
        data[7]++;
    }
    sendto(bench->server, data, end, 0, (struct sockaddr *)&from, from_bytes);
}

static void run(struct bench *bench, int64_t now_ns)
{
    names_tick(bench->names, now_ns);
    for (unsigned quiet = 0; quiet < 3;) {
        struct pollfd ready = {.fd = bench->server, .events = POLLIN};
        if (poll(&ready, 1, 20) == 1) {
            answer_question(bench);
            quiet = 0;
        } else {
            quiet++;
        }
        loop_turn(bench->loop, 0);
    }
}

static void follow(struct bench *bench, const char *address)
{
    struct cluster *cluster = cluster_new("");
    struct cluster_endpoint *endpoint;
    struct clusters *clusters = clusters_new();
    assert_int_equal(cluster_add_endpoint(cluster, address, &endpoint), 0);
    assert_int_equal(clusters_add(clusters, cluster), 0);
    assert_int_equal(names_follow(bench->names, clusters, clock_monotonic_ns()), 0);
    clusters_free(bench->clusters);
    bench->clusters = clusters;
}

static void assert_found(struct bench *bench, const char *name, const char *address)
{
    struct endpoint at = {.port = htons(7)};
    char text[ADDRESS_TEXT_BYTES];
    assert_true(names_find(bench->names, name, &at));
    address_format(&at.address, ntohs(at.port), text);
    assert_string_equal(text, address);
}

static void a_name_has_the_first_address_until_the_answers_have_it_no_more(void **state)
{
    struct bench *bench = *state;
    struct endpoint at = {.port = 0};
    bench->addresses[0] = "192.0.2.1";
    follow(bench, "game.example:7000");
    assert_false(names_find(bench->names, "game.example", &at)); /* nobody waits */
    run(bench, clock_monotonic_ns());
    assert_found(bench, "game.example", "192.0.2.1:7");
    assert_int_equal(bench->changes, 1);

    bench->addresses[0] = "192.0.2.2";
    run(bench, clock_monotonic_ns() + 50 * SECOND);
    assert_found(bench, "game.example", "192.0.2.1:7"); /* its time is not over */
    bench->addresses[1] = "192.0.2.1";
    run(bench, clock_monotonic_ns() + 61 * SECOND);
    assert_found(bench, "game.example", "192.0.2.1:7"); /* it is still among them */
    assert_int_equal(bench->changes, 1);
    bench->addresses[1] = NULL;
    run(bench, clock_monotonic_ns() + 130 * SECOND);
    assert_found(bench, "game.example", "192.0.2.2:7");
    assert_int_equal(bench->changes, 2);
}

static void an_address_stays_where_resolving_fails(void **state)
{
    struct bench *bench = *state;
    bench->addresses[0] = "192.0.2.1";
    bench->ttl = 0; /* which counts as the least that is taken */
    follow(bench, "game.example:7000");
    run(bench, clock_monotonic_ns());
    unsigned questions = bench->questions;
    run(bench, clock_monotonic_ns() + SECOND);
    assert_int_equal(bench->questions, questions);
    bench->is_broken = true;
    run(bench, clock_monotonic_ns() + 6 * SECOND);
    assert_true(bench->questions > questions);
    assert_found(bench, "game.example", "192.0.2.1:7");
    bench->is_broken = false;
    bench->addresses[0] = NULL;
    run(bench, clock_monotonic_ns() + 20 * SECOND);
    assert_found(bench, "game.example", "192.0.2.1:7");
    bench->addresses[0] = "192.0.2.3";
    run(bench, clock_monotonic_ns() + 40 * SECOND);
    assert_found(bench, "game.example", "192.0.2.3:7");
}

static void names_that_are_not_followed_any_more_are_not_known(void **state)
{
    struct bench *bench = *state;
    struct endpoint at = {.port = 0};
    bench->addresses[0] = "192.0.2.1";
    follow(bench, "one.example:7000");
    follow(bench, "two.example:7000"); /* while the first question is under way */
    run(bench, clock_monotonic_ns());
    assert_false(names_find(bench->names, "one.example", &at));
    assert_found(bench, "two.example", "192.0.2.1:7");
    follow(bench, "192.0.2.9:7000");
    assert_false(names_find(bench->names, "two.example", &at));
}

static struct endpoint found_at(struct bench *bench, uint16_t port)
{
    struct endpoint at = {.port = htons(port)};
    assert_true(names_find(bench->names, "game.example", &at));
    return at;
}

/* The last byte of the address of a port, after a refusal at what it has now. */
static unsigned refuse_at(struct bench *bench, uint16_t port)
{
    struct endpoint at = found_at(bench, port);
    names_refuse(bench->names, "game.example", &at);
    return found_at(bench, port).address.s6_addr[15];
}

static void a_port_that_is_refused_goes_on_to_the_next_address(void **state)
{
    struct bench *bench = *state;
    bench->addresses[0] = "192.0.2.1";
    bench->addresses[1] = "192.0.2.2";
    bench->addresses[2] = "192.0.2.3";
    follow(bench, "game.example:7000");
    run(bench, clock_monotonic_ns());
    unsigned first = found_at(bench, 1).address.s6_addr[15];
    unsigned changes = bench->changes;
    unsigned seen = 1U << first;
    for (unsigned i = 0; i < 2; i++)
        seen |= 1U << refuse_at(bench, 1);
    assert_int_equal(seen, 0xe); /* each once */
    names_tick(bench->names, clock_monotonic_ns());
    assert_int_equal(bench->changes, changes + 1);
    assert_int_equal(refuse_at(bench, 1), first); /* and round */
    unsigned second = refuse_at(bench, 1);
    assert_int_equal(found_at(bench, 2).address.s6_addr[15], first); /* another port stays */

    struct endpoint stale = {.port = htons(1)};
    names_refuse(bench->names, "game.example", &stale); /* it is not there any more */
    assert_int_equal(found_at(bench, 1).address.s6_addr[15], second);

    run(bench, clock_monotonic_ns() + 70 * SECOND);
    assert_int_equal(found_at(bench, 1).address.s6_addr[15], second);
    bench->addresses[0] = "192.0.2.9";
    bench->addresses[1] = NULL;
    run(bench, clock_monotonic_ns() + 140 * SECOND);
    assert_int_equal(found_at(bench, 1).address.s6_addr[15], 9);
    assert_int_equal(found_at(bench, 2).address.s6_addr[15], 9);
    assert_int_equal(refuse_at(bench, 1), 9); /* there is no other */
}

static void where_many_ports_are_refused_all_go_on(void **state)
{
    struct bench *bench = *state;
    bench->addresses[0] = "192.0.2.1";
    bench->addresses[1] = "192.0.2.2";
    follow(bench, "game.example:7000");
    run(bench, clock_monotonic_ns());
    unsigned first = found_at(bench, 7000).address.s6_addr[15];
    for (uint16_t port = 1; port <= NAMES_MOST_MOVED; port++)
        refuse_at(bench, port);
    assert_int_equal(found_at(bench, 7000).address.s6_addr[15], first);
    refuse_at(bench, 6999);
    assert_int_equal(found_at(bench, 7000).address.s6_addr[15], 3 - first);
    assert_int_equal(found_at(bench, 1).address.s6_addr[15], 3 - first);
}

static void what_is_no_address_of_a_host_is_not_taken(void **state)
{
    struct bench *bench = *state;
    struct endpoint at = {.port = 0};
    bench->addresses[0] = "224.0.0.1";
    follow(bench, "game.example:7000");
    run(bench, clock_monotonic_ns());
    assert_false(names_find(bench->names, "game.example", &at));
}

static void the_file_of_hosts_is_known(void **state)
{
    struct bench *bench = *state;
    struct endpoint at = {.port = 0};
    follow(bench, "localhost:7000");
    assert_true(names_find(bench->names, "localhost", &at)); /* at once */
    assert_int_equal(bench->questions, 0);
}

static void names_of_data_centres_are_followed_too(void **state)
{
    struct bench *bench = *state;
    struct endpoint at = {.port = 0};
    struct datacenters *nodes = datacenters_new();
    bench->addresses[0] = "192.0.2.1";
    assert_int_equal(datacenters_add(nodes, &(struct datacenter){"Node.example", 7600, "EFHK"}), 0);
    assert_int_equal(datacenters_add(nodes, &(struct datacenter){"192.0.2.9", 7600, "EFHK"}), 0);
    assert_int_equal(names_follow_nodes(bench->names, nodes, clock_monotonic_ns()), 0);
    run(bench, clock_monotonic_ns());
    assert_found(bench, "node.example", "192.0.2.1:7");
    assert_false(names_find(bench->names, "192.0.2.9", &at));
    assert_int_equal(names_follow_nodes(bench->names, NULL, clock_monotonic_ns()), 0);
    assert_false(names_find(bench->names, "node.example", &at));
    datacenters_free(nodes);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown((test), open_bench, close_bench)
    const struct CMUnitTest tests[] = {
        TEST(a_name_has_the_first_address_until_the_answers_have_it_no_more),
        TEST(an_address_stays_where_resolving_fails),
        TEST(names_that_are_not_followed_any_more_are_not_known),
        TEST(a_port_that_is_refused_goes_on_to_the_next_address),
        TEST(where_many_ports_are_refused_all_go_on),
        TEST(what_is_no_address_of_a_host_is_not_taken),
        TEST(the_file_of_hosts_is_known),
        TEST(names_of_data_centres_are_followed_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

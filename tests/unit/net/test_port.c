/* SPDX-License-Identifier: Apache-2.0 */
/* A port over loopback: what is told of a datagram, and a port that is connected. */
#include "support/cmocka.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/address.h"
#include "net/bind.h"
#include "net/port.h"

#define PATIENCE_NS INT64_C(10000000000)

struct fixture {
    struct port_batch *batch;
    struct port_counters *counters;
    struct port *port;
    struct packet last; /* that was received; its bytes are gone */
    uint8_t bytes[64];  /* the first one of each datagram */
    unsigned count;
};

static void keep(struct port *port, struct packet *packets, unsigned count, void *user)
{
    struct fixture *fixture = user;

    for (unsigned i = 0; i < count; i++) {
        fixture->bytes[fixture->count++ % sizeof fixture->bytes] = packets[i].data[0];
        memset(packets[i].data - PACKET_HEAD - PACKET_ROOM, 0xff,
               PACKET_HEAD + PACKET_ROOM); /* as a filter may */
        memset(packets[i].data + packets[i].bytes, 0xff, PACKET_ROOM);
        port_count(port, 0, &packets[i]);
    }
    fixture->last = packets[count - 1];
}

static void fixture_open(struct fixture *fixture, int fd, bool is_connected, bool is_gathering)
{
    *fixture = (struct fixture){.batch = port_batch_new(), .counters = port_counters_new(1)};
    assert_non_null(fixture->batch);
    assert_non_null(fixture->counters);
    const struct port_options options = {.fd = fd,
                                         .max_bytes = is_gathering ? PACKET_MAX_BYTES : 16,
                                         .batch = fixture->batch,
                                         .counters = fixture->counters,
                                         .receive = keep,
                                         .user = fixture,
                                         .is_gathering = is_gathering,
                                         .is_connected = is_connected};
    assert_int_equal(port_open(&fixture->port, &options), 0);
}

static void fixture_close(struct fixture *fixture)
{
    port_close(fixture->port);
    port_batch_free(fixture->batch);
    free(fixture->counters);
}

static struct in6_addr ipv4(uint32_t address)
{
    return address_from_ipv4((struct in_addr){htonl(address)});
}

/* Sends to an address until what is received has the kernel's stamp: it begins to stamp a moment
 * after a socket asked for it. */
static void exchange(struct fixture *fixture, const struct in6_addr *to)
{
    struct pollfd ready = {.fd = port_fd(fixture->port), .events = POLLIN};
    struct sockaddr_storage address;
    socklen_t bytes = address_to_socket(to, address_bound_port(ready.fd), &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), yes = 1;
    int64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes), 0);
    do {
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, bytes), 1);
        assert_int_equal(poll(&ready, 1, 5000), 1);
        assert_int_equal(port_turn(fixture->port), 1);
    } while (fixture->last.received_ns == port_read_ns(fixture->port) &&
             clock_monotonic_ns() < end_ns);
    assert_in_range(fixture->last.received_ns, port_read_ns(fixture->port) - PATIENCE_NS,
                    port_read_ns(fixture->port) - 1);
    close(fd);
}

static void a_packet_tells_where_it_was_sent_to(void **state)
{
    const struct in6_addr any4 = ipv4(INADDR_ANY), loopback = ipv4(INADDR_LOOPBACK);
    const struct {
        struct in6_addr bound, to, told;
    } rows[] = {{in6addr_any, in6addr_loopback, in6addr_loopback},
                {in6addr_any, loopback, loopback},
                {any4, loopback, loopback},
                {in6addr_any, ipv4(0x7fffffff), ipv4(INADDR_BROADCAST)},
                {any4, ipv4(0x7fffffff), ipv4(INADDR_BROADCAST)}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct binding binding = {.address = rows[i].bound, .buffer_bytes = 65536};
        struct fixture fixture;
        int fd = bind_open(&binding, 0, false);
        assert_true(fd >= 0);
        if (!binding_is_ipv6(&binding) && i == 0) {
            close(fd);
            continue;
        }
        fixture_open(&fixture, fd, false, false);
        exchange(&fixture, &rows[i].to);
        assert_memory_equal(&fixture.last.local.address, &rows[i].told, sizeof rows[i].told);
        assert_int_equal(fixture.last.local.scope, 0);
        fixture_close(&fixture);
    }
}

/* The peer's port is closed at first: the error comes with the next call, whose datagram leaves all
 * the same. */
static void an_error_of_an_earlier_datagram_costs_a_connected_port_none(void **state)
{
    struct binding binding = {.address = ipv4(INADDR_LOOPBACK), .buffer_bytes = 65536};
    struct sockaddr_storage address;
    struct fixture fixture;
    uint8_t data[] = {1, 2, 3};
    int server;

    (void)state;
    server = bind_open(&binding, 0, false);
    assert_true(server >= 0);
    uint16_t number = address_bound_port(server);
    socklen_t bytes = address_to_socket(&binding.address, number, &address);
    close(server);
    int fd = bind_connected((const struct sockaddr *)&address, bytes, 65536);
    assert_true(fd >= 0);
    fixture_open(&fixture, fd, true, false);
    struct endpoint to = endpoint_from_socket((const struct sockaddr *)&address);
    const struct port_message message = {
        .data = data, .bytes = sizeof data, .to = &to, .stamp_at = -1};

    port_send(fixture.port, &message);
    port_flush(fixture.port);
    assert_int_equal(port_turn(fixture.port), -ECONNREFUSED);
    assert_int_equal(counter_read(&fixture.counters->receive_errors), 1);
    port_send(fixture.port, &message);
    port_flush(fixture.port);
    server = bind_open(&binding, number, false);
    assert_true(server >= 0);
    port_send(fixture.port, &message);
    port_flush(fixture.port);
    assert_int_equal(recv(server, data, sizeof data, MSG_DONTWAIT), sizeof data);
    assert_int_equal(counter_read(&fixture.counters->sent), 3);
    for (unsigned i = 0; i < PORT_ERRORS; i++)
        assert_int_equal(counter_read(&fixture.counters->send_errors[i]), 0);
    close(server);
    fixture_close(&fixture);
}

/* A connected socket is told that nobody listens there, and the port that left counts nothing. */
struct refusals {
    struct fixture fixture;
    unsigned count;
    struct endpoint last;
};

static void note_refusal(const struct endpoint *to, void *user)
{
    struct refusals *refusals = user;
    refusals->count++;
    refusals->last = *to;
}

/* A port that is open to all, and hears of refusals. */
static void refusals_open(struct refusals *refusals, uint16_t *number)
{
    struct fixture *fixture = &refusals->fixture;
    int fd = bind_free_port(number, false, false);
    assert_true(fd >= 0);
    *refusals =
        (struct refusals){.fixture = {.batch = port_batch_new(), .counters = port_counters_new(1)}};
    const struct port_options options = {.fd = fd,
                                         .is_unstamped = true,
                                         .max_bytes = 16,
                                         .batch = fixture->batch,
                                         .counters = fixture->counters,
                                         .receive = keep,
                                         .refused = note_refusal,
                                         .user = refusals};
    assert_int_equal(port_open(&fixture->port, &options), 0);
}

static void send_one(struct port *port, const struct endpoint *to)
{
    uint8_t data[] = {1, 2, 3};
    const struct port_message message = {
        .data = data, .bytes = sizeof data, .to = to, .stamp_at = -1};
    port_send(port, &message);
    port_flush(port);
}

/* A port on loopback that is bound, or that nobody has any more. */
static struct endpoint open_server(const struct in6_addr *address, int *fd, bool is_closed)
{
    struct binding binding = {.address = *address, .buffer_bytes = 1 << 20};
    *fd = bind_open(&binding, 0, false);
    assert_true(*fd >= 0);
    struct endpoint at = {.address = *address, .port = htons(address_bound_port(*fd))};
    if (is_closed)
        close(*fd);
    return at;
}

static void check_refusals(const struct in6_addr *address)
{
    struct refusals refusals;
    struct port *port;
    struct port_sum sum = {0};
    uint16_t number;
    uint8_t data[16];
    int server, closed;
    const struct endpoint there = open_server(address, &server, false);
    const struct endpoint gone = open_server(address, &closed, true);

    refusals_open(&refusals, &number);
    port = refusals.fixture.port;
    for (unsigned i = 0; i < 10; i++) { /* what is sent next does not suffer from it */
        send_one(port, &gone);
        send_one(port, &there);
        assert_int_equal(recv(server, data, sizeof data, 0), 3);
    }
    while (port_hear(port) > 0)
        continue;
    assert_int_equal(refusals.count, 10);
    assert_memory_equal(&refusals.last, &gone, sizeof gone);

    send_one(port, &gone); /* what is received next does not, either */
    const struct endpoint own = {.address = *address, .port = htons(number)};
    send_one(port, &own);
    assert_int_equal(port_turn(port), 1);
    assert_int_equal(port_turn(port), 0);
    assert_int_equal(refusals.count, 11);
    port_counters_add(&sum, refusals.fixture.counters, 1);
    assert_int_equal(sum.sent, 22);
    assert_int_equal(sum.send_errors, 0);
    assert_int_equal(sum.receive_errors, 0);
    fixture_close(&refusals.fixture);
    close(server);
}

static void a_port_hears_which_peer_was_refused_and_others_lose_nothing(void **state)
{
    const struct in6_addr loopback = ipv4(INADDR_LOOPBACK);
    struct binding ipv6 = {.address = in6addr_loopback, .buffer_bytes = 65536};
    int fd = bind_open(&ipv6, 0, false);

    (void)state;
    check_refusals(&loopback);
    if (fd >= 0 && !ipv6.is_missing)
        check_refusals(&in6addr_loopback);
    if (fd >= 0)
        close(fd);
}

static void a_flood_of_refusals_is_not_listened_to_for_a_while(void **state)
{
    const struct in6_addr loopback = ipv4(INADDR_LOOPBACK);
    struct refusals refusals;
    uint16_t number;
    int server, closed;
    const struct endpoint there = open_server(&loopback, &server, false);
    const struct endpoint gone = open_server(&loopback, &closed, true);

    (void)state;
    refusals_open(&refusals, &number);
    struct port *port = refusals.fixture.port;
    struct pollfd quiet = {.fd = port_fd(port), .events = POLLIN};
    for (unsigned i = 0; i < 500; i++) {
        send_one(port, &gone);
        port_hear(port);
    }
    assert_in_range(refusals.count, 32, 128);
    assert_int_equal(poll(&quiet, 1, 0), 0); /* so that no loop is busy with it */
    unsigned before = refusals.count;
    port_hear_again(port);
    send_one(port, &gone);
    send_one(port, &there);
    while (port_hear(port) > 0)
        continue;
    assert_int_equal(refusals.count, before + 1);
    assert_int_equal(counter_read(&refusals.fixture.counters->sent), 502);
    fixture_close(&refusals.fixture);
    close(server);
}

static void a_port_that_left_is_found_by_nobody(void **state)
{
    const struct in6_addr addresses[] = {in6addr_any, ipv4(INADDR_ANY), ipv4(INADDR_LOOPBACK)};

    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct binding binding = {.address = addresses[i], .buffer_bytes = 65536};
        struct sockaddr_storage address;
        uint8_t data = 1;
        uint32_t drops = 1;
        int fd = bind_open(&binding, 0, false);
        assert_true(fd >= 0);
        socklen_t bytes = address_to_socket(&addresses[2], address_bound_port(fd), &address);
        int player = bind_connected((const struct sockaddr *)&address, bytes, 65536);
        assert_true(player >= 0);

        assert_int_equal(send(player, &data, 1, 0), 1);
        assert_int_equal(recv(fd, &data, 1, MSG_DONTWAIT), 1);
        assert_int_equal(bind_stop_receiving(fd), 0);
        bind_leave(fd);
        bind_settle();
        assert_int_equal(send(player, &data, 1, 0), 1);
        assert_int_equal(recv(player, &data, 1, MSG_DONTWAIT), -1);
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(bind_drops(fd, &drops), 0);
        assert_int_equal(drops, 0);
        close(player);
        close(fd);
    }
}

/* More than one call can receive, were they not gathered. */
static void what_the_kernel_has_gathered_is_datagrams_again(void **state)
{
    enum {
        COUNT = 40,
        BYTES = 5
    };
    struct binding binding = {.address = ipv4(INADDR_LOOPBACK), .buffer_bytes = 65536};
    struct sockaddr_storage address;
    struct fixture fixture;
    uint8_t data[COUNT * BYTES] = {0};
    int segment = BYTES, fd = bind_open(&binding, 0, false);

    (void)state;
    _Static_assert(COUNT > PACKET_BATCH, "more than one call receives");
    assert_true(fd >= 0);
    socklen_t bytes = address_to_socket(&binding.address, address_bound_port(fd), &address);
    int peer = bind_connected((const struct sockaddr *)&address, bytes, 65536);
    assert_true(peer >= 0);
    fixture_open(&fixture, fd, false, true);
    for (unsigned i = 0; i < COUNT; i++)
        data[i * BYTES] = (uint8_t)i;
    assert_int_equal(setsockopt(peer, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    assert_int_equal(send(peer, data, sizeof data - 1, 0), sizeof data - 1);

    assert_int_equal(port_turn(fixture.port), COUNT);
    assert_int_equal(fixture.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(fixture.bytes[i], i);
    assert_int_equal(fixture.last.bytes, BYTES - 1);
    assert_int_equal(counter_read(&fixture.counters->outcomes[0].packets), COUNT);
    assert_int_equal(counter_read(&fixture.counters->outcomes[0].bytes), sizeof data - 1);
    close(peer);
    fixture_close(&fixture);
}

/* A server's answers leave by the port for players, which may receive nothing for long. */
static void what_is_doubtful_has_all_the_room_that_is_free_after_each_flush(void **state)
{
    enum {
        COUNT = BIND_SEND_BUFFER_BYTES / BIND_DATAGRAM_COST_BYTES
    };
    struct binding binding = {.address = ipv4(INADDR_LOOPBACK), .buffer_bytes = 65536};
    struct port_sum sum = {0};
    struct fixture fixture;
    uint8_t data[] = {1};
    int server;
    const struct endpoint there = open_server(&binding.address, &server, false);
    const struct port_message message = {
        .data = data, .bytes = sizeof data, .to = &there, .stamp_at = -1, .is_doubtful = true};

    (void)state;
    fixture_open(&fixture, bind_open(&binding, 0, false), false, false);
    for (unsigned i = 0; i < COUNT; i++) {
        port_send(fixture.port, &message);
        port_flush(fixture.port);
    }
    port_counters_add(&sum, fixture.counters, 1);
    assert_int_equal(sum.send_errors, 0);
    assert_int_equal(sum.sent, COUNT);
    close(server);
    fixture_close(&fixture);
}

/* As many as a batch holds say nothing by themselves. */
static void a_port_is_drained_where_nothing_waits_whatever_a_batch_held(void **state)
{
    struct binding binding = {.address = ipv4(INADDR_LOOPBACK), .buffer_bytes = 1 << 20};
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, bind_open(&binding, 0, false), false, false);
    for (unsigned count = PACKET_BATCH - 1; count <= PACKET_BATCH + 1; count++) {
        struct sockaddr_storage address;
        socklen_t bytes = address_to_socket(&binding.address,
                                            address_bound_port(port_fd(fixture.port)), &address);
        int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        for (unsigned i = 0; i < count; i++)
            assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, bytes), 1);
        close(fd);
        bool is_more = count > PACKET_BATCH;
        assert_int_equal(port_turn(fixture.port), is_more ? PACKET_BATCH : count);
        assert_int_equal(port_is_drained(fixture.port), !is_more);
        if (is_more)
            assert_int_equal(port_turn(fixture.port), 1);
        assert_true(port_is_drained(fixture.port));
    }
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_tells_where_it_was_sent_to),
        cmocka_unit_test(an_error_of_an_earlier_datagram_costs_a_connected_port_none),
        cmocka_unit_test(a_port_hears_which_peer_was_refused_and_others_lose_nothing),
        cmocka_unit_test(a_flood_of_refusals_is_not_listened_to_for_a_while),
        cmocka_unit_test(a_port_that_left_is_found_by_nobody),
        cmocka_unit_test(what_the_kernel_has_gathered_is_datagrams_again),
        cmocka_unit_test(what_is_doubtful_has_all_the_room_that_is_free_after_each_flush),
        cmocka_unit_test(a_port_is_drained_where_nothing_waits_whatever_a_batch_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Ports over several workers: what a handler decides is what happens, each datagram is counted
 * once, and answers leave from the address that was asked. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "loop/ports.h"

#include "net/address.h"
#include "net/bind.h"
#include "support/loopback.h"
#include <arpa/inet.h>

#define MAX_WORKERS 4

/* The handler's protocol in these tests: the first byte says what to do. */
enum order {
    ORDER_DROP = 'd',
    ORDER_ECHO = 'e',  /* the first 16 bytes, as they are */
    ORDER_STAMP = 's', /* size, arrival and departure: 3 x 8 bytes, the first two in host order */
    ORDER_TELL = 't'   /* when the batch was read, and by which worker: 2 x 8 bytes, host order */
};

/* The outcomes of these tests. */
enum {
    DROPPED,
    ECHOED
};

struct running {
    struct workers *workers;
    struct ports *ports;
    struct port_counters *counters;
    unsigned count;
    unsigned indexes[MAX_WORKERS];
};

static void handle(struct port *port, struct packet *packet, unsigned worker)
{
    struct port_message answer = {.data = packet->data,
                                  .bytes = 16,
                                  .to = &packet->peer,
                                  .from = &packet->local,
                                  .stamp_at = -1,
                                  .received_ns = packet->received_ns};
    int64_t read_ns = port_read_ns(port);
    uint64_t index = worker, size = packet->bytes;
    if (packet->bytes == 0 || packet->data[0] == ORDER_DROP) {
        port_count(port, DROPPED, packet);
        return;
    }
    if (packet->data[0] == ORDER_TELL) {
        memcpy(packet->data, &read_ns, 8);
        memcpy(packet->data + 8, &index, 8);
    } else if (packet->data[0] == ORDER_STAMP) {
        memcpy(packet->data, &size, 8);
        memcpy(packet->data + 8, &packet->received_ns, 8);
        memset(packet->data + 16, 0, 8);
        answer.bytes = 24;
        answer.stamp_at = 16;
    }
    port_send(port, &answer);
    port_count(port, ECHOED, packet);
}

static void handle_all(struct port *port, struct packet *packets, unsigned count, void *user)
{
    for (unsigned i = 0; i < count; i++)
        handle(port, &packets[i], *(unsigned *)user);
}

static struct ports_options options_for(struct running *running, unsigned workers)
{
    static void *users[MAX_WORKERS];
    struct workers_options options = {.count = workers};
    *running = (struct running){.count = workers};
    running->counters = port_counters_new(workers);
    assert_non_null(running->counters);
    assert_int_equal(workers_new(&running->workers, &options), 0);
    for (unsigned i = 0; i < workers; i++) {
        running->indexes[i] = i;
        users[i] = &running->indexes[i];
    }
    return (struct ports_options){.name = "tests",
                                  .port_key = "test_port",
                                  .key = "key",
                                  .addresses = &in6addr_any,
                                  .addresses_count = 1,
                                  .receive_buffer_ns = 20000000,
                                  .max_bytes = 64,
                                  .counters = running->counters,
                                  .receive = handle_all,
                                  .users = users};
}

static void open_ports(struct running *running, const struct ports_options *options)
{
    assert_int_equal(ports_open(&running->ports, running->workers, options, NULL), 0);
}

static void start_workers(struct running *running)
{
    assert_int_equal(ports_start(running->ports), 0);
    assert_int_equal(workers_start(running->workers, NULL), 0);
}

static void start_ports(struct running *running, unsigned workers)
{
    struct ports_options options = options_for(running, workers);
    open_ports(running, &options);
    start_workers(running);
}

static uint64_t values_of(const struct histogram_sum *histogram)
{
    uint64_t values = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        values += histogram->buckets[i];
    return values;
}

/* The kernel's drops at the end are `*drops`, unless that is NULL. */
static struct port_sum stop_counting(struct running *running, uint64_t *drops)
{
    struct port_sum sum = {0};
    ports_stop(running->ports);
    uint64_t dropped = ports_close(running->ports);
    workers_free(running->workers);
    port_counters_add(&sum, running->counters, running->count);
    assert_true(values_of(&sum.hold_ns) <= sum.sent);
    assert_true(values_of(&sum.queue_delay_ns) <= sum.received);
    free(running->counters);
    if (drops != NULL)
        *drops = dropped;
    return sum;
}

static struct port_sum stop_ports(struct running *running)
{
    return stop_counting(running, NULL);
}

static struct in6_addr ipv4_address(uint32_t host)
{
    return address_from_ipv4((struct in_addr){.s_addr = htonl(host)});
}

static socklen_t service_address(const struct ports *ports, int family, uint32_t ipv4,
                                 struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        v6->sin6_family = AF_INET6;
        v6->sin6_addr = in6addr_loopback;
        v6->sin6_port = htons(ports_number(ports));
        return sizeof *v6;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(ipv4);
    v4->sin_port = htons(ports_number(ports));
    return sizeof *v4;
}

static void send_order(const struct loopback *client, const struct ports *ports, int family,
                       enum order order, size_t bytes)
{
    static const uint8_t zeros[2048];
    uint8_t data[2048];
    struct sockaddr_storage to;
    memcpy(data, zeros, sizeof data);
    data[0] = (uint8_t)order;
    socklen_t to_bytes = service_address(ports, family, INADDR_LOOPBACK, &to);
    loopback_send(client, data, bytes, &to, to_bytes);
}

static int64_t read_host_order(const uint8_t *at)
{
    int64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static int64_t read_big_endian(const uint8_t *at)
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

static void answers_with_stamps(int family)
{
    struct running running;
    struct loopback client = loopback_open(family);
    uint8_t reply[64];
    start_ports(&running, 1);
    for (int i = 0; i < 10; i++) {
        int64_t before_ns = clock_wall_ns();
        send_order(&client, running.ports, family, ORDER_STAMP, 100);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 24);
        int64_t after_ns = clock_wall_ns();
        assert_int_equal(read_host_order(reply), 100);
        int64_t received_ns = read_host_order(reply + 8);
        int64_t transmit_ns = read_big_endian(reply + 16);
        assert_true(before_ns <= received_ns && received_ns <= transmit_ns);
        assert_true(transmit_ns <= after_ns);
    }
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.received, 10);
    assert_int_equal(sum.sent, 10);
    assert_int_equal(sum.bytes[ECHOED], 1000);
    loopback_close(&client);
}

static void answers_ipv4_with_both_stamps(void **state)
{
    (void)state;
    answers_with_stamps(AF_INET);
}

static void answers_ipv6_with_both_stamps(void **state)
{
    (void)state;
    if (!loopback_has_ipv6()) {
        print_message("SKIPPED: this host has no IPv6\n");
        skip();
    }
    answers_with_stamps(AF_INET6);
}

static void tells_the_true_size_of_every_datagram(void **state)
{
    (void)state;
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t reply[64];
    uint64_t bytes_sent = 0;
    start_ports(&running, 1);
    for (size_t bytes = 1; bytes <= 2000; bytes++) {
        send_order(&client, running.ports, AF_INET, ORDER_STAMP, bytes);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 24);
        assert_int_equal(read_host_order(reply), bytes);
        bytes_sent += bytes;
    }
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.bytes[ECHOED], bytes_sent);
    loopback_close(&client);
}

/* One of several workers has the packet, and has counted it under the index that it tells. */
static void tells_when_a_batch_was_read_and_by_whom(void **state)
{
    (void)state;
    struct running running;
    uint8_t reply[64];
    uint64_t told[MAX_WORKERS] = {0};
    start_ports(&running, MAX_WORKERS);
    for (int i = 0; i < 100; i++) {
        struct loopback client = loopback_open(AF_INET); /* another port: any worker */
        int64_t before_ns = clock_wall_ns();
        send_order(&client, running.ports, AF_INET, ORDER_TELL, 20);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 16);
        int64_t read_ns = read_host_order(reply), worker = read_host_order(reply + 8);
        assert_true(before_ns <= read_ns && read_ns <= clock_wall_ns());
        assert_in_range(worker, 0, MAX_WORKERS - 1);
        told[worker]++;
        loopback_close(&client);
    }
    for (unsigned i = 0; i < MAX_WORKERS; i++)
        assert_int_equal(counter_read(&running.counters[i].outcomes[ECHOED].packets), told[i]);
    stop_ports(&running);
}

static void counts_each_datagram_once_whatever_the_verdict(void **state)
{
    (void)state;
    enum {
        EACH = 3000
    };
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t reply[64];
    start_ports(&running, 2);
    for (int i = 0; i < EACH; i++) {
        send_order(&client, running.ports, AF_INET, ORDER_DROP, 7);
        send_order(&client, running.ports, AF_INET, ORDER_DROP, 0);
        send_order(&client, running.ports, AF_INET, ORDER_ECHO, 16);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 16);
        assert_int_equal(reply[0], ORDER_ECHO);
    }
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.received, 3 * EACH);
    assert_int_equal(sum.packets[ECHOED], EACH);
    assert_int_equal(sum.packets[DROPPED], 2 * EACH);
    assert_int_equal(sum.bytes[DROPPED], 7 * EACH);
    assert_int_equal(sum.sent, EACH);
    assert_int_equal(sum.send_errors + sum.receive_errors, 0);
    loopback_close(&client);
}

/* 127.0.0.0/8 is all this host, so there are many addresses to be asked at. */
static void answers_from_the_address_that_was_asked(void **state)
{
    (void)state;
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t data[16] = {ORDER_ECHO}, reply[64];
    start_ports(&running, 1);
    for (uint32_t host = 1; host <= 50; host++) {
        struct sockaddr_storage to, from = {0};
        socklen_t from_bytes;
        socklen_t to_bytes =
            service_address(running.ports, AF_INET, INADDR_LOOPBACK + 256 * host, &to);
        loopback_send(&client, data, sizeof data, &to, to_bytes);
        loopback_receive(&client, reply, sizeof reply, &from, &from_bytes);
        assert_int_equal(from_bytes, to_bytes);
        assert_memory_equal(&from, &to, to_bytes);
    }
    stop_ports(&running);
    loopback_close(&client);
}

/* A ping of a burst: numbered, to one of two addresses of the service. */
static void send_numbered(const struct loopback *client, const struct ports *ports, uint8_t number,
                          uint32_t ipv4)
{
    uint8_t data[16] = {ORDER_ECHO, number};
    struct sockaddr_storage to;
    if (number % 5 == 4)
        data[0] = ORDER_STAMP;
    socklen_t to_bytes = service_address(ports, AF_INET, ipv4, &to);
    loopback_send(client, data, sizeof data, &to, to_bytes);
}

struct numbered {
    size_t bytes; /* 16 with the number, or 24 with stamps instead */
    int number;
    uint32_t ipv4; /* where it comes from */
};

static struct numbered receive_numbered(const struct loopback *client)
{
    uint8_t reply[64];
    struct sockaddr_storage from;
    socklen_t from_bytes;
    size_t bytes = loopback_receive(client, reply, sizeof reply, &from, &from_bytes);
    assert_true(bytes == 16 || bytes == 24);
    return (struct numbered){bytes, reply[1],
                             ntohl(((struct sockaddr_in *)&from)->sin_addr.s_addr)};
}

/* The client of ping number i: runs of one, then two that take turns, then three. */
static int client_of(int i)
{
    return i < 40 ? 0 : i % (i / 40 + 1);
}

/* With replies of two sizes and from two addresses: what may leave in one call must not go to
 * another client, from another address, or before an earlier one like it. */
static void each_of_a_burst_gets_its_own_reply(void **state)
{
    (void)state;
    enum {
        PINGS = 120,
        CLIENTS = 3,
        HOSTS = 2,
        SIZES = 2
    };
    static const uint32_t hosts[HOSTS] = {INADDR_LOOPBACK, INADDR_LOOPBACK + 256};
    struct running running;
    struct loopback clients[CLIENTS];
    int last[CLIENTS][HOSTS][SIZES];
    struct ports_options options = options_for(&running, 1);
    memset(last, -1, sizeof last);
    open_ports(&running, &options);
    clients[0] = loopback_open(AF_INET);
    clients[1] =
        loopback_open_beside(&clients[0], 2); /* which is told from it by its address alone */
    clients[2] = loopback_open(AF_INET);
    for (int i = 0; i < PINGS; i++) {
        send_numbered(&clients[client_of(i)], running.ports, (uint8_t)i, hosts[i / 7 % HOSTS]);
        if (i % 3 == 0) /* between two that are answered */
            send_order(&clients[client_of(i)], running.ports, AF_INET, ORDER_DROP, 16);
    }
    start_workers(&running);
    for (int i = 0; i < PINGS; i++) {
        int client = client_of(i);
        struct numbered reply = receive_numbered(&clients[client]);
        int *before = &last[client][reply.ipv4 == hosts[1]][reply.bytes == 24];
        if (reply.bytes == 24)
            continue; /* has no number */
        assert_int_equal(client_of(reply.number), client);
        assert_int_equal(reply.ipv4, hosts[reply.number / 7 % HOSTS]);
        assert_true(reply.number > *before);
        *before = reply.number;
    }
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.received, PINGS + PINGS / 3);
    assert_int_equal(sum.sent, PINGS);
    assert_true(values_of(&sum.queue_delay_ns) > 0);
    assert_int_equal(sum.send_errors, 0);
    for (int i = 0; i < CLIENTS; i++)
        loopback_close(&clients[i]);
}

static void listens_on_the_addresses_given_and_on_no_other(void **state)
{
    (void)state;
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t data[16] = {ORDER_ECHO}, reply[64];
    struct in6_addr addresses[] = {ipv4_address(INADDR_LOOPBACK + 1),
                                   ipv4_address(INADDR_LOOPBACK + 2), IN6ADDR_LOOPBACK_INIT};
    struct ports_options options = options_for(&running, 2);
    options.addresses = addresses;
    options.addresses_count = loopback_has_ipv6() ? 3 : 2;
    open_ports(&running, &options);
    start_workers(&running);
    for (uint32_t host = 1; host <= 3; host++) {
        struct sockaddr_storage to, from = {0};
        socklen_t to_bytes = service_address(running.ports, AF_INET, INADDR_LOOPBACK + host, &to);
        loopback_send(&client, data, sizeof data, &to, to_bytes);
        if (host == 3)
            continue;
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, &from, NULL), 16);
        assert_memory_equal(&from, &to, to_bytes);
    }
    if (loopback_has_ipv6()) {
        struct loopback client6 = loopback_open(AF_INET6);
        send_order(&client6, running.ports, AF_INET6, ORDER_ECHO, 16);
        assert_int_equal(loopback_receive(&client6, reply, sizeof reply, NULL, NULL), 16);
        loopback_close(&client6);
    }
    assert_false(loopback_readable(&client));
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.received, loopback_has_ipv6() ? 3 : 2);
    loopback_close(&client);
}

static void counts_what_the_kernel_dropped(void **state)
{
    (void)state;
    enum {
        SENT = 50000 /* more than any receive buffer holds */
    };
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    struct ports_options options = options_for(&running, 1);
    open_ports(&running, &options);
    for (int i = 0; i < SENT; i++)
        send_order(&client, running.ports, AF_INET, ORDER_DROP, 16);
    uint64_t drops = ports_drops(running.ports);
    assert_true(drops > 0);
    assert_int_equal(ports_drops(running.ports), drops);
    start_workers(&running);
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.received + drops, SENT);
    loopback_close(&client);
}

static void asks_for_a_receive_buffer_of_a_length_in_time(void **state)
{
    (void)state;
    struct running running;
    size_t asked, granted;
    struct ports_options options = options_for(&running, 1);
    options.receive_buffer_ns = 100000; /* less than what the kernel grants to anybody */
    open_ports(&running, &options);
    ports_receive_buffer(running.ports, &asked, &granted);
    assert_int_equal(asked, BIND_FULL_RATE / 10000 * BIND_DATAGRAM_COST_BYTES);
    assert_int_equal(granted, asked);
    stop_ports(&running);
}

static void serves_ipv4_alone_when_there_is_no_ipv6(void **state)
{
    (void)state;
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t data[16] = {ORDER_ECHO}, reply[64];
    struct ports_options options = options_for(&running, 2);
    struct in6_addr any = ipv4_address(INADDR_ANY);
    options.addresses = &any;
    open_ports(&running, &options);
    struct in6_addr first = ports_first_address(running.ports);
    assert_memory_equal(&first, &any, sizeof any);
    start_workers(&running);
    for (uint32_t host = 0; host < 20; host++) {
        struct sockaddr_storage to, from = {0};
        socklen_t to_bytes = service_address(running.ports, AF_INET, INADDR_LOOPBACK + host, &to);
        loopback_send(&client, data, sizeof data, &to, to_bytes);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, &from, NULL), 16);
        assert_memory_equal(&from, &to, to_bytes);
    }
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.sent, 20);
    loopback_close(&client);
}

static void a_port_in_use_is_an_error(void **state)
{
    (void)state;
    struct running first, second;
    struct error error;
    start_ports(&first, 2);
    struct ports_options options = options_for(&second, 1);
    options.port = ports_number(first.ports);
    assert_int_equal(ports_open(&second.ports, second.workers, &options, &error), -EADDRINUSE);
    assert_null(second.ports);
    assert_non_null(strstr(error.text, "cannot serve tests on UDP port "));
    workers_free(second.workers);
    free(second.counters);
    stop_ports(&first);
}

static void nobody_joins_the_port_of_a_single_worker(void **state)
{
    const int one = 1;
    struct running running;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    (void)state;
    start_ports(&running, 1);
    ipv4.sin_port = address.sin6_port = htons(ports_number(running.ports));
    for (int i = 0; i < 2; i++) {
        int fd = socket(i == 0 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
        if (fd < 0)
            continue;
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
        int result = i == 0 ? bind(fd, (const struct sockaddr *)&ipv4, sizeof ipv4)
                            : bind(fd, (const struct sockaddr *)&address, sizeof address);
        assert_int_equal(result, -1);
        assert_int_equal(errno, EADDRINUSE);
        close(fd);
    }
    stop_ports(&running);
}

static void an_address_that_the_host_does_not_have_is_bound_and_told(void **state)
{
    char text[4096] = "";
    struct in6_addr addresses[2];
    struct running running;
    (void)state;
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &addresses[0]);
    inet_pton(AF_INET6, "::ffff:192.0.2.77", &addresses[1]);
    struct ports_options options = options_for(&running, 2);
    options.addresses = addresses;
    options.addresses_count = 2;
    open_ports(&running, &options);
    int fd = memfd_create("log", MFD_CLOEXEC);
    struct log log;
    log_init(&log,
             &(struct log_options){.fd = fd, .format = LOG_FORMAT_JSON, .level = LOG_LEVEL_INFO});
    ports_warn(running.ports, &log);
    assert_true(pread(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, "\"key\":\"key\",\"address\":\"192.0.2.77:"));
    assert_null(strstr(text, "127.0.0.1"));
    close(fd);
    start_workers(&running);
    stop_ports(&running);
}

static void port_0_never_yields_a_port_that_is_shared(void **state)
{
    (void)state;
    enum {
        SETS = 40
    };
    struct running running[SETS];
    for (int i = 0; i < SETS; i++) {
        start_ports(&running[i], 2);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(ports_number(running[i].ports), ports_number(running[j].ports));
    }
    for (int i = 0; i < SETS; i++)
        stop_ports(&running[i]);
}

/* Also what was queued before the workers ran. */
static void answers_what_was_queued_before_it_stopped(void **state)
{
    enum {
        QUEUED = 100
    };
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t reply[64];
    struct ports_options options = options_for(&running, 2);
    (void)state;
    open_ports(&running, &options);
    for (int i = 0; i < QUEUED; i++)
        send_order(&client, running.ports, AF_INET, ORDER_ECHO, 16);
    assert_int_equal(workers_start(running.workers, NULL), 0); /* which do not wait for them */
    struct port_sum sum = stop_ports(&running);
    assert_int_equal(sum.sent, QUEUED);
    for (int i = 0; i < QUEUED; i++)
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 16);
    loopback_close(&client);
}

struct flooder {
    atomic_bool stop;
    const struct ports *ports;
    atomic_uint_fast64_t sent;
};

static void *flood(void *argument)
{
    struct flooder *flooder = argument;
    struct loopback client = loopback_open(AF_INET);
    while (!atomic_load(&flooder->stop)) {
        send_order(&client, flooder->ports, AF_INET, ORDER_DROP, 16);
        atomic_fetch_add(&flooder->sent, 1);
    }
    loopback_close(&client);
    return NULL;
}

static void stops_under_a_flood(void **state)
{
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t reply[64];
    pthread_t thread;
    (void)state;
    start_ports(&running, 1);
    struct flooder flooder = {.ports = running.ports};
    assert_int_equal(pthread_create(&thread, NULL, flood, &flooder), 0);
    for (bool answered = false; !answered;) {
        send_order(&client, running.ports, AF_INET, ORDER_ECHO, 16);
        struct pollfd readable = {.fd = client.fd, .events = POLLIN};
        answered = poll(&readable, 1, 100) == 1;
    }
    loopback_receive(&client, reply, sizeof reply, NULL, NULL);
    ports_stop(running.ports);
    uint64_t received = 0;
    struct port_sum sum = {0};
    port_counters_add(&sum, running.counters, 1);
    received = sum.received;
    while (ports_drops(running.ports) == 0) /* what comes now is dropped, and counted */
        poll(NULL, 0, 1);
    atomic_store(&flooder.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    sum = (struct port_sum){0};
    port_counters_add(&sum, running.counters, 1);
    assert_int_equal(sum.received, received);
    ports_close(running.ports);
    workers_free(running.workers);
    free(running.counters);
    loopback_close(&client);
}

static void nothing_is_lost_uncounted_when_a_port_closes_under_load(void **state)
{
    struct running running;
    pthread_t thread;
    uint64_t drops;
    (void)state;
    start_ports(&running, 2);
    struct flooder flooder = {.ports = running.ports};
    assert_int_equal(pthread_create(&thread, NULL, flood, &flooder), 0);
    while (atomic_load(&flooder.sent) < 20000)
        poll(NULL, 0, 1);
    ports_stop(running.ports);
    uint64_t sent = atomic_load(&flooder.sent);
    while (atomic_load(&flooder.sent) < sent + 1000)
        poll(NULL, 0, 1);
    atomic_store(&flooder.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    struct port_sum sum = stop_counting(&running, &drops);
    assert_int_equal(sum.received + drops, atomic_load(&flooder.sent));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_ipv4_with_both_stamps),
        cmocka_unit_test(tells_when_a_batch_was_read_and_by_whom),
        cmocka_unit_test(answers_ipv6_with_both_stamps),
        cmocka_unit_test(tells_the_true_size_of_every_datagram),
        cmocka_unit_test(counts_each_datagram_once_whatever_the_verdict),
        cmocka_unit_test(answers_from_the_address_that_was_asked),
        cmocka_unit_test(each_of_a_burst_gets_its_own_reply),
        cmocka_unit_test(listens_on_the_addresses_given_and_on_no_other),
        cmocka_unit_test(counts_what_the_kernel_dropped),
        cmocka_unit_test(asks_for_a_receive_buffer_of_a_length_in_time),
        cmocka_unit_test(serves_ipv4_alone_when_there_is_no_ipv6),
        cmocka_unit_test(a_port_in_use_is_an_error),
        cmocka_unit_test(nobody_joins_the_port_of_a_single_worker),
        cmocka_unit_test(an_address_that_the_host_does_not_have_is_bound_and_told),
        cmocka_unit_test(port_0_never_yields_a_port_that_is_shared),
        cmocka_unit_test(answers_what_was_queued_before_it_stopped),
        cmocka_unit_test(stops_under_a_flood),
        cmocka_unit_test(nothing_is_lost_uncounted_when_a_port_closes_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One suite for every engine: what a handler decides is what happens, each datagram is counted
 * once, and replies leave from the address that was asked. */
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "net/address.h"
#include "support/loopback.h"

#define MAX_WORKERS 4

/* The handler's protocol in these tests: the first byte says what to do. */
enum order {
    ORDER_DROP = 'd',
    ORDER_ECHO = 'e',  /* the first 16 bytes, as they are */
    ORDER_STAMP = 's', /* size, arrival and departure: 3 x 8 bytes, the first two in host order */
    ORDER_TELL = 't'   /* when the batch was read, and by which worker: 2 x 8 bytes, host order */
};

struct running {
    struct engine *engine;
    struct counters *counters;
    unsigned workers;
    pthread_t threads[MAX_WORKERS];
};

struct start {
    struct engine *engine;
    unsigned worker;
};

static struct verdict handle(const struct batch *batch, const struct datagram *packet,
                             uint8_t *reply)
{
    struct verdict verdict = {.outcome = OUTCOME_FOREIGN, .stamp_offset = VERDICT_NO_STAMP};
    if (packet->bytes == 0 || packet->data[0] == ORDER_DROP)
        return verdict;
    verdict.outcome = OUTCOME_VALID;
    if (packet->data[0] == ORDER_ECHO) {
        memcpy(reply, packet->data, 16);
        verdict.reply_bytes = 16;
        return verdict;
    }
    if (packet->data[0] == ORDER_TELL) {
        uint64_t worker = batch->worker;
        memcpy(reply, &batch->read_ns, 8);
        memcpy(reply + 8, &worker, 8);
        verdict.reply_bytes = 16;
        return verdict;
    }
    uint64_t size = packet->bytes;
    memcpy(reply, &size, 8);
    memcpy(reply + 8, &packet->received_ns, 8);
    memset(reply + 16, 0, 8);
    verdict.reply_bytes = 24;
    verdict.stamp_offset = 16;
    return verdict;
}

static void handle_all(const struct batch *batch, void *user)
{
    (void)user;
    for (unsigned i = 0; i < batch->count; i++) {
        struct exchange *exchange = &batch->exchanges[i];
        exchange->verdict = handle(batch, &exchange->question, exchange->reply);
    }
}

static void *run_worker(void *argument)
{
    struct start *start = argument;
    engine_run(start->engine, start->worker);
    free(start);
    return NULL;
}

static struct engine_options options_for(struct running *running, unsigned workers)
{
    running->counters = aligned_alloc(COUNTERS_CACHE_LINE, workers * sizeof(struct counters));
    assert_non_null(running->counters);
    for (unsigned i = 0; i < workers; i++)
        counters_init(&running->counters[i]);
    running->workers = workers;
    return (struct engine_options){.addresses = &in6addr_any,
                                   .addresses_count = 1,
                                   .receive_buffer_ns = 20000000,
                                   .workers = workers,
                                   .counters = running->counters,
                                   .handler = handle_all};
}

static void start_workers(struct running *running)
{
    for (unsigned i = 0; i < running->workers; i++) {
        struct start *start = malloc(sizeof *start);
        assert_non_null(start);
        *start = (struct start){running->engine, i};
        assert_int_equal(pthread_create(&running->threads[i], NULL, run_worker, start), 0);
    }
}

static void start_engine(struct running *running, const struct engine_ops *ops, unsigned workers)
{
    struct engine_options options = options_for(running, workers);
    assert_int_equal(engine_open(&running->engine, ops, &options), 0);
    start_workers(running);
}

static uint64_t values_of(const struct histogram_sum *histogram)
{
    uint64_t values = 0;
    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        values += histogram->buckets[i];
    return values;
}

static struct counters_sum stop_engine(struct running *running)
{
    engine_stop(running->engine);
    for (unsigned i = 0; i < running->workers; i++)
        assert_int_equal(pthread_join(running->threads[i], NULL), 0);
    engine_close(running->engine);
    struct counters_sum sum = counters_sum(running->counters, running->workers);
    assert_int_equal(values_of(&sum.hold_ns), sum.answered);
    assert_true(values_of(&sum.queue_delay_ns) <= sum.received);
    free(running->counters);
    return sum;
}

static struct in6_addr ipv4_address(uint32_t host)
{
    return address_from_ipv4((struct in_addr){.s_addr = htonl(host)});
}

static socklen_t service_address(const struct engine *engine, int family, uint32_t ipv4,
                                 struct sockaddr_storage *address)
{
    memset(address, 0, sizeof *address);
    if (family == AF_INET6) {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
        v6->sin6_family = AF_INET6;
        v6->sin6_addr = in6addr_loopback;
        v6->sin6_port = htons(engine_port(engine));
        return sizeof *v6;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    v4->sin_family = AF_INET;
    v4->sin_addr.s_addr = htonl(ipv4);
    v4->sin_port = htons(engine_port(engine));
    return sizeof *v4;
}

static void send_order(const struct loopback *client, const struct engine *engine, int family,
                       enum order order, size_t bytes)
{
    static const uint8_t zeros[2048];
    uint8_t data[2048];
    struct sockaddr_storage to;
    memcpy(data, zeros, sizeof data);
    data[0] = (uint8_t)order;
    socklen_t to_bytes = service_address(engine, family, INADDR_LOOPBACK, &to);
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

static void answers_with_stamps(const struct engine_ops *ops, int family)
{
    struct running running;
    struct loopback client = loopback_open(family);
    uint8_t reply[64];
    start_engine(&running, ops, 1);
    for (int i = 0; i < 10; i++) {
        int64_t before_ns = clock_wall_ns();
        send_order(&client, running.engine, family, ORDER_STAMP, 100);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 24);
        int64_t after_ns = clock_wall_ns();
        assert_int_equal(read_host_order(reply), 100);
        int64_t received_ns = read_host_order(reply + 8);
        int64_t transmit_ns = read_big_endian(reply + 16);
        assert_true(before_ns <= received_ns && received_ns <= transmit_ns);
        assert_true(transmit_ns <= after_ns);
    }
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.received, 10);
    assert_int_equal(sum.answered, 10);
    assert_int_equal(sum.bytes[OUTCOME_VALID], 1000);
    loopback_close(&client);
}

static void answers_ipv4_with_both_stamps(void **state)
{
    answers_with_stamps(*state, AF_INET);
}

static void answers_ipv6_with_both_stamps(void **state)
{
    if (!loopback_has_ipv6())
        skip();
    answers_with_stamps(*state, AF_INET6);
}

static void tells_the_true_size_of_every_datagram(void **state)
{
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t reply[64];
    uint64_t bytes_sent = 0;
    start_engine(&running, *state, 1);
    for (size_t bytes = 1; bytes <= 2000; bytes++) {
        send_order(&client, running.engine, AF_INET, ORDER_STAMP, bytes);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 24);
        assert_int_equal(read_host_order(reply), bytes);
        bytes_sent += bytes;
    }
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.bytes[OUTCOME_VALID], bytes_sent);
    loopback_close(&client);
}

/* Of several workers one has the packet, and has counted it under the index that it tells. */
static void tells_when_a_batch_was_read_and_by_whom(void **state)
{
    struct running running;
    uint8_t reply[64];
    uint64_t told[MAX_WORKERS] = {0};
    start_engine(&running, *state, MAX_WORKERS);
    for (int i = 0; i < 100; i++) {
        struct loopback client = loopback_open(AF_INET); /* another port: any worker */
        int64_t before_ns = clock_wall_ns();
        send_order(&client, running.engine, AF_INET, ORDER_TELL, 20);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 16);
        int64_t read_ns = read_host_order(reply), worker = read_host_order(reply + 8);
        assert_true(before_ns <= read_ns && read_ns <= clock_wall_ns());
        assert_in_range(worker, 0, MAX_WORKERS - 1);
        told[worker]++;
        loopback_close(&client);
    }
    for (unsigned i = 0; i < MAX_WORKERS; i++)
        assert_int_equal(counter_read(&running.counters[i].packets[OUTCOME_VALID]), told[i]);
    stop_engine(&running);
}

static void counts_each_datagram_once_whatever_the_verdict(void **state)
{
    enum {
        EACH = 3000
    };
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t reply[64];
    start_engine(&running, *state, 2);
    for (int i = 0; i < EACH; i++) {
        send_order(&client, running.engine, AF_INET, ORDER_DROP, 7);
        send_order(&client, running.engine, AF_INET, ORDER_DROP, 0);
        send_order(&client, running.engine, AF_INET, ORDER_ECHO, 16);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 16);
        assert_int_equal(reply[0], ORDER_ECHO);
    }
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.received, 3 * EACH);
    assert_int_equal(sum.packets[OUTCOME_VALID], EACH);
    assert_int_equal(sum.packets[OUTCOME_FOREIGN], 2 * EACH);
    assert_int_equal(sum.bytes[OUTCOME_FOREIGN], 7 * EACH);
    assert_int_equal(sum.answered, EACH);
    assert_int_equal(sum.send_errors + sum.receive_errors, 0);
    loopback_close(&client);
}

/* 127.0.0.0/8 is all this host, so there are many addresses to be asked at. */
static void answers_from_the_address_that_was_asked(void **state)
{
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t data[16] = {ORDER_ECHO}, reply[64];
    start_engine(&running, *state, 1);
    for (uint32_t host = 1; host <= 50; host++) {
        struct sockaddr_storage to, from = {0};
        socklen_t from_bytes;
        socklen_t to_bytes =
            service_address(running.engine, AF_INET, INADDR_LOOPBACK + 256 * host, &to);
        loopback_send(&client, data, sizeof data, &to, to_bytes);
        loopback_receive(&client, reply, sizeof reply, &from, &from_bytes);
        assert_int_equal(from_bytes, to_bytes);
        assert_memory_equal(&from, &to, to_bytes);
    }
    stop_engine(&running);
    loopback_close(&client);
}

/* A ping of a burst: numbered, to one of two addresses of the service. */
static void send_numbered(const struct loopback *client, const struct engine *engine,
                          uint8_t number, uint32_t ipv4)
{
    uint8_t data[16] = {ORDER_ECHO, number};
    struct sockaddr_storage to;
    if (number % 5 == 4)
        data[0] = ORDER_STAMP;
    socklen_t to_bytes = service_address(engine, AF_INET, ipv4, &to);
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

/* Of which client ping number i is: runs of one, then two that take turns, then three. */
static int client_of(int i)
{
    return i < 40 ? 0 : i % (i / 40 + 1);
}

/* With replies of two sizes and from two addresses: what may leave in one call must not go to
 * another client, from another address, or before an earlier one like it. */
static void each_of_a_burst_gets_its_own_reply(void **state)
{
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
    struct engine_options options = options_for(&running, 1);
    memset(last, -1, sizeof last);
    assert_int_equal(engine_open(&running.engine, *state, &options), 0);
    clients[0] = loopback_open(AF_INET);
    clients[1] =
        loopback_open_beside(&clients[0], 2); /* which is told from it by its address alone */
    clients[2] = loopback_open(AF_INET);
    for (int i = 0; i < PINGS; i++) {
        send_numbered(&clients[client_of(i)], running.engine, (uint8_t)i, hosts[i / 7 % HOSTS]);
        if (i % 3 == 0) /* between two that are answered */
            send_order(&clients[client_of(i)], running.engine, AF_INET, ORDER_DROP, 16);
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
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.received, PINGS + PINGS / 3);
    assert_int_equal(sum.answered, PINGS);
    assert_true(values_of(&sum.queue_delay_ns) > 0);
    assert_int_equal(sum.send_errors, 0);
    for (int i = 0; i < CLIENTS; i++)
        loopback_close(&clients[i]);
}

static void listens_on_the_addresses_given_and_on_no_other(void **state)
{
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t data[16] = {ORDER_ECHO}, reply[64];
    struct in6_addr addresses[] = {ipv4_address(INADDR_LOOPBACK + 1),
                                   ipv4_address(INADDR_LOOPBACK + 2), IN6ADDR_LOOPBACK_INIT};
    struct engine_options options = options_for(&running, 2);
    options.addresses = addresses;
    options.addresses_count = loopback_has_ipv6() ? 3 : 2;
    assert_int_equal(engine_open(&running.engine, *state, &options), 0);
    start_workers(&running);
    for (uint32_t host = 1; host <= 3; host++) {
        struct sockaddr_storage to, from = {0};
        socklen_t to_bytes = service_address(running.engine, AF_INET, INADDR_LOOPBACK + host, &to);
        loopback_send(&client, data, sizeof data, &to, to_bytes);
        if (host == 3)
            continue;
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, &from, NULL), 16);
        assert_memory_equal(&from, &to, to_bytes);
    }
    if (loopback_has_ipv6()) {
        struct loopback client6 = loopback_open(AF_INET6);
        send_order(&client6, running.engine, AF_INET6, ORDER_ECHO, 16);
        assert_int_equal(loopback_receive(&client6, reply, sizeof reply, NULL, NULL), 16);
        loopback_close(&client6);
    }
    assert_false(loopback_readable(&client));
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.received, loopback_has_ipv6() ? 3 : 2);
    loopback_close(&client);
}

static void counts_what_the_kernel_dropped(void **state)
{
    enum {
        SENT = 50000 /* more than any receive buffer holds */
    };
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    struct engine_options options = options_for(&running, 1);
    assert_int_equal(engine_open(&running.engine, *state, &options), 0);
    for (int i = 0; i < SENT; i++)
        send_order(&client, running.engine, AF_INET, ORDER_DROP, 16);
    uint64_t drops = engine_drops(running.engine);
    assert_true(drops > 0);
    assert_int_equal(engine_drops(running.engine), drops);
    start_workers(&running);
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.received + drops, SENT);
    loopback_close(&client);
}

static void asks_for_a_receive_buffer_of_a_length_in_time(void **state)
{
    struct running running;
    size_t asked, granted;
    struct engine_options options = options_for(&running, 1);
    options.receive_buffer_ns = 100000; /* less than what the kernel grants to anybody */
    assert_int_equal(engine_open(&running.engine, *state, &options), 0);
    engine_receive_buffer(running.engine, &asked, &granted);
    assert_int_equal(asked, ENGINE_FULL_RATE / 10000 * ENGINE_DATAGRAM_COST_BYTES);
    assert_int_equal(granted, asked);
    engine_close(running.engine);
    free(running.counters);
}

static void serves_ipv4_alone_when_there_is_no_ipv6(void **state)
{
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t data[16] = {ORDER_ECHO}, reply[64];
    struct engine_options options = options_for(&running, 2);
    struct in6_addr any = ipv4_address(INADDR_ANY);
    options.addresses = &any;
    assert_int_equal(engine_open(&running.engine, *state, &options), 0);
    assert_false(engine_ipv6(running.engine));
    start_workers(&running);
    for (uint32_t host = 0; host < 20; host++) {
        struct sockaddr_storage to, from = {0};
        socklen_t to_bytes = service_address(running.engine, AF_INET, INADDR_LOOPBACK + host, &to);
        loopback_send(&client, data, sizeof data, &to, to_bytes);
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, &from, NULL), 16);
        assert_memory_equal(&from, &to, to_bytes);
    }
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.answered, 20);
    loopback_close(&client);
}

static void a_port_in_use_is_an_error(void **state)
{
    struct running first, second;
    start_engine(&first, *state, 2);
    struct engine_options options = options_for(&second, 1);
    options.port = engine_port(first.engine);
    second.engine = NULL;
    assert_int_equal(engine_open(&second.engine, *state, &options), -EADDRINUSE);
    assert_null(second.engine);
    free(second.counters);
    stop_engine(&first);
}

static void port_0_never_yields_a_port_that_is_shared(void **state)
{
    enum {
        ENGINES = 40
    };
    struct running running[ENGINES];
    for (int i = 0; i < ENGINES; i++) {
        start_engine(&running[i], *state, 2);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(engine_port(running[i].engine), engine_port(running[j].engine));
    }
    for (int i = 0; i < ENGINES; i++)
        stop_engine(&running[i]);
}

static void answers_what_was_queued_before_it_ran_or_stopped(void **state)
{
    enum {
        QUEUED = 100
    };
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    uint8_t reply[64];
    struct engine_options options = options_for(&running, 2);
    assert_int_equal(engine_open(&running.engine, *state, &options), 0);
    for (int i = 0; i < QUEUED; i++)
        send_order(&client, running.engine, AF_INET, ORDER_ECHO, 16);
    engine_stop(running.engine);
    start_workers(&running);
    struct counters_sum sum = stop_engine(&running);
    assert_int_equal(sum.answered, QUEUED);
    for (int i = 0; i < QUEUED; i++)
        assert_int_equal(loopback_receive(&client, reply, sizeof reply, NULL, NULL), 16);
    loopback_close(&client);
}

static void *flood(void *argument)
{
    atomic_bool *stop = ((void **)argument)[0];
    const struct engine *engine = ((void **)argument)[1];
    struct loopback client = loopback_open(AF_INET);
    while (!atomic_load(stop))
        send_order(&client, engine, AF_INET, ORDER_DROP, 16);
    loopback_close(&client);
    return NULL;
}

static void stops_under_a_flood(void **state)
{
    struct running running;
    struct loopback client = loopback_open(AF_INET);
    atomic_bool stop = false;
    uint8_t reply[64];
    start_engine(&running, *state, 1);
    void *argument[] = {&stop, running.engine};
    pthread_t flooder;
    assert_int_equal(pthread_create(&flooder, NULL, flood, argument), 0);
    for (bool answered = false; !answered;) {
        send_order(&client, running.engine, AF_INET, ORDER_ECHO, 16);
        struct pollfd readable = {.fd = client.fd, .events = POLLIN};
        answered = poll(&readable, 1, 100) == 1;
    }
    loopback_receive(&client, reply, sizeof reply, NULL, NULL);
    engine_stop(running.engine);
    assert_int_equal(pthread_join(running.threads[0], NULL), 0);
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(flooder, NULL), 0);
    engine_close(running.engine);
    free(running.counters);
    loopback_close(&client);
}

static int select_mmsg(void **state)
{
    static struct engine_ops ops;
    ops = engine_mmsg;
    *state = &ops;
    return 0;
}

#define ENGINE_TEST(name) cmocka_unit_test_setup(name, select_mmsg)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(answers_ipv4_with_both_stamps),
        ENGINE_TEST(tells_when_a_batch_was_read_and_by_whom),
        ENGINE_TEST(answers_ipv6_with_both_stamps),
        ENGINE_TEST(tells_the_true_size_of_every_datagram),
        ENGINE_TEST(counts_each_datagram_once_whatever_the_verdict),
        ENGINE_TEST(answers_from_the_address_that_was_asked),
        ENGINE_TEST(each_of_a_burst_gets_its_own_reply),
        ENGINE_TEST(listens_on_the_addresses_given_and_on_no_other),
        ENGINE_TEST(counts_what_the_kernel_dropped),
        ENGINE_TEST(asks_for_a_receive_buffer_of_a_length_in_time),
        ENGINE_TEST(serves_ipv4_alone_when_there_is_no_ipv6),
        ENGINE_TEST(a_port_in_use_is_an_error),
        ENGINE_TEST(port_0_never_yields_a_port_that_is_shared),
        ENGINE_TEST(answers_what_was_queued_before_it_ran_or_stopped),
        ENGINE_TEST(stops_under_a_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "daemon/qcmp_service.h"
#include "engine/engine.h"
#include "support/loopback.h"

static struct qcmp_service *start(unsigned workers)
{
    struct qcmp_service_options options = {.addresses = &in6addr_any,
                                           .addresses_count = 1,
                                           .workers = workers,
                                           .receive_buffer_ns = 1000000};
    struct qcmp_service *service;
    assert_int_equal(qcmp_service_open(&service, &options), 0);
    assert_int_equal(qcmp_service_start(service), 0);
    return service;
}

static struct counters_sum stop(struct qcmp_service *service)
{
    struct counters_sum sum;
    uint64_t drops;
    qcmp_service_stop(service, &sum, &drops);
    assert_int_equal(drops, 0);
    return sum;
}

static void ping(const struct loopback *client, uint16_t port)
{
    struct qcmp_packet packet = {.kind = QCMP_PING, .nonce = 1};
    struct sockaddr_storage to = client->address;
    uint8_t data[QCMP_MAX_BYTES];
    ((struct sockaddr_in *)&to)->sin_port = htons(port);
    assert_int_equal(qcmp_packet_encode(&packet, data, sizeof data), QCMP_PING_BYTES);
    loopback_send(client, data, QCMP_PING_BYTES, &to, client->address_bytes);
    assert_int_equal(loopback_receive(client, data, sizeof data, NULL, NULL), QCMP_PONG_BYTES);
}

static void a_worker_that_does_not_turn_is_dead_and_one_that_turns_again_is_not(void **state)
{
    struct loopback client = loopback_open(AF_INET);
    struct qcmp_service *service = start(1);
    (void)state;
    ping(&client, qcmp_service_port(service));
    int64_t now_ns = clock_monotonic_ns();
    while (qcmp_service_alive(service, now_ns) &&
           qcmp_service_alive(service, now_ns + QCMP_SERVICE_DEAD_NS))
        continue; /* until it waits between two calls, as it does for want of pings */
    assert_false(qcmp_service_alive(service, now_ns + 2 * QCMP_SERVICE_DEAD_NS));
    ping(&client, qcmp_service_port(service));
    ping(&client, qcmp_service_port(service));
    assert_true(qcmp_service_alive(service, now_ns + 3 * QCMP_SERVICE_DEAD_NS));
    stop(service);
    loopback_close(&client);
}

static void an_idle_worker_is_alive(void **state)
{
    struct qcmp_service *service = start(2);
    const struct timespec pause = {.tv_nsec = 100000000};
    int64_t end_ns = clock_monotonic_ns() + 2 * INT64_C(1000000) * ENGINE_TURN_MS;
    (void)state;
    for (int64_t now_ns = clock_monotonic_ns(); now_ns < end_ns; now_ns = clock_monotonic_ns()) {
        assert_true(qcmp_service_alive(service, now_ns));
        nanosleep(&pause, NULL);
    }
    stop(service);
}

static void counts_go_on_when_the_port_changes(void **state)
{
    struct loopback client = loopback_open(AF_INET);
    struct qcmp_service *service = start(2), *other = start(1);
    uint16_t first = qcmp_service_port(service), taken = qcmp_service_port(other);
    struct counters_sum sum;
    uint64_t drops;
    (void)state;
    ping(&client, first);
    assert_int_equal(qcmp_service_move(service, taken), -EADDRINUSE);
    assert_int_equal(qcmp_service_port(service), first);
    ping(&client, first);
    stop(other);
    assert_int_equal(qcmp_service_move(service, taken), 0);
    assert_int_equal(qcmp_service_port(service), taken);
    ping(&client, taken);
    qcmp_service_leave(service);
    ping(&client, taken);
    qcmp_service_sample(service, &sum, &drops);
    assert_int_equal(sum.received, 4); /* answers are counted after they are sent */
    assert_int_equal(stop(service).answered, 4);
    loopback_close(&client);
}

static void too_many_addresses_are_refused(void **state)
{
    static const struct in6_addr addresses[ENGINE_MAX_ADDRESSES + 1];
    struct qcmp_service_options options = {.addresses = addresses, .workers = 1};
    struct qcmp_service *service = NULL;
    (void)state;
    assert_int_equal(qcmp_service_open(&service, &options), -EINVAL);
    options.addresses_count = ENGINE_MAX_ADDRESSES + 1;
    assert_int_equal(qcmp_service_open(&service, &options), -EINVAL);
    assert_null(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_does_not_turn_is_dead_and_one_that_turns_again_is_not),
        cmocka_unit_test(an_idle_worker_is_alive),
        cmocka_unit_test(counts_go_on_when_the_port_changes),
        cmocka_unit_test(too_many_addresses_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

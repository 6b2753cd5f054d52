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
    bool is_dead = false;
    while (!is_dead) { /* until it waits all the time, as it does for want of pings */
        now_ns += 3 * QCMP_SERVICE_DEAD_NS;
        (void)qcmp_service_alive(service, now_ns);
        is_dead = !qcmp_service_alive(service, now_ns + QCMP_SERVICE_DEAD_NS) &&
                  !qcmp_service_alive(service, now_ns + 2 * QCMP_SERVICE_DEAD_NS);
    }
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

static void an_engine_that_cannot_enforce_the_rules_is_refused(void **state)
{
    struct engine_ops alone = engine_mmsg;
    struct prefix_list nobody = {0}, somebody = {0};
    struct prefix prefix;
    (void)state;
    alone.hands_over_all = false;
    assert_int_equal(prefix_parse("192.0.2.0/24", &prefix), 0);
    assert_int_equal(prefix_list_add(&somebody, &prefix), 0);
    struct rules_options rules = {.allow = &nobody, .deny = &nobody, .guard = &guard_default_rules};
    struct qcmp_service_options options = {.addresses = &in6addr_any,
                                           .addresses_count = 1,
                                           .workers = 1,
                                           .receive_buffer_ns = 1000000,
                                           .engine = &alone,
                                           .rules = &rules};
    struct qcmp_service *service = NULL;
    assert_int_equal(qcmp_service_open(&service, &options), -EOPNOTSUPP);
    rules = (struct rules_options){.allow = &somebody, .deny = &nobody};
    assert_int_equal(qcmp_service_open(&service, &options), -EOPNOTSUPP);
    rules = (struct rules_options){.allow = &nobody, .deny = &somebody};
    assert_int_equal(qcmp_service_open(&service, &options), -EOPNOTSUPP);
    assert_null(service);
    rules = (struct rules_options){.allow = &nobody, .deny = &nobody};
    assert_int_equal(qcmp_service_open(&service, &options), 0);
    struct rules *made = NULL;
    rules.deny = &somebody;
    assert_int_equal(qcmp_service_prepare(service, &rules, &made), -EOPNOTSUPP);
    assert_null(made);
    assert_int_equal(qcmp_service_start(service), 0);
    stop(service);
    prefix_list_fini(&somebody);
}

/* While pings come: what the workers read must not be released (the sanitizers look). */
static void rules_change_while_pings_are_answered(void **state)
{
    struct loopback client = loopback_open(AF_INET);
    struct qcmp_service *service = start(2);
    struct prefix_list nobody = {0}, somebody = {0};
    const struct guard_rules *guards[] = {&guard_default_rules, NULL};
    struct prefix prefix;
    (void)state;
    assert_int_equal(prefix_parse("192.0.2.0/24", &prefix), 0);
    assert_int_equal(prefix_list_add(&somebody, &prefix), 0);
    for (unsigned i = 0; i < 1000; i++) {
        struct rules_options options = {
            .allow = &nobody, .deny = i % 3 == 0 ? &nobody : &somebody, .guard = guards[i % 2]};
        struct rules *rules;
        assert_int_equal(qcmp_service_prepare(service, &options, &rules), 0);
        qcmp_service_apply(service, rules);
        ping(&client, qcmp_service_port(service));
        if (i % 10 == 0)
            qcmp_service_tick(service, clock_monotonic_ns());
        if (i == 500)
            assert_int_equal(qcmp_service_move(service, 0), 0);
        if (i == 600)
            qcmp_service_leave(service);
    }
    assert_int_equal(stop(service).answered, 1000);
    prefix_list_fini(&somebody);
    loopback_close(&client);
}

static void denied_addresses_are_denied_from_the_change_on(void **state)
{
    struct loopback client = loopback_open(AF_INET);
    struct qcmp_service *service = start(1);
    struct prefix_list nobody = {0}, loopback = {0};
    struct prefix prefix;
    struct rules *rules;
    (void)state;
    assert_int_equal(prefix_parse("127.0.0.0/8", &prefix), 0);
    assert_int_equal(prefix_list_add(&loopback, &prefix), 0);
    ping(&client, qcmp_service_port(service));
    struct rules_options options = {.allow = &nobody, .deny = &loopback};
    assert_int_equal(qcmp_service_prepare(service, &options, &rules), 0);
    qcmp_service_apply(service, rules);
    struct sockaddr_storage to = client.address;
    ((struct sockaddr_in *)&to)->sin_port = htons(qcmp_service_port(service));
    loopback_send(&client, (const uint8_t *)"QLKN", 4, &to, client.address_bytes);
    struct counters_sum sum = stop(service);
    assert_int_equal(sum.packets[OUTCOME_ACCESS_DENIED], 1);
    assert_int_equal(sum.packets[OUTCOME_VALID], 1);
    assert_int_equal(sum.received, 2);
    prefix_list_fini(&loopback);
    loopback_close(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_that_does_not_turn_is_dead_and_one_that_turns_again_is_not),
        cmocka_unit_test(an_idle_worker_is_alive),
        cmocka_unit_test(counts_go_on_when_the_port_changes),
        cmocka_unit_test(too_many_addresses_are_refused),
        cmocka_unit_test(an_engine_that_cannot_enforce_the_rules_is_refused),
        cmocka_unit_test(rules_change_while_pings_are_answered),
        cmocka_unit_test(denied_addresses_are_denied_from_the_change_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock is set while a ping is in flight; the library's clock is support/fake_clock.c
 * here. */
#include "support/loopback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include <qcmp/client.h>

#include "support/fake_clock.h"

#define SECOND_NS INT64_C(1000000000)

static struct qcmp_client_event ping_with_step(int64_t step_ns)
{
    struct loopback server = loopback_open(AF_INET);
    struct qcmp_client_options options = {.user_stamps_only = 1};
    struct qcmp_client *client;
    struct sockaddr_storage peer;
    socklen_t peer_bytes;
    struct qcmp_packet packet;
    uint8_t data[QCMP_MAX_BYTES];
    struct qcmp_client_event event = {.id = 0};
    assert_int_equal(qcmp_client_new(&client, &options), 0);
    assert_int_equal(qcmp_client_ping(client, (struct sockaddr *)&server.address,
                                      server.address_bytes, 10 * SECOND_NS, NULL, NULL),
                     0);
    assert_int_equal(loopback_receive(&server, data, sizeof data, &peer, &peer_bytes),
                     QCMP_PING_BYTES);
    assert_int_equal(qcmp_packet_decode(data, QCMP_PING_BYTES, &packet, NULL), QCMP_PING);
    packet.kind = QCMP_PONG;
    packet.server_start_ns = packet.server_transmit_ns = packet.client_ns;
    assert_int_equal(qcmp_packet_encode(&packet, data, sizeof data), QCMP_PONG_BYTES);
    fake_clock_step(step_ns);
    loopback_send(&server, data, QCMP_PONG_BYTES, &peer, peer_bytes);
    while (qcmp_client_process(client, &event, 1) == 0)
        assert_int_equal(qcmp_client_wait(client, SECOND_NS), 0);
    qcmp_client_free(client);
    loopback_close(&server);
    fake_clock_step(-step_ns);
    return event;
}

static void check_step(int64_t step_ns)
{
    struct qcmp_client_event event = ping_with_step(step_ns);
    assert_int_equal(event.kind, QCMP_CLIENT_ANSWERED);
    assert_int_equal(event.clock_stepped, 1);
    assert_true(event.sample.raw_rtt_ns >= 0 && event.sample.raw_rtt_ns < 10 * SECOND_NS);
    assert_int_equal(event.transmit_source, QCMP_STAMP_USER);
    assert_int_equal(event.receive_source, QCMP_STAMP_USER);
    assert_int_equal(event.sample.incoming_ns + event.sample.outgoing_ns, event.sample.rtt_ns);
}

static void a_step_forward_changes_no_result(void **state)
{
    (void)state;
    check_step(3600 * SECOND_NS);
}

static void a_step_backward_changes_no_result(void **state)
{
    (void)state;
    check_step(-3600 * SECOND_NS);
}

static void a_small_step_is_noticed(void **state)
{
    (void)state;
    check_step(20000);
    check_step(-20000);
}

static void without_a_step_none_is_reported(void **state)
{
    (void)state;
    struct qcmp_client_event event = ping_with_step(0);
    assert_int_equal(event.kind, QCMP_CLIENT_ANSWERED);
    assert_int_equal(event.clock_stepped, 0);
}

static void a_step_within_the_clocks_uncertainty_is_none(void **state)
{
    (void)state;
    fake_clock_widen(50000);
    struct qcmp_client_event event = ping_with_step(60000);
    fake_clock_widen(0);
    assert_int_equal(event.kind, QCMP_CLIENT_ANSWERED);
    assert_int_equal(event.clock_stepped, 0);
}

/* A ping with a time-out of half of PAUSE_MS, answered at once or after a pause; then, with the
 * answer in the socket, another pause and the step. Pauses only ever make the answer later than
 * that. */
#define PAUSE_MS 200

static enum qcmp_client_event_kind first_event(bool late, int64_t step_ns)
{
    struct loopback server = loopback_open(AF_INET);
    struct qcmp_client *client;
    struct sockaddr_storage peer;
    socklen_t peer_bytes;
    struct qcmp_packet packet;
    uint8_t data[QCMP_MAX_BYTES];
    struct qcmp_client_event event = {.id = 0};
    assert_int_equal(qcmp_client_new(&client, NULL), 0);
    assert_int_equal(qcmp_client_ping(client, (struct sockaddr *)&server.address,
                                      server.address_bytes, PAUSE_MS * INT64_C(500000), NULL, NULL),
                     0);
    assert_int_equal(loopback_receive(&server, data, sizeof data, &peer, &peer_bytes),
                     QCMP_PING_BYTES);
    assert_int_equal(qcmp_packet_decode(data, QCMP_PING_BYTES, &packet, NULL), QCMP_PING);
    packet.kind = QCMP_PONG;
    assert_int_equal(qcmp_packet_encode(&packet, data, sizeof data), QCMP_PONG_BYTES);
    if (late)
        assert_false(loopback_wait_readable(&server, PAUSE_MS));
    loopback_send(&server, data, QCMP_PONG_BYTES, &peer, peer_bytes);
    assert_false(loopback_wait_readable(&server, PAUSE_MS));
    fake_clock_step(step_ns);
    assert_int_equal(qcmp_client_process(client, &event, 1), 1);
    qcmp_client_free(client);
    loopback_close(&server);
    fake_clock_step(-step_ns);
    return event.kind;
}

/* The kernel stamps arrivals from some moments after the first socket has asked for it, and what is
 * answered at once may be late all the same where this process is kept from a CPU. */
static bool is_answered_in_time(int64_t step_ns)
{
    bool answered = false;
    for (int tries = 0; tries < 20 && !answered; tries++)
        answered = first_event(false, step_ns) == QCMP_CLIENT_ANSWERED;
    return answered;
}

static void a_step_before_the_reading_makes_no_answer_late(void **state)
{
    (void)state;
#ifdef PADDOCK_TEST_POSIX_SOCKET
    skip(); /* only the kernel knows when an answer came that nobody has read yet */
#endif
    struct qcmp_client *stamps;
    assert_int_equal(qcmp_client_new(&stamps, NULL), 0);
    assert_true(is_answered_in_time(0));
    assert_true(is_answered_in_time(3600 * SECOND_NS));
    assert_true(is_answered_in_time(-3600 * SECOND_NS));
    qcmp_client_free(stamps);
}

static void a_step_before_the_reading_makes_no_late_answer_count(void **state)
{
    (void)state;
    assert_int_equal(first_event(true, 0), QCMP_CLIENT_TIMED_OUT);
    assert_int_equal(first_event(true, 3600 * SECOND_NS), QCMP_CLIENT_TIMED_OUT);
    assert_int_equal(first_event(true, -3600 * SECOND_NS), QCMP_CLIENT_TIMED_OUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_forward_changes_no_result),
        cmocka_unit_test(a_step_backward_changes_no_result),
        cmocka_unit_test(a_small_step_is_noticed),
        cmocka_unit_test(a_step_within_the_clocks_uncertainty_is_none),
        cmocka_unit_test(a_step_before_the_reading_makes_no_answer_late),
        cmocka_unit_test(a_step_before_the_reading_makes_no_late_answer_count),
        cmocka_unit_test(without_a_step_none_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

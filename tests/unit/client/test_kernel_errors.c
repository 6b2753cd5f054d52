/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's transient errors, and a clock that is set while a ping is under way, kernel's stamps
 * included: what the system does for the client fails as often as a test asks (support/faults.h).
 */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

#include <cmocka.h>

#include <qcmp/client.h>

#include "support/faults.h"
#include "support/loopback.h"

#define SECOND_NS INT64_C(1000000000)
#define SHORT_NS INT64_C(30000000)
#define HOUR_NS INT64_C(3600000000000)

struct failure {
    int times; /* still to come; negative: for good */
    int error;
};

static void inject(enum fault_name name, struct failure failure)
{
    struct fault *fault = &faults_get()->each[name];
    fault->error = failure.error;
    fault->done = 0;
    fault->times = failure.times;
}

static void lift(enum fault_name name)
{
    faults_get()->each[name].times = 0;
}

static int ping_after(struct failure failure)
{
    struct loopback server = loopback_open(AF_INET);
    struct qcmp_client *client;
    assert_int_equal(qcmp_client_new(&client, NULL), 0);
    inject(FAULT_sendto, failure);
    int error = qcmp_client_ping(client, (struct sockaddr *)&server.address, server.address_bytes,
                                 SECOND_NS, NULL, NULL);
    assert_int_equal(qcmp_client_in_flight(client), error == 0);
    assert_int_equal(loopback_readable(&server), error == 0);
    lift(FAULT_sendto);
    qcmp_client_free(client);
    loopback_close(&server);
    return error;
}

static void pending_errors_of_other_pings_fail_no_send(void **state)
{
    (void)state;
    assert_int_equal(ping_after((struct failure){10, ECONNREFUSED}), 0);
    assert_int_equal(ping_after((struct failure){10, EHOSTUNREACH}), 0);
    assert_int_equal(ping_after((struct failure){10, EACCES}), 0);
}

static void a_send_that_cannot_succeed_gives_up(void **state)
{
    (void)state;
    assert_int_equal(ping_after((struct failure){1000, ENETUNREACH}),
                     qcmp_error_from_os(ENETUNREACH));
}

static void errors_that_the_network_does_not_send_are_the_sends_own(void **state)
{
    (void)state;
    assert_int_equal(ping_after((struct failure){1, ENOBUFS}), qcmp_error_from_os(ENOBUFS));
}

static void measuring_goes_on_after_an_error_of_the_socket(void **state)
{
    (void)state;
    struct loopback nobody = loopback_open(AF_INET);
    struct qcmp_sample sample = {.rtt_ns = 42};
    inject(FAULT_recvmmsg, (struct failure){1, ENOMEM});
    assert_int_equal(qcmp_distance_measure((struct sockaddr *)&nobody.address, nobody.address_bytes,
                                           SHORT_NS, &sample),
                     QCMP_ERROR_TIMED_OUT);
    assert_int_equal(faults_get()->each[FAULT_recvmmsg].done, 1);
    assert_int_equal(sample.rtt_ns, 42);
    loopback_close(&nobody);
}

/* Answers one ping, at once. */
static void answer(const struct loopback *server)
{
    struct sockaddr_storage peer;
    socklen_t peer_bytes;
    struct qcmp_packet packet;
    uint8_t data[QCMP_MAX_BYTES];
    assert_int_equal(loopback_receive(server, data, sizeof data, &peer, &peer_bytes),
                     QCMP_PING_BYTES);
    assert_int_equal(qcmp_packet_decode(data, QCMP_PING_BYTES, &packet, NULL), QCMP_PING);
    packet.kind = QCMP_PONG;
    packet.server_start_ns = packet.server_transmit_ns = packet.client_ns;
    assert_int_equal(qcmp_packet_encode(&packet, data, sizeof data), QCMP_PONG_BYTES);
    loopback_send(server, data, QCMP_PONG_BYTES, &peer, peer_bytes);
}

/* Errors of the socket and of waiting are told once each, and change nothing. */
static struct qcmp_client_event next_event(struct qcmp_client *client)
{
    struct qcmp_client_event event = {.id = 0};
    while (qcmp_client_process(client, &event, 1) != 1)
        (void)qcmp_client_wait(client, SECOND_NS);
    return event;
}

static struct qcmp_client_event ping_answered(enum fault_name name, struct failure failure,
                                              int64_t clock_step_ns)
{
    struct faults *faults = faults_get();
    struct loopback server = loopback_open(AF_INET);
    struct qcmp_client *client;
    struct timespec now;
    assert_int_equal(qcmp_client_new(&client, NULL), 0);
    inject(name, failure);
    assert_int_equal(qcmp_client_ping(client, (struct sockaddr *)&server.address,
                                      server.address_bytes, 10 * SECOND_NS, NULL, NULL),
                     0);
    faults->wall_before_ns = (int64_t)faults->wall_after_ns;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    faults->wall_jump_at_ns = (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec - faults->wall_after_ns;
    faults->wall_after_ns += clock_step_ns;
    answer(&server);
    struct qcmp_client_event event = next_event(client);
    lift(name);
    qcmp_client_free(client);
    loopback_close(&server);
    return event;
}

static void check_answered(const struct qcmp_client_event *event)
{
    assert_int_equal(event->kind, QCMP_CLIENT_ANSWERED);
    assert_true(event->sample.raw_rtt_ns >= 0 && event->sample.raw_rtt_ns < 10 * SECOND_NS);
}

static void an_error_that_passes_changes_no_result(void **state)
{
    static const struct {
        enum fault_name name;
        int error;
    } rows[] = {{FAULT_sendto, EINTR},         {FAULT_sendto, ENETUNREACH},
                {FAULT_recvmmsg, EINTR},       {FAULT_recvmmsg, ENOBUFS},
                {FAULT_recvmmsg, ENOMEM},      {FAULT_recvmmsg, ENETDOWN},
                {FAULT_recvmmsg, ENETUNREACH}, {FAULT_recvmsg, EINTR},
                {FAULT_recvmsg, ENOMEM},       {FAULT_ppoll, EINTR}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct qcmp_client_event event =
            ping_answered(rows[i].name, (struct failure){10, rows[i].error}, 0);
        check_answered(&event);
        assert_int_equal(event.clock_stepped, 0);
        if (rows[i].name != FAULT_ppoll) /* an answer that is there is not waited for */
            assert_true(faults_get()->each[rows[i].name].done > 0);
    }
}

static void a_clock_that_is_set_in_mid_flight_changes_no_round_trip(void **state)
{
    static const int64_t steps_ns[] = {HOUR_NS, -HOUR_NS, -HOUR_NS, HOUR_NS};
    (void)state;
    for (size_t i = 0; i < sizeof steps_ns / sizeof steps_ns[0]; i++) {
        struct qcmp_client_event event =
            ping_answered(FAULT_sendto, (struct failure){0, 0}, steps_ns[i]);
        check_answered(&event);
        assert_int_equal(event.clock_stepped, 1);
        assert_int_equal(event.transmit_source, QCMP_STAMP_USER);
        assert_int_equal(event.receive_source, QCMP_STAMP_USER);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pending_errors_of_other_pings_fail_no_send),
        cmocka_unit_test(a_send_that_cannot_succeed_gives_up),
        cmocka_unit_test(errors_that_the_network_does_not_send_are_the_sends_own),
        cmocka_unit_test(measuring_goes_on_after_an_error_of_the_socket),
        cmocka_unit_test(an_error_that_passes_changes_no_result),
        cmocka_unit_test(a_clock_that_is_set_in_mid_flight_changes_no_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

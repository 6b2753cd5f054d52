/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "load/tracker.h"
#include "support/random.h"

#define TIMEOUT_NS 1000
#define EPOCH_NS INT64_C(1700000000000000000)

struct datagram {
    uint8_t bytes[QCMP_PONG_BYTES];
};

static struct tracker *tracker;

static int setup(void **state)
{
    (void)state;
    tracker = tracker_new(1024, TIMEOUT_NS, EPOCH_NS);
    return tracker == NULL;
}

static int teardown(void **state)
{
    (void)state;
    tracker_free(tracker);
    return 0;
}

static struct tracker_ping send_ping(uint32_t flow, int64_t now_ns)
{
    struct tracker_ping ping = {.flow = flow, .due_ns = now_ns - 5, .sent_ns = now_ns};
    assert_int_equal(tracker_send(tracker, &ping), 0);
    return ping;
}

static struct datagram pong_for(const struct tracker_ping *ping)
{
    struct datagram datagram = {{0}};
    const struct qcmp_packet pong = {
        .kind = QCMP_PONG, .nonce = ping->nonce, .client_ns = ping->stamp_ns};
    assert_int_equal(qcmp_packet_encode(&pong, datagram.bytes, sizeof datagram.bytes),
                     QCMP_PONG_BYTES);
    return datagram;
}

static enum tracker_answer receive(uint32_t flow, const struct datagram *datagram, size_t bytes,
                                   int64_t now_ns, struct tracker_ping *ping, bool *was_in_flight)
{
    const struct tracker_datagram received = {
        .flow = flow, .data = datagram->bytes, .bytes = bytes, .received_ns = now_ns};
    return tracker_receive(tracker, &received, ping, was_in_flight);
}

/* What a datagram is, where the ping that it ends, if any, does not matter. */
static enum tracker_answer kind_of(uint32_t flow, const struct datagram *datagram, int64_t now_ns)
{
    struct tracker_ping ping;
    bool was_in_flight;
    return receive(flow, datagram, sizeof datagram->bytes, now_ns, &ping, &was_in_flight);
}

static void an_answer_ends_its_ping_and_no_other(void **state)
{
    struct tracker_ping first = send_ping(1, 100), second = send_ping(2, 101), found = {0};
    struct datagram pong = pong_for(&second);
    bool was_in_flight = false;
    (void)state;
    assert_int_equal(receive(2, &pong, sizeof pong.bytes, 200, &found, &was_in_flight),
                     TRACKER_ANSWERED);
    assert_int_equal(found.flow, 2);
    assert_int_equal(found.nonce, second.nonce);
    assert_int_equal(found.stamp_ns, second.stamp_ns);
    assert_int_equal(found.due_ns, 96);
    assert_int_equal(found.sent_ns, 101);
    assert_true(was_in_flight);
    assert_int_equal(tracker_in_flight(tracker), 1);
    pong = pong_for(&first);
    assert_int_equal(kind_of(1, &pong, 200), TRACKER_ANSWERED);
    assert_int_equal(tracker_in_flight(tracker), 0);
}

static void an_answer_counts_once(void **state)
{
    struct tracker_ping ping = send_ping(0, 100);
    struct datagram pong = pong_for(&ping);
    (void)state;
    assert_int_equal(kind_of(0, &pong, 101), TRACKER_ANSWERED);
    for (int64_t now_ns = 102; now_ns < 5000; now_ns += 1000)
        assert_int_equal(kind_of(0, &pong, now_ns), TRACKER_DUPLICATE);
    assert_int_equal(tracker_in_flight(tracker), 0);
}

static void an_answer_on_another_flow_is_foreign(void **state)
{
    struct tracker_ping ping = send_ping(7, 100);
    struct datagram pong = pong_for(&ping);
    (void)state;
    assert_int_equal(kind_of(6, &pong, 101), TRACKER_FOREIGN);
    assert_int_equal(kind_of(7, &pong, 102), TRACKER_ANSWERED);
}

/* Magic to timestamp, 17 bytes, decide; the server's own timestamps may be anything. */
static void an_answer_with_any_bit_changed_is_foreign(void **state)
{
    struct tracker_ping ping = send_ping(0, 100);
    struct datagram pong = pong_for(&ping);
    (void)state;
    for (size_t bit = 0; bit < (size_t)17 * 8; bit++) {
        struct datagram wrong = pong;
        wrong.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(kind_of(0, &wrong, 101), TRACKER_FOREIGN);
    }
    memset(pong.bytes + 17, 0xff, sizeof pong.bytes - 17);
    assert_int_equal(kind_of(0, &pong, 102), TRACKER_ANSWERED);
}

static void a_ping_sent_back_or_a_pong_of_another_size_is_foreign(void **state)
{
    struct tracker_ping ping = send_ping(0, 100), found;
    struct datagram pong = pong_for(&ping), echo = {{0}};
    const struct qcmp_packet packet = {
        .kind = QCMP_PING, .nonce = ping.nonce, .client_ns = ping.stamp_ns};
    bool was_in_flight;
    (void)state;
    qcmp_packet_encode(&packet, echo.bytes, sizeof echo.bytes);
    assert_int_equal(receive(0, &echo, QCMP_PING_BYTES, 101, &found, &was_in_flight),
                     TRACKER_FOREIGN);
    for (size_t bytes = 0; bytes < 100; bytes++)
        if (bytes != QCMP_PONG_BYTES)
            assert_int_equal(receive(0, &pong, bytes, 101, &found, &was_in_flight),
                             TRACKER_FOREIGN);
    assert_int_equal(tracker_in_flight(tracker), 1);
}

static void a_withdrawn_ping_has_no_answer(void **state)
{
    struct tracker_ping ping = send_ping(0, 100);
    struct datagram pong = pong_for(&ping);
    (void)state;
    tracker_withdraw(tracker, &ping);
    assert_int_equal(tracker_in_flight(tracker), 0);
    assert_int_equal(kind_of(0, &pong, 101), TRACKER_FOREIGN);
}

static void pings_are_lost_in_time_and_in_the_order_of_sending(void **state)
{
    (void)state;
    assert_int_equal(tracker_deadline_ns(tracker), INT64_MAX);
    struct tracker_ping answered = send_ping(1, 100);
    send_ping(2, 150);
    send_ping(3, 160);
    struct datagram pong = pong_for(&answered);
    assert_int_equal(tracker_deadline_ns(tracker), 1100);
    assert_int_equal(tracker_expire(tracker, 1099), -1);
    assert_int_equal(kind_of(1, &pong, 1099), TRACKER_ANSWERED);
    assert_int_equal(tracker_deadline_ns(tracker), 1150);
    assert_int_equal(tracker_expire(tracker, 1200), 2);
    assert_int_equal(tracker_expire(tracker, 1200), 3);
    assert_int_equal(tracker_expire(tracker, INT64_MAX), -1);
}

static void a_late_answer_is_late_whether_its_deadline_was_seen_or_not(void **state)
{
    struct tracker_ping first = send_ping(0, 100), second = send_ping(0, 500), found;
    struct datagram pong = pong_for(&first);
    bool was_in_flight = true;
    (void)state;
    assert_int_equal(tracker_expire(tracker, 1100), 0);
    assert_int_equal(receive(0, &pong, sizeof pong.bytes, 1200, &found, &was_in_flight),
                     TRACKER_LATE);
    assert_false(was_in_flight);
    assert_int_equal(kind_of(0, &pong, 1201), TRACKER_DUPLICATE);
    pong = pong_for(&second);
    assert_int_equal(receive(0, &pong, sizeof pong.bytes, 1500, &found, &was_in_flight),
                     TRACKER_LATE);
    assert_true(was_in_flight);
    assert_int_equal(kind_of(0, &pong, 1500), TRACKER_DUPLICATE);
    assert_int_equal(tracker_in_flight(tracker), 0);
    assert_int_equal(tracker_expire(tracker, INT64_MAX), -1);
}

static void as_many_pings_as_slots_are_in_flight_on_one_flow(void **state)
{
    enum {
        SLOTS = 1024
    };
    static struct tracker_ping pings[SLOTS];
    struct tracker_ping more = {.sent_ns = 100};
    (void)state;
    assert_int_equal(tracker_slots(tracker), SLOTS);
    for (size_t i = 0; i < SLOTS; i++)
        pings[i] = send_ping(0, 100);
    assert_int_equal(tracker_send(tracker, &more), -1);
    for (size_t i = SLOTS; i-- > 0;) {
        struct datagram pong = pong_for(&pings[i]);
        assert_int_equal(kind_of(0, &pong, 200), TRACKER_ANSWERED);
    }
    assert_int_equal(tracker_in_flight(tracker), 0);
}

static void timestamps_never_repeat_and_stay_near_the_clock(void **state)
{
    int64_t last_ns = INT64_MIN;
    (void)state;
    for (int64_t i = 0; i < 100000; i++) {
        struct tracker_ping ping = send_ping(0, i);
        struct datagram pong = pong_for(&ping);
        assert_true(ping.stamp_ns > last_ns);
        assert_true(llabs(ping.stamp_ns - EPOCH_NS - i) < 16);
        assert_int_equal(kind_of(0, &pong, i), TRACKER_ANSWERED);
        last_ns = ping.stamp_ns;
    }
}

static void a_tracker_has_at_least_as_many_slots_as_asked(void **state)
{
    static const uint32_t asked[] = {0, 1, 256, 257, 65536, 65537};
    static const uint32_t expected[] = {256, 256, 256, 512, 65536, 131072};
    (void)state;
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        struct tracker *other = tracker_new(asked[i], TIMEOUT_NS, 0);
        assert_non_null(other);
        assert_int_equal(tracker_slots(other), expected[i]);
        tracker_free(other);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_answer_ends_its_ping_and_no_other),
        TEST(an_answer_counts_once),
        TEST(an_answer_on_another_flow_is_foreign),
        TEST(an_answer_with_any_bit_changed_is_foreign),
        TEST(a_ping_sent_back_or_a_pong_of_another_size_is_foreign),
        TEST(a_withdrawn_ping_has_no_answer),
        TEST(pings_are_lost_in_time_and_in_the_order_of_sending),
        TEST(a_late_answer_is_late_whether_its_deadline_was_seen_or_not),
        TEST(as_many_pings_as_slots_are_in_flight_on_one_flow),
        TEST(timestamps_never_repeat_and_stay_near_the_clock),
        cmocka_unit_test(a_tracker_has_at_least_as_many_slots_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

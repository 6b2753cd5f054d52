/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams from one worker to another. */
#include "support/cmocka.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>

#include "proxy/handover.h"

#define MANY 50000

struct received {
    unsigned count, wrong;
    uint32_t next;
};

static bool is_ready(const struct handovers *handovers, unsigned to)
{
    struct pollfd ready = {.fd = handovers_fd(handovers, to), .events = POLLIN};
    return poll(&ready, 1, 0) == 1;
}

static bool put(struct handovers *handovers, unsigned from, unsigned to, uint32_t number,
                uint32_t bytes)
{
    static _Thread_local uint8_t data[PACKET_MAX_BYTES];
    const struct handover handover = {.token = number, .packet = {.data = data, .bytes = bytes}};
    memset(data, (int)(number & 0xff), bytes);
    return handovers_put(handovers, from, to, &handover);
}

static void check_one(const struct handover *handover, void *user)
{
    struct received *received = user;
    const struct packet *packet = &handover->packet;
    uint8_t expected = (uint8_t)handover->token;
    memset(packet->data - PACKET_HEAD, 0xff, PACKET_HEAD); /* a header fits */
    received->wrong += handover->token != received->next++ || packet->data[0] != expected ||
                       packet->data[packet->bytes - 1] != expected;
    received->count++;
}

static void datagrams_arrive_whole_and_in_order(void **state)
{
    struct handovers *handovers;
    struct received received = {0};
    const uint32_t part = HANDOVER_PART_BYTES;
    const uint32_t sizes[] = {1,
                              part - 1,
                              part,
                              part + 1,
                              part + 2047,
                              100,
                              part + 2048,
                              1000,
                              PACKET_MAX_BYTES,
                              PACKET_MAX_BYTES - 1,
                              1200,
                              part + 2049,
                              part * 9,
                              60000,
                              1};

    (void)state;
    assert_int_equal(handovers_new(&handovers, 3), 0);
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_true(put(handovers, 2, 1, i, sizes[i]));
    assert_false(is_ready(handovers, 1)); /* one wake-up a batch */
    handovers_wake(handovers, 2);
    assert_true(is_ready(handovers, 1));
    assert_false(is_ready(handovers, 0));
    handovers_take(handovers, 1, check_one, &received);
    assert_int_equal(received.count, sizeof sizes / sizeof sizes[0]);
    assert_int_equal(received.wrong, 0);
    assert_false(is_ready(handovers, 1));
    handovers_wake(handovers, 2); /* there is nothing new */
    assert_false(is_ready(handovers, 1));
    handovers_free(handovers);
}

static void what_finds_no_room_is_refused(void **state)
{
    struct handovers *handovers;
    struct received received = {0};

    (void)state;
    assert_int_equal(handovers_new(&handovers, 2), 0);
    for (uint32_t i = 0; i < HANDOVER_QUEUE; i++)
        assert_true(put(handovers, 0, 1, i, 8));
    assert_false(put(handovers, 0, 1, HANDOVER_QUEUE, 8));
    assert_true(put(handovers, 1, 0, 0, 8)); /* another queue */
    handovers_take(handovers, 1, check_one, &received);
    assert_int_equal(received.count, HANDOVER_QUEUE);
    assert_int_equal(received.wrong, 0);
    assert_true(put(handovers, 0, 1, HANDOVER_QUEUE, 8));
    for (uint32_t i = 1; i < HANDOVER_QUEUE - 10; i++)
        assert_true(put(handovers, 0, 1, HANDOVER_QUEUE + i, 8));
    assert_false(put(handovers, 0, 1, 0, 60000)); /* it is refused whole */
    handovers_take(handovers, 1, check_one, &received);
    assert_int_equal(received.wrong, 0);
    handovers_free(handovers);
}

static void *write_many(void *user)
{
    struct handovers *handovers = user;
    for (uint32_t i = 0; i < MANY;) {
        i += put(handovers, 0, 1, i, 8);
        handovers_wake(handovers, 0);
    }
    return NULL;
}

static void a_reader_that_sleeps_misses_none(void **state)
{
    struct handovers *handovers;
    struct received received = {0};
    pthread_t writer;

    (void)state;
    assert_int_equal(handovers_new(&handovers, 2), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_many, handovers), 0);
    while (received.count < MANY) {
        struct pollfd ready = {.fd = handovers_fd(handovers, 1), .events = POLLIN};
        assert_int_equal(poll(&ready, 1, 20000), 1);
        handovers_take(handovers, 1, check_one, &received);
    }
    pthread_join(writer, NULL);
    assert_int_equal(received.wrong, 0);
    handovers_free(handovers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_arrive_whole_and_in_order),
        cmocka_unit_test(what_finds_no_room_is_refused),
        cmocka_unit_test(a_reader_that_sleeps_misses_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

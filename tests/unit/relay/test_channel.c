/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/channel.h"
#include "support/random.h"

#define MS INT64_C(1000000)

static void assert_sums_agree(const struct relay_counts *counts)
{
    assert_int_equal(counts->received + counts->duplicated, counts->forwarded + counts->lost +
                                                                counts->dropped_rate +
                                                                counts->dropped_queue);
    assert_int_equal(counts->dropped_queue,
                     counts->queue_full + counts->no_client + counts->send_errors + counts->unsent);
}

static size_t offer(struct relay_channel *channel, struct impair_stream *stream, size_t bytes,
                    int64_t arrival_ns)
{
    static const uint8_t data[65507];
    const struct relay_payload payload = {.data = data, .bytes = bytes, .header_bytes = 28};
    return relay_channel_offer(channel, stream, NULL, &payload, arrival_ns);
}

/* Takes what is due, and says that every third could not be sent. */
static void send_due(struct relay_channel *channel, int64_t now_ns)
{
    struct relay_datagram *datagram;
    for (size_t i = 0; (datagram = relay_channel_pop(channel, now_ns)) != NULL; i++) {
        relay_channel_sent(channel, i % 3 != 0, i % 3 == 0);
        free(datagram);
    }
}

static void sums_agree_after_every_step_whatever_happens(void **state)
{
    const struct impair_settings settings = {.delay_ns = 50 * MS,
                                             .jitter_ns = 50 * MS,
                                             .loss = 0.1,
                                             .duplicate = 0.2,
                                             .reorder = 0.1,
                                             .rate_bits = 20000000};
    struct relay_channel channel;
    struct impair_stream stream;
    uint64_t random = 1, now_ns = 0, queued = 0;
    (void)state;
    assert_int_equal(relay_channel_init(&channel, &settings), 0);
    impair_stream_init(&stream, 1, 0, RELAY_UP);
    for (int i = 0; i < 30000; i++) {
        now_ns += random_next(&random) % 500000;
        if (i % 100 == 0)
            relay_channel_refuse(&channel);
        else
            queued += offer(&channel, &stream, random_next(&random) % 2000, (int64_t)now_ns);
        if (i % 500 == 0)
            send_due(&channel, (int64_t)now_ns);
        struct relay_counts counts = relay_channel_counts(&channel);
        assert_sums_agree(&counts);
        assert_int_equal(queued, counts.forwarded + counts.send_errors + counts.unsent);
    }
    struct relay_counts counts = relay_channel_counts(&channel);
    assert_int_equal(counts.received, 30000);
    assert_int_equal(counts.no_client, 300);
    assert_true(counts.lost > 0 && counts.duplicated > 0 && counts.reordered > 0);
    assert_true(counts.dropped_rate > 0 && counts.send_errors > 0 && counts.unsent > 0);
    relay_channel_fini(&channel);
}

static void counts_are_those_of_the_choices_of_the_seed(void **state)
{
    const struct impair_settings settings = {
        .delay_ns = MS, .loss = 0.2, .duplicate = 0.3, .reorder = 0.4};
    struct relay_channel channel;
    struct impair_stream stream, model;
    uint64_t lost = 0, duplicated = 0, reordered = 0;
    (void)state;
    assert_int_equal(relay_channel_init(&channel, &settings), 0);
    impair_stream_init(&stream, 9, 2, RELAY_DOWN);
    model = stream;
    for (int i = 0; i < 5000; i++) {
        struct impair_choice choice = impair_choose(&settings, &model);
        lost += choice.lost;
        duplicated += !choice.lost && choice.duplicated;
        reordered += !choice.lost && choice.reordered;
        offer(&channel, &stream, 100, i);
    }
    struct relay_counts counts = relay_channel_counts(&channel);
    assert_int_equal(counts.lost, lost);
    assert_int_equal(counts.duplicated, duplicated);
    assert_int_equal(counts.reordered, reordered);
    assert_int_equal(counts.unsent, 5000 - lost + duplicated);
    relay_channel_fini(&channel);
}

/* Offers datagrams of one size, of which so many fit. */
static void check_full(size_t bytes, uint64_t offered, uint64_t fitting)
{
    const struct impair_settings settings = {.delay_ns = MS};
    struct relay_channel channel;
    struct impair_stream stream;
    assert_int_equal(relay_channel_init(&channel, &settings), 0);
    impair_stream_init(&stream, 1, 0, RELAY_UP);
    for (uint64_t i = 0; i < offered; i++)
        assert_int_equal(offer(&channel, &stream, bytes, 0), i < fitting);
    struct relay_counts counts = relay_channel_counts(&channel);
    assert_int_equal(counts.queue_full, offered - fitting);
    assert_int_equal(counts.unsent, fitting);
    assert_int_equal(counts.dropped_queue, offered);
    assert_sums_agree(&counts);
    relay_channel_fini(&channel);
}

static void a_queue_holds_ten_thousand_and_what_is_beyond_is_counted(void **state)
{
    (void)state;
    check_full(10, 10500, 10000);
}

static void a_queue_holds_sixteen_mebibytes_and_what_is_beyond_is_counted(void **state)
{
    (void)state;
    check_full(65507, 300, 256);
}

static void a_delay_counts_from_the_arrival_and_a_reordered_one_overtakes(void **state)
{
    struct relay_channel channel;
    struct impair_stream stream;
    (void)state;
    assert_int_equal(relay_channel_init(&channel, &(struct impair_settings){.delay_ns = 5 * MS}),
                     0);
    impair_stream_init(&stream, 1, 0, RELAY_UP);
    offer(&channel, &stream, 10, 100 * MS);
    assert_int_equal(relay_channel_due_ns(&channel), 105 * MS);
    channel.settings.reorder = 1;
    offer(&channel, &stream, 11, 101 * MS);
    assert_int_equal(relay_channel_due_ns(&channel), 101 * MS);
    struct relay_datagram *first = relay_channel_pop(&channel, 101 * MS);
    assert_non_null(first);
    assert_int_equal(first->bytes, 11);
    assert_null(relay_channel_pop(&channel, 105 * MS - 1));
    free(first);
    relay_channel_fini(&channel);
}

static void the_rate_counts_headers_and_copies(void **state)
{
    const struct impair_settings settings = {.duplicate = 1, .rate_bits = 1000000};
    struct relay_channel channel;
    struct impair_stream stream;
    (void)state;
    assert_int_equal(relay_channel_init(&channel, &settings), 0);
    impair_stream_init(&stream, 1, 0, RELAY_UP);
    for (int i = 0; i < 200; i++)
        offer(&channel, &stream, 125 - 28, MS);
    struct relay_counts counts = relay_channel_counts(&channel);
    assert_int_equal(counts.unsent, 101);
    assert_int_equal(counts.dropped_rate, 400 - 101);
    assert_sums_agree(&counts);
    relay_channel_fini(&channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_agree_after_every_step_whatever_happens),
        cmocka_unit_test(counts_are_those_of_the_choices_of_the_seed),
        cmocka_unit_test(a_queue_holds_ten_thousand_and_what_is_beyond_is_counted),
        cmocka_unit_test(a_queue_holds_sixteen_mebibytes_and_what_is_beyond_is_counted),
        cmocka_unit_test(a_delay_counts_from_the_arrival_and_a_reordered_one_overtakes),
        cmocka_unit_test(the_rate_counts_headers_and_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/wire.h>

#include "support/cmocka.h"
#include "support/random.h"
#include "support/wire_rules.h"

#include <stdio.h>

#define TIMESTAMP INT64_C(0x63b6e957)

static const uint8_t PING[QCMP_PING_BYTES] = {
    0x51, 0x4c, 0x4b, 0x4e, 0x00, 0x00, 0x00, 0x09,      /* QLKN, version, command, length */
    0xbf, 0x00, 0x00, 0x00, 0x00, 0x63, 0xb6, 0xe9, 0x57 /* nonce, client timestamp */
};

static const uint8_t PONG[QCMP_PONG_BYTES] = {
    0x51, 0x4c, 0x4b, 0x4e, 0x00, 0x01, 0x00, 0x19,       /* QLKN, version, command, length */
    0xbf, 0x00, 0x00, 0x00, 0x00, 0x63, 0xb6, 0xe9, 0x57, /* nonce, client timestamp */
    0x00, 0x00, 0x00, 0x00, 0x63, 0xb6, 0xe9, 0x57,       /* server start */
    0x00, 0x00, 0x00, 0x00, 0x63, 0xb6, 0xe9, 0x57        /* server transmit */
};

/* A pong in which no two bytes are alike, so that a field read from the wrong place shows. */
static const uint8_t DISTINCT_PONG[QCMP_PONG_BYTES] = {
    0x51, 0x4c, 0x4b, 0x4e, 0x00, 0x01, 0x00, 0x19,       /* QLKN, version, command, length */
    0xff, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, /* nonce, client timestamp */
    0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,       /* server start */
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27        /* server transmit */
};

static const int64_t EXTREMES[] = {INT64_MIN, INT64_MIN + 1, -1,        0,
                                   1,         TIMESTAMP,     INT64_MAX, INT64_MAX - 1};

static void assert_fault(const uint8_t *data, size_t bytes, struct qcmp_wire_fault expected)
{
    struct qcmp_packet packet;
    struct qcmp_wire_fault fault;

    assert_int_equal(qcmp_packet_decode(data, bytes, &packet, &fault), expected.error);
    assert_true(rules_same_fault(&fault, &expected));
}

static void assert_text(struct qcmp_wire_fault fault, const char *expected)
{
    char text[100];

    assert_int_equal(qcmp_wire_fault_format(&fault, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
}

static void decode_reads_the_ping_of_the_specification(void **state)
{
    struct qcmp_packet packet;

    (void)state;
    assert_int_equal(qcmp_packet_decode(PING, sizeof PING, &packet, NULL), QCMP_PING);
    assert_int_equal(packet.kind, QCMP_PING);
    assert_int_equal(packet.nonce, 0xbf);
    assert_true(packet.client_ns == TIMESTAMP);
    assert_true(packet.server_start_ns == 0);
    assert_true(packet.server_transmit_ns == 0);
}

static void decode_reads_the_pong_of_the_specification(void **state)
{
    struct qcmp_packet packet;

    (void)state;
    assert_int_equal(qcmp_packet_decode(PONG, sizeof PONG, &packet, NULL), QCMP_PONG);
    assert_int_equal(packet.kind, QCMP_PONG);
    assert_int_equal(packet.nonce, 0xbf);
    assert_true(packet.client_ns == TIMESTAMP);
    assert_true(packet.server_start_ns == TIMESTAMP);
    assert_true(packet.server_transmit_ns == TIMESTAMP);
}

static void decode_reads_each_field_from_its_place(void **state)
{
    struct qcmp_packet packet;

    (void)state;
    assert_int_equal(qcmp_packet_decode(DISTINCT_PONG, sizeof DISTINCT_PONG, &packet, NULL),
                     QCMP_PONG);
    assert_int_equal(packet.nonce, 0xff);
    assert_true(packet.client_ns == -INT64_C(0x7f7e7d7c7b7a7979));
    assert_true(packet.server_start_ns == -INT64_C(0x6f6e6d6c6b6a6969));
    assert_true(packet.server_transmit_ns == INT64_C(0x2021222324252627));
}

static void encode_writes_the_vectors_of_the_specification(void **state)
{
    const struct qcmp_packet ping = {.kind = QCMP_PING, .nonce = 0xbf, .client_ns = TIMESTAMP};
    const struct qcmp_packet pong = {.kind = QCMP_PONG,
                                     .nonce = 0xbf,
                                     .client_ns = TIMESTAMP,
                                     .server_start_ns = TIMESTAMP,
                                     .server_transmit_ns = TIMESTAMP};
    uint8_t buffer[QCMP_MAX_BYTES];

    (void)state;
    assert_int_equal(qcmp_packet_encode(&ping, buffer, sizeof buffer), QCMP_PING_BYTES);
    assert_memory_equal(buffer, PING, sizeof PING);
    assert_int_equal(qcmp_packet_encode(&pong, buffer, sizeof buffer), QCMP_PONG_BYTES);
    assert_memory_equal(buffer, PONG, sizeof PONG);
}

static void decode_says_foreign_below_four_bytes_or_with_another_magic(void **state)
{
    struct qcmp_packet packet;
    uint8_t data[QCMP_PING_BYTES];

    (void)state;
    assert_int_equal(qcmp_packet_decode(NULL, 0, &packet, NULL), QCMP_FOREIGN);
    for (size_t bytes = 0; bytes < 4; bytes++)
        assert_int_equal(qcmp_packet_decode(PING, bytes, &packet, NULL), QCMP_FOREIGN);
    for (size_t at = 0; at < 4; at++) {
        memcpy(data, PING, sizeof data);
        data[at] ^= 0x20;
        assert_int_equal(qcmp_packet_decode(data, sizeof data, &packet, NULL), QCMP_FOREIGN);
        assert_int_equal(qcmp_packet_decode(data, 4, &packet, NULL), QCMP_FOREIGN);
    }
}

static void decode_rejects_an_unknown_version_with_its_value(void **state)
{
    uint8_t data[QCMP_PING_BYTES];

    (void)state;
    memcpy(data, PING, sizeof data);
    data[4] = 0xff;
    assert_fault(data, sizeof data,
                 (struct qcmp_wire_fault){.error = QCMP_ERROR_UNKNOWN_VERSION, .value = 0xff});
}

static void decode_rejects_an_invalid_command_with_its_value(void **state)
{
    uint8_t data[QCMP_PING_BYTES];

    (void)state;
    memcpy(data, PING, sizeof data);
    data[5] = 0xff;
    assert_fault(data, sizeof data,
                 (struct qcmp_wire_fault){.error = QCMP_ERROR_INVALID_COMMAND, .value = 0xff});
}

static void decode_rejects_the_body_of_a_pong_under_the_command_of_a_ping(void **state)
{
    uint8_t data[QCMP_PONG_BYTES];

    (void)state;
    memcpy(data, PONG, sizeof data);
    data[5] = 0;
    assert_fault(
        data, sizeof data,
        (struct qcmp_wire_fault){
            .error = QCMP_ERROR_LENGTH_MISMATCH, .stated = 25, .expected = 9, .available = 25});
}

static void decode_rejects_the_body_of_a_ping_under_the_command_of_a_pong(void **state)
{
    uint8_t data[QCMP_PING_BYTES];

    (void)state;
    memcpy(data, PING, sizeof data);
    data[5] = 1;
    assert_fault(
        data, sizeof data,
        (struct qcmp_wire_fault){
            .error = QCMP_ERROR_LENGTH_MISMATCH, .stated = 9, .expected = 25, .available = 9});
}

static void decode_looks_at_the_version_before_the_command_and_the_length(void **state)
{
    uint8_t data[QCMP_PING_BYTES];

    (void)state;
    memcpy(data, PING, sizeof data);
    data[4] = 1;
    data[5] = 2;
    data[7] = 0;
    assert_fault(data, sizeof data,
                 (struct qcmp_wire_fault){.error = QCMP_ERROR_UNKNOWN_VERSION, .value = 1});
    data[4] = 0;
    assert_fault(data, sizeof data,
                 (struct qcmp_wire_fault){.error = QCMP_ERROR_INVALID_COMMAND, .value = 2});
}

static void decode_looks_at_the_least_length_before_the_version(void **state)
{
    uint8_t data[QCMP_PING_BYTES];

    (void)state;
    memcpy(data, PING, sizeof data);
    data[4] = 0xff;
    assert_fault(
        data, 16,
        (struct qcmp_wire_fault){.error = QCMP_ERROR_LENGTH_MISMATCH, .stated = 9, .available = 8});
}

static void decode_says_stated_0_where_the_length_field_is_cut(void **state)
{
    (void)state;
    for (size_t bytes = 4; bytes < 8; bytes++)
        assert_fault(PONG, bytes, (struct qcmp_wire_fault){.error = QCMP_ERROR_LENGTH_MISMATCH});
    assert_fault(PONG, 8,
                 (struct qcmp_wire_fault){.error = QCMP_ERROR_LENGTH_MISMATCH, .stated = 25});
}

static void decode_rejects_every_truncation(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < sizeof PING; bytes++) {
        assert_true(rules_judge(PING, bytes, &(struct qcmp_wire_fault){0}) <= 0);
        assert_true(rules_hold(PING, bytes));
    }
    for (size_t bytes = 0; bytes < sizeof PONG; bytes++) {
        assert_true(rules_judge(PONG, bytes, &(struct qcmp_wire_fault){0}) <= 0);
        assert_true(rules_hold(PONG, bytes));
    }
}

static void decode_rejects_every_longer_datagram_without_reading_past_what_was_kept(void **state)
{
    uint8_t data[QCMP_MAX_BYTES] = {0};

    (void)state;
    memcpy(data, PING, sizeof PING);
    for (size_t bytes = sizeof PING + 1; bytes <= 2000; bytes++) {
        assert_true(rules_judge(data, bytes, &(struct qcmp_wire_fault){0}) < 0);
        assert_true(rules_hold(data, bytes));
    }
    for (size_t bytes = sizeof PONG + 1; bytes <= 2000; bytes++) {
        assert_true(rules_judge(PONG, bytes, &(struct qcmp_wire_fault){0}) < 0);
        assert_true(rules_hold(PONG, bytes));
    }
    assert_true(rules_hold(PONG, SIZE_MAX));
}

static void assert_every_corruption_follows_the_rules(const uint8_t *packet, size_t bytes)
{
    uint8_t data[QCMP_MAX_BYTES];

    for (size_t at = 0; at < bytes; at++) {
        for (unsigned change = 1; change < 256; change++) {
            memcpy(data, packet, bytes);
            data[at] = (uint8_t)(data[at] ^ change);

            const int result = rules_judge(data, bytes, &(struct qcmp_wire_fault){0});

            assert_int_equal(result > 0, at >= QCMP_HEADER_BYTES);
            assert_true(rules_hold(data, bytes));
        }
    }
}

static void decode_judges_every_single_byte_corruption_by_the_rules(void **state)
{
    (void)state;
    assert_every_corruption_follows_the_rules(PING, sizeof PING);
    assert_every_corruption_follows_the_rules(PONG, sizeof PONG);
}

static void decode_judges_random_datagrams_by_the_rules(void **state)
{
    uint64_t seed = 1;
    uint8_t data[64];

    (void)state;
    for (int i = 0; i < 200000; i++) {
        for (size_t at = 0; at < sizeof data; at += 8) {
            const uint64_t number = random_next(&seed);

            memcpy(data + at, &number, sizeof number);
        }
        /* Mostly a right start, so that the later rules are reached. */
        memcpy(data, PONG, random_next(&seed) % 9);
        assert_true(rules_hold(data, random_next(&seed) % (sizeof data + 1)));
    }
}

static void assert_round_trip(const struct qcmp_packet *packet)
{
    uint8_t buffer[QCMP_MAX_BYTES];
    struct qcmp_packet back;
    const int bytes = qcmp_packet_encode(packet, buffer, sizeof buffer);

    assert_int_equal(bytes, packet->kind == QCMP_PING ? QCMP_PING_BYTES : QCMP_PONG_BYTES);
    assert_int_equal(qcmp_packet_decode(buffer, (size_t)bytes, &back, NULL), (int)packet->kind);
    assert_true(rules_same_packet(&back, packet));
}

static void packets_survive_a_round_trip_with_extreme_values(void **state)
{
    const size_t count = sizeof EXTREMES / sizeof *EXTREMES;

    (void)state;
    for (size_t i = 0; i < count * count * count; i++) {
        const struct qcmp_packet pong = {.kind = QCMP_PONG,
                                         .nonce = (uint8_t)i,
                                         .client_ns = EXTREMES[i % count],
                                         .server_start_ns = EXTREMES[i / count % count],
                                         .server_transmit_ns = EXTREMES[i / count / count]};
        const struct qcmp_packet ping = {
            .kind = QCMP_PING, .nonce = pong.nonce, .client_ns = pong.client_ns};

        assert_round_trip(&pong);
        assert_round_trip(&ping);
    }
}

static void packets_survive_a_round_trip_with_random_values(void **state)
{
    uint64_t seed = 2;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        const struct qcmp_packet pong = {.kind = QCMP_PONG,
                                         .nonce = (uint8_t)random_next(&seed),
                                         .client_ns = (int64_t)random_next(&seed),
                                         .server_start_ns = (int64_t)random_next(&seed),
                                         .server_transmit_ns = (int64_t)random_next(&seed)};

        assert_round_trip(&pong);
    }
}

static void encode_ignores_the_server_timestamps_of_a_ping(void **state)
{
    const struct qcmp_packet ping = {.kind = QCMP_PING,
                                     .nonce = 0xbf,
                                     .client_ns = TIMESTAMP,
                                     .server_start_ns = -1,
                                     .server_transmit_ns = -1};
    uint8_t buffer[QCMP_MAX_BYTES];

    (void)state;
    memset(buffer, 0xa5, sizeof buffer);
    assert_int_equal(qcmp_packet_encode(&ping, buffer, sizeof buffer), QCMP_PING_BYTES);
    assert_memory_equal(buffer, PING, sizeof PING);
    assert_int_equal(buffer[QCMP_PING_BYTES], 0xa5);
}

static void encode_needs_exactly_the_room_of_the_packet(void **state)
{
    const enum qcmp_kind kinds[] = {QCMP_PING, QCMP_PONG};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const size_t size = kinds[i] == QCMP_PING ? QCMP_PING_BYTES : QCMP_PONG_BYTES;

        for (size_t capacity = 0; capacity <= size; capacity++) {
            uint8_t *buffer = capacity > 0 ? malloc(capacity) : NULL;
            const struct qcmp_packet packet = {.kind = kinds[i]};

            if (capacity > 0)
                memset(buffer, 0xa5, capacity);
            assert_int_equal(qcmp_packet_encode(&packet, buffer, capacity),
                             capacity < size ? QCMP_ERROR_BUFFER_TOO_SMALL : (int)size);
            for (size_t at = 0; capacity < size && at < capacity; at++)
                assert_int_equal(buffer[at], 0xa5);
            free(buffer);
        }
    }
}

static void encode_rejects_what_is_neither_ping_nor_pong(void **state)
{
    const struct qcmp_packet packet = {.kind = QCMP_FOREIGN};
    uint8_t buffer[QCMP_MAX_BYTES];

    (void)state;
    memset(buffer, 0xa5, sizeof buffer);
    assert_int_equal(qcmp_packet_encode(&packet, buffer, sizeof buffer),
                     QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_packet_encode(&packet, buffer, 0), QCMP_ERROR_INVALID_ARGUMENT);
    for (size_t at = 0; at < sizeof buffer; at++)
        assert_int_equal(buffer[at], 0xa5);
}

static void timestamp_encode_replaces_the_transmit_timestamp_of_a_pong(void **state)
{
    const uint8_t expected[8] = {0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27};
    uint8_t data[QCMP_PONG_BYTES];

    (void)state;
    memcpy(data, PONG, sizeof data);
    qcmp_timestamp_encode(INT64_C(0x2021222324252627), data + QCMP_TRANSMIT_OFFSET);
    assert_memory_equal(data, PONG, QCMP_TRANSMIT_OFFSET);
    assert_memory_equal(data + QCMP_TRANSMIT_OFFSET, expected, sizeof expected);
}

static void a_fault_reads_as_one_line_with_its_values(void **state)
{
    (void)state;
    assert_text((struct qcmp_wire_fault){.error = QCMP_ERROR_UNKNOWN_VERSION, .value = 255},
                "unknown version: 255");
    assert_text((struct qcmp_wire_fault){.error = QCMP_ERROR_INVALID_COMMAND, .value = 7},
                "invalid command: 7");
    assert_text(
        (struct qcmp_wire_fault){
            .error = QCMP_ERROR_LENGTH_MISMATCH, .stated = 25, .expected = 9, .available = 25},
        "length mismatch: stated 25, available 25, a ping has 9");
    assert_text(
        (struct qcmp_wire_fault){
            .error = QCMP_ERROR_LENGTH_MISMATCH, .stated = 65535, .expected = 25, .available = 0},
        "length mismatch: stated 65535, available 0, a pong has 25");
    assert_text((struct qcmp_wire_fault){.error = QCMP_ERROR_LENGTH_MISMATCH},
                "length mismatch: stated 0, available 0");
}

static void a_fault_can_have_the_largest_values(void **state)
{
    char expected[100];

    (void)state;
    snprintf(expected, sizeof expected, "length mismatch: stated 0, available %zu", SIZE_MAX);
    assert_text(
        (struct qcmp_wire_fault){.error = QCMP_ERROR_LENGTH_MISMATCH, .available = SIZE_MAX},
        expected);
}

static void a_fault_is_cut_to_any_capacity_and_terminated(void **state)
{
    const struct qcmp_wire_fault fault = {.error = QCMP_ERROR_UNKNOWN_VERSION, .value = 255};
    const char whole[] = "unknown version: 255";

    (void)state;
    assert_int_equal(qcmp_wire_fault_format(&fault, NULL, 0), sizeof whole - 1);
    for (size_t capacity = 1; capacity <= sizeof whole + 1; capacity++) {
        char *text = malloc(capacity);
        const size_t kept = capacity < sizeof whole ? capacity - 1 : sizeof whole - 1;

        assert_non_null(text);
        assert_int_equal(qcmp_wire_fault_format(&fault, text, capacity), sizeof whole - 1);
        assert_memory_equal(text, whole, kept);
        assert_int_equal(text[kept], '\0');
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decode_reads_the_ping_of_the_specification),
        cmocka_unit_test(decode_reads_the_pong_of_the_specification),
        cmocka_unit_test(decode_reads_each_field_from_its_place),
        cmocka_unit_test(encode_writes_the_vectors_of_the_specification),
        cmocka_unit_test(decode_says_foreign_below_four_bytes_or_with_another_magic),
        cmocka_unit_test(decode_rejects_an_unknown_version_with_its_value),
        cmocka_unit_test(decode_rejects_an_invalid_command_with_its_value),
        cmocka_unit_test(decode_rejects_the_body_of_a_pong_under_the_command_of_a_ping),
        cmocka_unit_test(decode_rejects_the_body_of_a_ping_under_the_command_of_a_pong),
        cmocka_unit_test(decode_looks_at_the_version_before_the_command_and_the_length),
        cmocka_unit_test(decode_looks_at_the_least_length_before_the_version),
        cmocka_unit_test(decode_says_stated_0_where_the_length_field_is_cut),
        cmocka_unit_test(decode_rejects_every_truncation),
        cmocka_unit_test(decode_rejects_every_longer_datagram_without_reading_past_what_was_kept),
        cmocka_unit_test(decode_judges_every_single_byte_corruption_by_the_rules),
        cmocka_unit_test(decode_judges_random_datagrams_by_the_rules),
        cmocka_unit_test(packets_survive_a_round_trip_with_extreme_values),
        cmocka_unit_test(packets_survive_a_round_trip_with_random_values),
        cmocka_unit_test(encode_ignores_the_server_timestamps_of_a_ping),
        cmocka_unit_test(encode_needs_exactly_the_room_of_the_packet),
        cmocka_unit_test(encode_rejects_what_is_neither_ping_nor_pong),
        cmocka_unit_test(timestamp_encode_replaces_the_transmit_timestamp_of_a_pong),
        cmocka_unit_test(a_fault_reads_as_one_line_with_its_values),
        cmocka_unit_test(a_fault_can_have_the_largest_values),
        cmocka_unit_test(a_fault_is_cut_to_any_capacity_and_terminated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

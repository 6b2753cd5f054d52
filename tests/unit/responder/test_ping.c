#include "support/cmocka.h"

#include <string.h>

#include <qcmp/wire.h>

#include "responder/ping.h"

static const uint8_t PING[QCMP_PING_BYTES] = {0x51, 0x4c, 0x4b, 0x4e, 0,    0,    0,    9,   0xbf,
                                              0,    0,    0,    0,    0x63, 0xb6, 0xe9, 0x57};

static bool decodes_to_a_ping(const uint8_t *data, size_t bytes)
{
    struct qcmp_packet packet;
    return qcmp_packet_decode(data, bytes, &packet, NULL) == QCMP_PING;
}

static void a_ping_is_what_decodes_to_one_at_every_size(void **state)
{
    uint8_t data[QCMP_MAX_BYTES + 8] = {0};
    (void)state;
    memcpy(data, PING, sizeof PING);
    for (size_t bytes = 0; bytes <= sizeof data; bytes++)
        assert_int_equal(ping_is_valid(data, bytes), decodes_to_a_ping(data, bytes));
    assert_true(ping_is_valid(data, sizeof PING));
}

static void a_ping_is_what_decodes_to_one_with_every_bit_changed(void **state)
{
    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof PING; bit++) {
        uint8_t data[QCMP_MAX_BYTES] = {0};
        memcpy(data, PING, sizeof PING);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(ping_is_valid(data, sizeof PING), decodes_to_a_ping(data, sizeof PING));
    }
}

static void the_answer_is_the_pong_that_encodes_the_same(void **state)
{
    static const int64_t starts_ns[] = {0, 1, -1, INT64_MIN, INT64_MAX, 0x0102030405060708};
    uint8_t expected[QCMP_PONG_BYTES], pong[QCMP_PONG_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof starts_ns / sizeof starts_ns[0]; i++) {
        struct qcmp_packet packet;
        assert_int_equal(qcmp_packet_decode(PING, sizeof PING, &packet, NULL), QCMP_PING);
        packet.kind = QCMP_PONG;
        packet.server_start_ns = starts_ns[i];
        assert_int_equal(qcmp_packet_encode(&packet, expected, sizeof expected), sizeof expected);
        ping_answer(PING, starts_ns[i], pong);
        assert_memory_equal(pong, expected, sizeof pong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ping_is_what_decodes_to_one_at_every_size),
        cmocka_unit_test(a_ping_is_what_decodes_to_one_with_every_bit_changed),
        cmocka_unit_test(the_answer_is_the_pong_that_encodes_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

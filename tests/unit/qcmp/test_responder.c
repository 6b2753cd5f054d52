/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <qcmp/wire.h>

#include "qcmp/responder.h"
#include "support/answer_one.h"

static const uint8_t PING[QCMP_PING_BYTES] = {0x51, 0x4c, 0x4b, 0x4e, 0,    0,    0,    9,   0xbf,
                                              0,    0,    0,    0,    0x63, 0xb6, 0xe9, 0x57};

static const struct responder_rules EVERYBODY;

static struct in6_addr ipv6(const char *text)
{
    struct in6_addr address;
    assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
    return address;
}

/* Asks with the ping's bytes unless the caller changed them. */
static enum outcome ask_from(const char *source, uint16_t port, const char *destination)
{
    struct in6_addr from = ipv6(source), to = ipv6(destination);
    struct asked question = {.data = PING,
                             .bytes = sizeof PING,
                             .source = from,
                             .source_port = port,
                             .destination = to,
                             .received_ns = 1};
    uint8_t pong[QCMP_PONG_BYTES];
    return answer_one(&question, &EVERYBODY, &(struct responder_turn){0}, pong);
}

static enum outcome ask(const uint8_t *data, size_t bytes, uint8_t pong[QCMP_PONG_BYTES])
{
    struct in6_addr from = ipv6("::ffff:192.0.2.7"), to = ipv6("::ffff:192.0.2.1");
    struct asked question = {.data = data,
                             .bytes = bytes,
                             .source = from,
                             .source_port = 4000,
                             .destination = to,
                             .received_ns = 0x0102030405060708};
    return answer_one(&question, &EVERYBODY, &(struct responder_turn){0}, pong);
}

static void answers_a_ping_with_every_nonce(void **state)
{
    static const uint8_t expected[QCMP_PONG_BYTES] = {
        0x51, 0x4c, 0x4b, 0x4e, 0, 1, 0, 25, 0xbf, 0, 0, 0, 0, 0x63, 0xb6, 0xe9, 0x57,
        1,    2,    3,    4,    5, 6, 7, 8,  0,    0, 0, 0, 0, 0,    0,    0};
    uint8_t ping[QCMP_PING_BYTES], pong[QCMP_PONG_BYTES], wanted[QCMP_PONG_BYTES];
    (void)state;
    memcpy(ping, PING, sizeof ping);
    memcpy(wanted, expected, sizeof wanted);
    for (int nonce = 0; nonce < 256; nonce++) {
        ping[8] = wanted[8] = (uint8_t)nonce;
        assert_int_equal(ask(ping, sizeof ping, pong), OUTCOME_VALID);
        assert_memory_equal(pong, wanted, sizeof pong);
    }
}

static void never_answers_a_pong(void **state)
{
    uint8_t answer[QCMP_PONG_BYTES], reply[QCMP_PONG_BYTES];
    (void)state;
    assert_int_equal(ask(PING, sizeof PING, answer), OUTCOME_VALID);
    assert_int_equal(ask(answer, sizeof answer, reply), OUTCOME_UNSUPPORTED);
}

static void tells_what_is_wrong_with_a_datagram(void **state)
{
    uint8_t data[64] = {0}, reply[QCMP_PONG_BYTES];
    (void)state;
    memcpy(data, PING, sizeof PING);
    for (size_t bytes = 0; bytes <= sizeof data; bytes++) {
        enum outcome expected = bytes < 4              ? OUTCOME_FOREIGN
                                : bytes == sizeof PING ? OUTCOME_VALID
                                                       : OUTCOME_LENGTH_MISMATCH;
        assert_int_equal(ask(data, bytes, reply), expected);
    }
    data[4] = 1;
    assert_int_equal(ask(data, sizeof PING, reply), OUTCOME_UNKNOWN_VERSION);
    data[4] = 0;
    data[5] = 2;
    assert_int_equal(ask(data, sizeof PING, reply), OUTCOME_INVALID_COMMAND);
    data[5] = 0;
    data[0] = 'q';
    assert_int_equal(ask(data, sizeof PING, reply), OUTCOME_FOREIGN);
}

static void answers_unicast_addresses_only(void **state)
{
    (void)state;
    assert_int_equal(ask_from("::ffff:192.0.2.7", 1, "::ffff:192.0.2.1"), OUTCOME_VALID);
    assert_int_equal(ask_from("2001:db8::7", 65535, "2001:db8::1"), OUTCOME_VALID);
    assert_int_equal(ask_from("fe80::7", 9, "fe80::1"), OUTCOME_VALID);
    assert_int_equal(ask_from("::1", 9, "::1"), OUTCOME_VALID);

    assert_int_equal(ask_from("2001:db8::7", 0, "2001:db8::1"), OUTCOME_SOURCE_PORT_ZERO);
    static const char *const nobody[] = {"::",
                                         "ff02::1",
                                         "::ffff:0.0.0.0",
                                         "::ffff:0.1.2.3",
                                         "::ffff:224.0.0.1",
                                         "::ffff:239.255.255.255",
                                         "::ffff:255.255.255.255"};
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++) {
        assert_int_equal(ask_from(nobody[i], 9, "2001:db8::1"), OUTCOME_SOURCE_NOT_UNICAST);
        assert_int_equal(ask_from("2001:db8::7", 9, nobody[i]), OUTCOME_DESTINATION_NOT_UNICAST);
    }
}

static void refuses_what_is_too_old(void **state)
{
    struct in6_addr from = ipv6("::ffff:192.0.2.7"), to = ipv6("::ffff:192.0.2.1");
    struct asked question = {.data = PING,
                             .bytes = sizeof PING,
                             .source = from,
                             .source_port = 9,
                             .destination = to,
                             .received_ns = 99};
    struct responder_turn turn = {.oldest_ns = 100};
    uint8_t pong[QCMP_PONG_BYTES];
    (void)state;
    assert_int_equal(answer_one(&question, &EVERYBODY, &turn, pong), OUTCOME_TOO_OLD);
    question.received_ns = 100;
    assert_int_equal(answer_one(&question, &EVERYBODY, &turn, pong), OUTCOME_VALID);
}

/* Rules with room for two pings of a source, and one prefix that may not ask. */
struct limited {
    struct prefix_list allow, deny;
    struct access *access;
    struct guard_parameters limits;
    struct responder_rules rules;
    struct responder_turn turn;
};

static void limited_init(struct limited *l, uint32_t replies, uint32_t leak)
{
    const struct guard_rules rules = {.replies_per_second = replies,
                                      .ipv4 = {.items = {{32, 1, 2}}, .count = 1},
                                      .ipv6 = {.items = {{64, 1, 2}}, .count = 1},
                                      .leak = leak};
    const struct siphash_key key = {{3, 4}};
    struct prefix denied;
    *l = (struct limited){.turn = {.now_ns = 1000000000000, .random = 5}};
    assert_int_equal(prefix_parse("198.51.100.0/24", &denied), 0);
    assert_int_equal(prefix_list_add(&l->deny, &denied), 0);
    assert_int_equal(access_new(&l->access, &l->allow, &l->deny), 0);
    guard_parameters_init(&l->limits, &rules, &key);
    l->rules = (struct responder_rules){l->access, &l->limits, guard_table_new()};
    assert_non_null(l->rules.table);
}

static void limited_fini(struct limited *l)
{
    guard_table_free(l->rules.table);
    access_free(l->access);
    prefix_list_fini(&l->deny);
}

static enum outcome ask_limited(struct limited *l, const char *source, const uint8_t *data,
                                size_t bytes)
{
    struct in6_addr from = ipv6(source);
    struct asked question = {.data = data,
                             .bytes = bytes,
                             .source = from,
                             .source_port = 9,
                             .destination = in6addr_loopback};
    uint8_t pong[QCMP_PONG_BYTES];
    return answer_one(&question, &l->rules, &l->turn, pong);
}

static void who_may_not_ask_is_refused_before_anything_is_decoded(void **state)
{
    struct limited l;
    (void)state;
    limited_init(&l, 1000, 0);
    assert_int_equal(ask_limited(&l, "::ffff:198.51.100.7", PING, sizeof PING),
                     OUTCOME_ACCESS_DENIED);
    assert_int_equal(ask_limited(&l, "::ffff:198.51.100.7", PING, 3), OUTCOME_ACCESS_DENIED);
    assert_int_equal(ask_limited(&l, "::ffff:198.51.101.7", PING, sizeof PING), OUTCOME_VALID);
    limited_fini(&l);
}

static void a_source_over_its_limit_is_refused(void **state)
{
    struct limited l;
    (void)state;
    limited_init(&l, 1000, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(ask_limited(&l, "2001:db8::1", PING, sizeof PING), OUTCOME_VALID);
    assert_int_equal(ask_limited(&l, "2001:db8::1", PING, sizeof PING), OUTCOME_RATE_LIMITED);
    assert_int_equal(ask_limited(&l, "2001:db8:1::1", PING, sizeof PING), OUTCOME_VALID);
    l.turn.now_ns += 1000000000;
    assert_int_equal(ask_limited(&l, "2001:db8::1", PING, sizeof PING), OUTCOME_VALID);
    limited_fini(&l);
}

/* Two are within the limit, and every other one leaks. */
static void a_source_in_a_row_is_answered_within_the_limits(void **state)
{
    struct limited l;
    unsigned leaked = 0;
    (void)state;
    limited_init(&l, 1000, 1);
    for (size_t i = 0; i < 8; i++) {
        enum outcome outcome = ask_limited(&l, "2001:db8::1", PING, sizeof PING);
        leaked += outcome == OUTCOME_LEAKED;
        assert_int_equal(outcome == OUTCOME_VALID, i < 2);
        assert_true(outcome_kind(outcome) == OUTCOME_KIND_VALID || outcome == OUTCOME_RATE_LIMITED);
    }
    assert_in_range(leaked, 1, 6);
    limited_fini(&l);
}

static void what_is_no_ping_uses_up_nothing(void **state)
{
    struct limited l;
    uint8_t pong[QCMP_PONG_BYTES];
    (void)state;
    limited_init(&l, 1000, 0);
    assert_int_equal(ask(PING, sizeof PING, pong), OUTCOME_VALID);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(ask_limited(&l, "::ffff:192.0.2.7", PING, 16), OUTCOME_LENGTH_MISMATCH);
        assert_int_equal(ask_limited(&l, "::ffff:192.0.2.7", pong, sizeof pong),
                         OUTCOME_UNSUPPORTED);
    }
    assert_int_equal(ask_limited(&l, "::ffff:192.0.2.7", PING, sizeof PING), OUTCOME_VALID);
    assert_int_equal(ask_limited(&l, "::ffff:192.0.2.7", PING, sizeof PING), OUTCOME_VALID);
    limited_fini(&l);
}

static void some_that_are_over_the_limit_leak(void **state)
{
    struct limited l;
    unsigned counts[OUTCOME_COUNT] = {0};
    (void)state;
    limited_init(&l, 100000, 8);
    for (unsigned i = 0; i < 8002; i++) {
        l.turn.now_ns += 1000000;
        counts[ask_limited(&l, "::ffff:192.0.2.7", PING, sizeof PING)]++;
    }
    assert_in_range(counts[OUTCOME_VALID], 9, 10);
    assert_in_range(counts[OUTCOME_LEAKED], 850, 1150);
    assert_int_equal(counts[OUTCOME_VALID] + counts[OUTCOME_LEAKED] + counts[OUTCOME_RATE_LIMITED],
                     8002);
    limited_fini(&l);
}

static void beyond_the_cap_of_the_process_nobody_new_is_answered(void **state)
{
    struct limited l;
    (void)state;
    limited_init(&l, 2, 1);
    assert_int_equal(ask_limited(&l, "::ffff:192.0.2.7", PING, sizeof PING), OUTCOME_VALID);
    assert_int_equal(ask_limited(&l, "::ffff:192.0.2.8", PING, sizeof PING), OUTCOME_PROCESS_CAP);
    limited_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_a_ping_with_every_nonce),
        cmocka_unit_test(never_answers_a_pong),
        cmocka_unit_test(tells_what_is_wrong_with_a_datagram),
        cmocka_unit_test(answers_unicast_addresses_only),
        cmocka_unit_test(refuses_what_is_too_old),
        cmocka_unit_test(who_may_not_ask_is_refused_before_anything_is_decoded),
        cmocka_unit_test(a_source_over_its_limit_is_refused),
        cmocka_unit_test(a_source_in_a_row_is_answered_within_the_limits),
        cmocka_unit_test(what_is_no_ping_uses_up_nothing),
        cmocka_unit_test(some_that_are_over_the_limit_leak),
        cmocka_unit_test(beyond_the_cap_of_the_process_nobody_new_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

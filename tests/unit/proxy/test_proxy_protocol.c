/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/proxy_protocol.h"

#define SIGNATURE 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a

/* Source: haproxy's doc/proxy-protocol.txt, 2.2: PROXY, datagrams over IPv4 and IPv6. */
static const uint8_t v4[] = {SIGNATURE, 0x21, 0x12, 0, 12, 192, 0,    2,   7,
                             198,       51,   100,  1, 0,  80,  0x1e, 0x61};
static const uint8_t v6[] = {SIGNATURE, 0x21, 0x22, 0, 36, 0x20, 0x01, 0x0d, 0xb8, 0, 0,
                             0,         0,    0,    0, 0,  0,    0,    0,    0,    7, 0x20,
                             0x01,      0x0d, 0xb8, 0, 0,  0,    0,    0,    0,    0, 0,
                             0,         0,    0,    1, 0,  80,   0x1e, 0x61};
static const uint8_t local[] = {SIGNATURE, 0x20, 0x00, 0, 0};

static struct endpoint endpoint(const char *text, uint16_t port)
{
    struct endpoint made = {.port = htons(port)};
    assert_int_equal(inet_pton(AF_INET6, text, &made.address), 1);
    return made;
}

static void ipv4_in_both_is_of_the_family_ipv4(void **state)
{
    struct endpoint player = endpoint("::ffff:192.0.2.7", 80);
    struct endpoint proxy = endpoint("::ffff:198.51.100.1", 7777);
    uint8_t header[PROXY_PROTOCOL_BYTES];
    (void)state;
    assert_int_equal(proxy_protocol_encode(&player, &proxy, header), sizeof v4);
    assert_memory_equal(header, v4, sizeof v4);
}

static void ipv6_in_one_is_of_the_family_ipv6(void **state)
{
    struct endpoint player = endpoint("2001:db8::7", 80), proxy = endpoint("2001:db8::1", 7777);
    struct endpoint mapped = endpoint("::ffff:192.0.2.7", 80);
    uint8_t header[PROXY_PROTOCOL_BYTES];
    (void)state;
    assert_int_equal(proxy_protocol_encode(&player, &proxy, header), sizeof v6);
    assert_memory_equal(header, v6, sizeof v6);
    assert_int_equal(proxy_protocol_encode(&mapped, &proxy, header), sizeof v6);
    assert_memory_equal(header + 16, &mapped.address, 16);
}

static void what_the_proxy_sends_for_itself_is_local(void **state)
{
    uint8_t header[PROXY_PROTOCOL_BYTES];
    (void)state;
    assert_int_equal(proxy_protocol_encode_local(header), sizeof local);
    assert_memory_equal(header, local, sizeof local);
}

static void a_header_has_a_length_and_every_truncation_has_none(void **state)
{
    static const struct {
        const uint8_t *data;
        uint32_t bytes;
    } headers[] = {{v4, sizeof v4}, {v6, sizeof v6}, {local, sizeof local}};
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        uint8_t data[100] = {0};
        memcpy(data, headers[i].data, headers[i].bytes);
        assert_int_equal(proxy_protocol_length(data, sizeof data), headers[i].bytes);
        for (uint32_t bytes = 0; bytes < headers[i].bytes; bytes++)
            assert_int_equal(proxy_protocol_length(data, bytes), 0);
    }
}

static void another_signature_version_or_command_is_no_header(void **state)
{
    (void)state;
    for (size_t at = 0; at < 13; at++) {
        uint8_t data[sizeof v4];
        memcpy(data, v4, sizeof v4);
        data[at] ^= 0x40;
        assert_int_equal(proxy_protocol_length(data, sizeof data), 0);
        data[at] ^= 0x40 ^ 0x02;
        assert_int_equal(proxy_protocol_length(data, sizeof data), 0);
    }
}

static void extensions_belong_to_the_header(void **state)
{
    uint8_t data[2000] = {0};
    (void)state;
    memcpy(data, v4, sizeof v4);
    data[14] = 1;
    data[15] = 2;
    assert_int_equal(proxy_protocol_length(data, sizeof data), 16 + 258);
    assert_int_equal(proxy_protocol_length(data, 16 + 257), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_in_both_is_of_the_family_ipv4),
        cmocka_unit_test(ipv6_in_one_is_of_the_family_ipv6),
        cmocka_unit_test(what_the_proxy_sends_for_itself_is_local),
        cmocka_unit_test(a_header_has_a_length_and_every_truncation_has_none),
        cmocka_unit_test(another_signature_version_or_command_is_no_header),
        cmocka_unit_test(extensions_belong_to_the_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

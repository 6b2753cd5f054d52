/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "load/xdp_frame.h"

static struct xdp_frame_ends ends_of(int family, const char *own, const char *target)
{
    struct xdp_frame_ends ends = {.own_mac = {2, 0, 0, 0, 0, 1}, .target_mac = {2, 0, 0, 0, 0, 2}};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(7600)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(7600)};
    bool is_ipv6 = family == AF_INET6;
    void *address = is_ipv6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr;
    const void *whole = is_ipv6 ? (const void *)&v6 : (const void *)&v4;
    size_t bytes = is_ipv6 ? sizeof v6 : sizeof v4;
    assert_int_equal(inet_pton(family, own, address), 1);
    memcpy(&ends.own, whole, bytes);
    assert_int_equal(inet_pton(family, target, address), 1);
    memcpy(&ends.target, whole, bytes);
    return ends;
}

static void an_ipv4_frame_is_as_written_here(void **state)
{
    static const uint8_t expected[LOAD_XDP_FRAME_BYTES] = {
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
        /* IPv4: 45 bytes, not to be fragmented, 64 hops, UDP */
        0x45, 0, 0, 45, 0, 0, 0x40, 0, 64, 17, 0x26, 0xbe, 10, 0, 0, 1, 10, 0, 0, 2,
        /* UDP: from 0 to 7600, 25 bytes, no checksum yet */
        0, 0, 0x1d, 0xb0, 0, 25, 0, 0,
        /* a ping with nonce and timestamp 0 */
        'Q', 'L', 'K', 'N', 0, 0, 0, 9};
    struct xdp_frame_ends ends = ends_of(AF_INET, "10.0.0.1", "10.0.0.2");
    uint8_t frame[LOAD_XDP_FRAME_BYTES];
    uint32_t sum = 0;
    (void)state;
    memset(frame, 0xff, sizeof frame);
    assert_int_equal(xdp_frame_write(&ends, frame, &sum), LOAD_XDP_IPV4_BYTES);
    assert_memory_equal(frame, expected, sizeof frame);
    /* Addresses, protocol and length; ports and length; the ping. */
    assert_int_equal(sum, 0x0a00 + 1 + 0x0a00 + 2 + 17 + 25 + 0x1db0 + 25 + 0x514c + 0x4b4e + 9);
}

static void an_ipv6_frame_is_as_written_here(void **state)
{
    static const uint8_t expected[LOAD_XDP_FRAME_BYTES] = {
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd,
        /* IPv6: 25 bytes, UDP, 64 hops */
        0x60, 0, 0, 0, 0, 25, 17, 64,
        /* from fd77::1 to fd77::2 */
        0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 2,
        /* UDP */
        0, 0, 0x1d, 0xb0, 0, 25, 0, 0,
        /* a ping */
        'Q', 'L', 'K', 'N', 0, 0, 0, 9};
    struct xdp_frame_ends ends = ends_of(AF_INET6, "fd77::1", "fd77::2");
    uint8_t frame[LOAD_XDP_FRAME_BYTES];
    uint32_t sum = 0;
    (void)state;
    memset(frame, 0xff, sizeof frame);
    assert_int_equal(xdp_frame_write(&ends, frame, &sum), LOAD_XDP_IPV6_BYTES);
    assert_memory_equal(frame, expected, sizeof frame);
    assert_int_equal(sum, 0xfd77 + 1 + 0xfd77 + 2 + 17 + 25 + 0x1db0 + 25 + 0x514c + 0x4b4e + 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ipv4_frame_is_as_written_here),
        cmocka_unit_test(an_ipv6_frame_is_as_written_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

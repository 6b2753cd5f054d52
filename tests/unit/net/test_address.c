/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "support/cmocka.h"

static const struct in6_addr any = IN6ADDR_ANY_INIT;

static struct in6_addr parsed(const char *text)
{
    struct in6_addr address;
    assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
    return address;
}

static void the_unspecified_address_falls_back_where_there_is_no_ipv6(void **state)
{
    struct in6_addr address = any;
    struct in6_addr any_ipv4 = parsed("::ffff:0.0.0.0");
    (void)state;
    assert_true(address_fall_back(&address, -EAFNOSUPPORT));
    assert_memory_equal(&address, &any_ipv4, sizeof address);
    assert_false(address_fall_back(&address, -EAFNOSUPPORT));
}

static void nothing_falls_back_for_another_reason(void **state)
{
    struct in6_addr address = any;
    struct in6_addr one = parsed("::1");
    (void)state;
    assert_false(address_fall_back(&address, 0));
    assert_false(address_fall_back(&address, 7));
    assert_false(address_fall_back(&address, -EADDRINUSE));
    assert_memory_equal(&address, &any, sizeof address);
    assert_false(address_fall_back(&one, -EAFNOSUPPORT));
}

static void a_mapped_address_is_one_of_ipv4_for_a_socket(void **state)
{
    struct sockaddr_storage storage;
    struct in6_addr address = parsed("::ffff:192.0.2.1");
    (void)state;
    assert_int_equal(address_to_socket(&address, 7600, &storage), sizeof(struct sockaddr_in));
    const struct sockaddr_in *v4 = (const void *)&storage;
    assert_int_equal(v4->sin_family, AF_INET);
    assert_int_equal(v4->sin_port, htons(7600));
    assert_int_equal(v4->sin_addr.s_addr, inet_addr("192.0.2.1"));
}

static void any_other_address_is_one_of_ipv6_for_a_socket(void **state)
{
    struct sockaddr_storage storage;
    struct in6_addr address = parsed("2001:db8::1");
    (void)state;
    assert_int_equal(address_to_socket(&address, 7600, &storage), sizeof(struct sockaddr_in6));
    const struct sockaddr_in6 *v6 = (const void *)&storage;
    assert_int_equal(v6->sin6_family, AF_INET6);
    assert_int_equal(v6->sin6_port, htons(7600));
    assert_memory_equal(&v6->sin6_addr, &address, sizeof address);
}

static void an_address_of_a_socket_is_read_as_it_was_written(void **state)
{
    static const char *const texts[] = {"::1", "2001:db8::1", "::ffff:192.0.2.1", "::"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sockaddr_storage storage;
        struct in6_addr address = parsed(texts[i]);
        address_to_socket(&address, 7600, &storage);
        struct in6_addr again = address_from_socket(&storage);
        assert_memory_equal(&again, &address, sizeof address);
    }
}

static void any_address_is_that_of_ipv6_or_of_ipv4(void **state)
{
    struct in6_addr any_ipv4 = parsed("::ffff:0.0.0.0"), one = parsed("::1");
    struct in6_addr one_ipv4 = parsed("::ffff:0.0.0.1");
    (void)state;
    assert_true(address_is_any(&any) && address_is_any(&any_ipv4));
    assert_false(address_is_any(&one) || address_is_any(&one_ipv4));
}

static void the_bound_port_is_told(void **state)
{
    struct sockaddr_storage storage;
    struct in6_addr address = parsed("::ffff:127.0.0.1");
    socklen_t bytes = address_to_socket(&address, 0, &storage);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(address_bound_port(fd), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&storage, bytes), 0);
    uint16_t port = address_bound_port(fd);
    bytes = sizeof storage;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&storage, &bytes), 0);
    assert_int_equal(port, ntohs(((const struct sockaddr_in *)(const void *)&storage)->sin_port));
    assert_int_not_equal(port, 0);
    close(fd);
    assert_int_equal(address_bound_port(fd), 0);
}

static void an_address_is_written_with_its_port(void **state)
{
    char text[ADDRESS_TEXT_BYTES];
    struct in6_addr ipv4 = address_from_ipv4((struct in_addr){.s_addr = htonl(0xc0000201)});
    struct in6_addr ipv6 = IN6ADDR_LOOPBACK_INIT;
    (void)state;
    address_format(&ipv4, 7600, text);
    assert_string_equal(text, "192.0.2.1:7600");
    address_format(&ipv6, 65535, text);
    assert_string_equal(text, "[::1]:65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_unspecified_address_falls_back_where_there_is_no_ipv6),
        cmocka_unit_test(nothing_falls_back_for_another_reason),
        cmocka_unit_test(a_mapped_address_is_one_of_ipv4_for_a_socket),
        cmocka_unit_test(any_other_address_is_one_of_ipv6_for_a_socket),
        cmocka_unit_test(an_address_of_a_socket_is_read_as_it_was_written),
        cmocka_unit_test(any_address_is_that_of_ipv6_or_of_ipv4),
        cmocka_unit_test(the_bound_port_is_told),
        cmocka_unit_test(an_address_is_written_with_its_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

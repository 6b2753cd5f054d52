/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "net/prefix.h"

static void assert_reads_as(const char *text, const char *shown, bool ipv4)
{
    struct prefix prefix;
    char again[PREFIX_TEXT_BYTES];
    assert_int_equal(prefix_parse(text, &prefix), 0);
    prefix_format(&prefix, again);
    assert_string_equal(again, shown);
    assert_int_equal(prefix_is_ipv4(&prefix), ipv4);
}

static void reads_prefixes_and_addresses(void **state)
{
    (void)state;
    assert_reads_as("192.0.2.0/24", "192.0.2.0/24", true);
    assert_reads_as("192.0.2.7", "192.0.2.7/32", true);
    assert_reads_as("0.0.0.0/0", "0.0.0.0/0", true);
    assert_reads_as("255.255.255.255/32", "255.255.255.255/32", true);
    assert_reads_as("128.0.0.0/01", "128.0.0.0/1", true);
    assert_reads_as("2001:DB8::/32", "2001:db8::/32", false);
    assert_reads_as("2001:db8::1", "2001:db8::1/128", false);
    assert_reads_as("::/0", "::/0", false);
    assert_reads_as("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128",
                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", false);
}

static void a_mapped_prefix_is_one_of_ipv4(void **state)
{
    (void)state;
    assert_reads_as("::ffff:0:0/96", "0.0.0.0/0", true);
    assert_reads_as("::ffff:10.0.0.0/104", "10.0.0.0/8", true);
    assert_reads_as("::ffff:10.0.0.1", "10.0.0.1/32", true);
    assert_reads_as("::fffe:0:0/95", "::fffe:0:0/95", false);
}

static void refuses_what_is_no_prefix(void **state)
{
    static const char *const texts[] = {
        "",
        "/",
        "/24",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2/24",
        "192.0.2.0/ 8",
        "192.0.2.0/-1",
        "192.0.2.0/8/8",
        " 192.0.2.0/24",
        "::/129",
        "::g/64",
        "fe80::1%lo/64",
        "host/8",
        "192.0.2.0/24 ",
        "192.0.2.0/4294967320",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff/64"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct prefix prefix, before;
        memset(&prefix, 0x55, sizeof prefix);
        before = prefix;
        assert_int_equal(prefix_parse(texts[i], &prefix), -1);
        assert_memory_equal(&prefix, &before, sizeof prefix);
    }
}

static void refuses_bits_behind_the_prefix(void **state)
{
    struct prefix prefix;
    (void)state;
    assert_int_equal(prefix_parse("192.0.2.7/24", &prefix), -1);
    assert_int_equal(prefix_parse("192.0.2.1/31", &prefix), -1);
    assert_int_equal(prefix_parse("10.0.0.0/0", &prefix), -1);
    assert_int_equal(prefix_parse("2001:db8::1/64", &prefix), -1);
    assert_int_equal(prefix_parse("2001:db8::1/127", &prefix), -1);
    assert_int_equal(prefix_parse("192.0.2.2/31", &prefix), 0);
}

static void a_list_grows(void **state)
{
    struct prefix_list list = {0};
    struct prefix prefix;
    (void)state;
    assert_int_equal(prefix_parse("10.0.0.0/8", &prefix), 0);
    for (unsigned i = 0; i < 1000; i++) {
        prefix.address.s6_addr[15] = (uint8_t)i;
        assert_int_equal(prefix_list_add(&list, &prefix), 0);
    }
    assert_int_equal(list.count, 1000);
    assert_int_equal(list.items[999].address.s6_addr[15], (uint8_t)999);
    prefix_list_fini(&list);
    assert_int_equal(list.count, 0);
    assert_null(list.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_prefixes_and_addresses),
        cmocka_unit_test(a_mapped_prefix_is_one_of_ipv4),
        cmocka_unit_test(refuses_what_is_no_prefix),
        cmocka_unit_test(refuses_bits_behind_the_prefix),
        cmocka_unit_test(a_list_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

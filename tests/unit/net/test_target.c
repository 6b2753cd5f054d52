/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/target.h"

static void assert_splits(const char *text, const char *host, uint16_t port)
{
    struct target target = {0};
    enum target_error error = target_parse(text, 7600, &target);

    if (error != TARGET_OK)
        fail_msg("'%s' was refused: %s", text, target_error_text(error));
    assert_string_equal(target.host, host);
    assert_int_equal(target.port, port);
}

static void assert_refused(const char *text, enum target_error expected)
{
    struct target target = {.host = "untouched", .port = 1};
    enum target_error error = target_parse(text, 7600, &target);

    if (error != expected)
        fail_msg("'%s': got '%s'", text, target_error_text(error));
    assert_string_equal(target.host, "untouched");
    assert_int_equal(target.port, 1);
}

static void target_may_leave_out_the_port(void **state)
{
    (void)state;
    assert_splits("example.org", "example.org", 7600);
    assert_splits("192.0.2.1", "192.0.2.1", 7600);
    assert_splits("[2001:db8::1]", "2001:db8::1", 7600);
    assert_splits("x", "x", 7600);
}

static void target_may_name_the_port(void **state)
{
    (void)state;
    assert_splits("example.org:1", "example.org", 1);
    assert_splits("1.2.3.4:65535", "1.2.3.4", 65535);
    assert_splits("[2001:db8::1]:8000", "2001:db8::1", 8000);
    assert_splits("host:007", "host", 7);
}

static void target_with_two_colons_is_an_address_without_port(void **state)
{
    (void)state;
    assert_splits("::1", "::1", 7600);
    assert_splits("::", "::", 7600);
    assert_splits("2001:db8::7600", "2001:db8::7600", 7600);
    assert_splits("::ffff:192.0.2.1", "::ffff:192.0.2.1", 7600);
    assert_splits("a:1:2", "a:1:2", 7600);
}

static void target_may_have_a_scope(void **state)
{
    (void)state;
    assert_splits("fe80::1%eth0", "fe80::1%eth0", 7600);
    assert_splits("[fe80::1%eth0]", "fe80::1%eth0", 7600);
    assert_splits("[fe80::1%eth0]:7601", "fe80::1%eth0", 7601);
    assert_splits("fe80::1%2", "fe80::1%2", 7600);
}

static void target_without_host_is_refused(void **state)
{
    (void)state;
    assert_refused("", TARGET_ERROR_EMPTY_HOST);
    assert_refused(":", TARGET_ERROR_EMPTY_HOST);
    assert_refused(":7600", TARGET_ERROR_EMPTY_HOST);
    assert_refused("[]", TARGET_ERROR_EMPTY_HOST);
    assert_refused("[]:7600", TARGET_ERROR_EMPTY_HOST);
    assert_refused("%eth0", TARGET_ERROR_EMPTY_HOST);
    assert_refused("[%eth0]:1", TARGET_ERROR_EMPTY_HOST);
}

static void target_with_a_colon_needs_a_port(void **state)
{
    (void)state;
    assert_refused("host:", TARGET_ERROR_EMPTY_PORT);
    assert_refused("[::1]:", TARGET_ERROR_EMPTY_PORT);
}

static void target_refuses_what_is_no_port(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "host:0",
        "host:65536",
        "host:-1",
        "host:+1",
        "host: 1",
        "host:1 ",
        "host:http",
        "host:7600a",
        "[::1]:0",
        "[::1]:99999",
        "[::1]:1:",
        "host:0x10",
        "host:1.5",
        "host:18446744073709551617",
        "host:99999999999999999999999999999999",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_refused(texts[i], TARGET_ERROR_PORT);
}

static void target_refuses_brackets_that_do_not_match(void **state)
{
    (void)state;
    assert_refused("[", TARGET_ERROR_BRACKET);
    assert_refused("[::1", TARGET_ERROR_BRACKET);
    assert_refused("[::1:7600", TARGET_ERROR_BRACKET);
    assert_refused("::1]", TARGET_ERROR_BRACKET);
    assert_refused("host]:1", TARGET_ERROR_BRACKET);
    assert_refused("ho[st", TARGET_ERROR_BRACKET);
    assert_refused("[[::1]", TARGET_ERROR_BRACKET);
}

static void target_refuses_text_after_the_bracket(void **state)
{
    (void)state;
    assert_refused("[::1]7600", TARGET_ERROR_AFTER_BRACKET);
    assert_refused("[::1]x:7600", TARGET_ERROR_AFTER_BRACKET);
    assert_refused("[[::1]]:7600", TARGET_ERROR_AFTER_BRACKET);
    assert_refused("[::1] ", TARGET_ERROR_AFTER_BRACKET);
}

static void target_refuses_a_host_that_has_no_room(void **state)
{
    (void)state;
    char text[TARGET_HOST_BYTES + 16];
    struct target target;

    memset(text, 'a', sizeof text);
    memcpy(text + TARGET_HOST_BYTES - 1, ":9", 3);
    assert_int_equal(target_parse(text, 7600, &target), TARGET_OK);
    assert_int_equal(strlen(target.host), TARGET_HOST_BYTES - 1);
    assert_int_equal(target.port, 9);

    memset(text, 'a', sizeof text);
    memcpy(text + TARGET_HOST_BYTES, ":9", 3);
    assert_refused(text, TARGET_ERROR_HOST_TOO_LONG);
}

static void target_errors_have_texts_of_their_own(void **state)
{
    (void)state;
    for (int a = TARGET_OK; a <= TARGET_ERROR_PORT; a++) {
        assert_true(strlen(target_error_text((enum target_error)a)) > 0);
        for (int b = TARGET_OK; b < a; b++)
            assert_string_not_equal(target_error_text((enum target_error)a),
                                    target_error_text((enum target_error)b));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_may_leave_out_the_port),
        cmocka_unit_test(target_may_name_the_port),
        cmocka_unit_test(target_with_two_colons_is_an_address_without_port),
        cmocka_unit_test(target_may_have_a_scope),
        cmocka_unit_test(target_without_host_is_refused),
        cmocka_unit_test(target_with_a_colon_needs_a_port),
        cmocka_unit_test(target_refuses_what_is_no_port),
        cmocka_unit_test(target_refuses_brackets_that_do_not_match),
        cmocka_unit_test(target_refuses_text_after_the_bracket),
        cmocka_unit_test(target_refuses_a_host_that_has_no_room),
        cmocka_unit_test(target_errors_have_texts_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

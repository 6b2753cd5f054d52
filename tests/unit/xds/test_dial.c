/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "net/address.h"
#include "xds/h2_stream.h"
#include "xds/mds.h"

#define SECOND INT64_C(1000000000)

static void waits_double_up_to_the_most(void **state)
{
    (void)state;
    int64_t backoff_ns = 0, expected_ns = SECOND / 2;

    for (unsigned i = 0; i < 12; i++) {
        int64_t wait_ns = dialer_wait_ns(&backoff_ns, DIAL_NOT_REACHED, 0, 0);

        assert_int_equal(wait_ns, expected_ns);
        expected_ns = expected_ns * 2 > 30 * SECOND ? 30 * SECOND : expected_ns * 2;
    }
    assert_int_equal(dialer_wait_ns(&backoff_ns, DIAL_NOT_REACHED, 0, 2 * SECOND - 1),
                     32 * SECOND - 1);
}

static void a_good_connection_is_replaced_at_once(void **state)
{
    (void)state;
    int64_t backoff_ns = 0;

    assert_int_equal(dialer_wait_ns(&backoff_ns, DIAL_GOOD, 1, 7), 0);
    /* Not twice in a row, where the server hangs up after each good beginning. */
    assert_int_equal(dialer_wait_ns(&backoff_ns, DIAL_GOOD, 1, 7), SECOND / 2 + 7);
    assert_int_equal(dialer_wait_ns(&backoff_ns, DIAL_GOOD, 1, 7), SECOND / 2 + 7);
    assert_int_equal(dialer_wait_ns(&backoff_ns, DIAL_GOOD, 5 * SECOND, 7), 0);
}

static void a_long_connection_that_brought_nothing_is_no_good_one(void **state)
{
    (void)state;
    int64_t backoff_ns = 0;

    assert_int_equal(dialer_wait_ns(&backoff_ns, DIAL_FRUITLESS, 100 * SECOND, 0), SECOND / 2);
    assert_int_equal(dialer_wait_ns(&backoff_ns, DIAL_FRUITLESS, 100 * SECOND, 0), SECOND);
}

static void who_answers_is_asked_again_within_20_s(void **state)
{
    (void)state;
    int64_t backoff_ns = 0;

    for (unsigned i = 0; i < 12; i++)
        assert_true(dialer_wait_ns(&backoff_ns, DIAL_FRUITLESS, 0, 2 * SECOND - 1) < 19 * SECOND);
}

/* The address of an agent behind a socket of 10.0.0.1. */
static void assert_agent(const char *expected, bool trusted, const struct h2_headers *headers)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr peer;

    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &peer), 1);
    struct in6_addr found = mds_relay_agent_address(&peer, trusted, headers);
    address_format_host(&found, text);
    assert_string_equal(text, expected);
}

static void a_trusted_proxy_says_whose_agent_it_is(void **state)
{
    (void)state;
    const struct h2_headers all = {.forwarded = "for=192.0.2.1;proto=http, for=192.0.2.9",
                                   .forwarded_for = "192.0.2.2, 192.0.2.8",
                                   .envoy_address = "192.0.2.3"};

    assert_agent("10.0.0.1", false, &all);
    assert_agent("192.0.2.1", true, &all);
    assert_agent("10.0.0.1", true, &(struct h2_headers){.forwarded = ""});
    assert_agent("192.0.2.2", true, &(struct h2_headers){.forwarded_for = "192.0.2.2, 1.1.1.1"});
    assert_agent("192.0.2.3", true, &(struct h2_headers){.envoy_address = "::ffff:192.0.2.3"});
    assert_agent("2001:db8::1", true,
                 &(struct h2_headers){.forwarded = "by=x;FOR=\"[2001:db8::1]:4711\""});
    assert_agent("192.0.2.4", true, &(struct h2_headers){.forwarded = "for=\"192.0.2.4:99\""});
    assert_agent("10.0.0.1", true, &(struct h2_headers){.forwarded = "for=_hidden, for=unknown"});
    assert_agent("10.0.0.1", true, &(struct h2_headers){.forwarded = "for=,;;for=\"[\""});
    assert_agent("192.0.2.5", true,
                 &(struct h2_headers){.forwarded = "for=_x", .forwarded_for = "192.0.2.5"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_most),
        cmocka_unit_test(a_good_connection_is_replaced_at_once),
        cmocka_unit_test(a_long_connection_that_brought_nothing_is_no_good_one),
        cmocka_unit_test(who_answers_is_asked_again_within_20_s),
        cmocka_unit_test(a_trusted_proxy_says_whose_agent_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* When an interface loses too much of what XDP sends. */
#include "fastpath/health.h"

#include <errno.h>

#include "base/clock.h"
#include "fastpath/clock.h"
#include "fastpath/device.h"
#include "support/cmocka.h"

#define TOLERANCE_NS 1000 /* how far the offset may be off */

static void few_losses_are_fine(void **state)
{
    struct fastpath_health health = {0};
    (void)state;
    assert_false(fastpath_health_is_bad(&health, 0, 0));
    assert_false(fastpath_health_is_bad(&health, 9, FASTPATH_HEALTH_ERRORS - 1));
    assert_false(fastpath_health_is_bad(&health, 100009, 999));
    assert_false(fastpath_health_is_bad(&health, 100009, 999 + FASTPATH_HEALTH_ERRORS - 1));
}

static void losses_of_few_pings_a_second_add_up(void **state)
{
    struct fastpath_health health = {0};
    (void)state;
    for (uint64_t second = 1; second < FASTPATH_HEALTH_ERRORS; second++)
        assert_false(fastpath_health_is_bad(&health, second, second));
    assert_true(fastpath_health_is_bad(&health, FASTPATH_HEALTH_ERRORS, FASTPATH_HEALTH_ERRORS));
}

static void losses_of_long_ago_do_not_add_up(void **state)
{
    struct fastpath_health health = {0};
    (void)state;
    assert_false(fastpath_health_is_bad(&health, 1000, FASTPATH_HEALTH_ERRORS - 1));
    assert_false(fastpath_health_is_bad(&health, 1001, FASTPATH_HEALTH_ERRORS));
}

static void many_losses_are_not(void **state)
{
    struct fastpath_health health = {0};
    (void)state;
    assert_true(fastpath_health_is_bad(&health, 10, FASTPATH_HEALTH_ERRORS));
    assert_false(fastpath_health_is_bad(&health, 20, FASTPATH_HEALTH_ERRORS));
    assert_true(fastpath_health_is_bad(&health, 100020, FASTPATH_HEALTH_ERRORS + 1000));
}

static void a_counter_of_losses_that_begins_anew_is_none(void **state)
{
    struct fastpath_health health = {.transmitted = 10, .errors = 1000};
    (void)state;
    assert_false(fastpath_health_is_bad(&health, 10, 0));
    assert_true(fastpath_health_is_bad(&health, 10, FASTPATH_HEALTH_ERRORS));
}

static void counters_of_losses_are_known_by_their_names(void **state)
{
    static const char *const losses[] = {"rx_queue_0_xdp_tx_errors", "tx_queue_1_xdp_tx_drops",
                                         "rx_xdp_tx_full", "rx3_xdp_tx_err"};
    static const char *const others[] = {"rx_queue_0_xdp_tx", "rx_xdp_tx_xmit",
                                         "tx_errors",         "rx_queue_0_xdp_drops",
                                         "xdp_redirect",      "",
                                         "rx_queue_0_drops",  "tx_queue_0_xdp_xmit_errors",
                                         "tx_xdp_full"};
    (void)state;
    for (size_t i = 0; i < sizeof losses / sizeof losses[0]; i++)
        assert_true(fastpath_device_is_transmit_error(losses[i]));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(fastpath_device_is_transmit_error(others[i]));
}

static void the_offset_makes_utc_of_the_monotonic_clock(void **state)
{
    (void)state;
    int64_t offset_ns = fastpath_clock_offset_ns();
    int64_t before_ns = clock_wall_ns();
    int64_t utc_ns = clock_monotonic_ns() + offset_ns;
    int64_t after_ns = clock_wall_ns();
    assert_true(before_ns - TOLERANCE_NS <= utc_ns && utc_ns <= after_ns + TOLERANCE_NS);
}

static void the_loopback_device_is_no_hardware(void **state)
{
    struct fastpath_device device;
    (void)state;
    assert_int_equal(fastpath_device_read(if_nametoindex("lo"), &device), 0);
    assert_string_equal(device.name, "lo");
    assert_true(device.is_loopback);
    assert_true(device.has_ethernet);
    assert_false(device.is_hardware || device.is_veth);
    assert_int_equal(fastpath_device_read(999999, &device), -ENODEV);
    uint64_t errors = 7;
    assert_true(fastpath_device_transmit_errors(999999, &errors) < 0);
    assert_int_equal(errors, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_losses_are_fine),
        cmocka_unit_test(losses_of_few_pings_a_second_add_up),
        cmocka_unit_test(losses_of_long_ago_do_not_add_up),
        cmocka_unit_test(many_losses_are_not),
        cmocka_unit_test(a_counter_of_losses_that_begins_anew_is_none),
        cmocka_unit_test(counters_of_losses_are_known_by_their_names),
        cmocka_unit_test(the_offset_makes_utc_of_the_monotonic_clock),
        cmocka_unit_test(the_loopback_device_is_no_hardware),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

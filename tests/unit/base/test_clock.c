/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static void wall_clock_agrees_with_the_time_of_the_host(void **state)
{
    (void)state;
    int64_t before = (int64_t)time(NULL) - 1;
    int64_t seconds = clock_wall_ns() / 1000000000;
    int64_t after = (int64_t)time(NULL) + 1;

    assert_true(before <= seconds && seconds <= after);
}

static void monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    int64_t first = clock_monotonic_ns();
    int64_t last = first;

    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_monotonic_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(last > first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wall_clock_agrees_with_the_time_of_the_host),
        cmocka_unit_test(monotonic_clock_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

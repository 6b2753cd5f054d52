#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/counters.h"

static void sums_over_workers(void **state)
{
    static struct counters workers[3];
    (void)state;
    memset(workers, 0, sizeof workers);
    for (size_t w = 0; w < 3; w++) {
        for (size_t i = 0; i < OUTCOME_COUNT; i++) {
            counter_add(&workers[w].packets[i], i + 1);
            counter_add(&workers[w].bytes[i], 100);
        }
        counter_add(&workers[w].answered, 5);
        counter_add(&workers[w].send_errors, 6);
        counter_add(&workers[w].receive_errors, 7);
    }
    struct counters_sum sum = counters_sum(workers, 3);
    uint64_t received = 0;
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        assert_int_equal(sum.packets[i], 3 * (i + 1));
        assert_int_equal(sum.bytes[i], 300);
        received += sum.packets[i];
    }
    assert_int_equal(sum.received, received);
    assert_int_equal(sum.answered, 15);
    assert_int_equal(sum.send_errors, 18);
    assert_int_equal(sum.receive_errors, 21);
}

static void kinds_add_up_to_what_was_received(void **state)
{
    static struct counters worker;
    uint64_t kinds = 0;
    (void)state;
    memset(&worker, 0, sizeof worker);
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        counter_add(&worker.packets[i], (uint64_t)1 << i);
    struct counters_sum sum = counters_sum(&worker, 1);
    for (enum outcome_kind kind = 0; kind < OUTCOME_KINDS; kind++)
        kinds += counters_kind(&sum, kind);
    assert_int_equal(kinds, sum.received);
    assert_int_equal(counters_kind(&sum, OUTCOME_KIND_VALID),
                     1 << OUTCOME_VALID | 1 << OUTCOME_LEAKED);
}

static void reasons_are_the_labels_that_operators_know(void **state)
{
    (void)state;
    assert_string_equal(outcome_reason(OUTCOME_LENGTH_MISMATCH), "length_mismatch");
    assert_string_equal(outcome_reason(OUTCOME_UNKNOWN_VERSION), "unknown_version");
    assert_string_equal(outcome_reason(OUTCOME_INVALID_COMMAND), "invalid_command");
    assert_string_equal(outcome_reason(OUTCOME_VALID), "");
    assert_int_equal(outcome_kind(OUTCOME_FOREIGN), OUTCOME_KIND_INVALID);
    assert_int_equal(outcome_kind(OUTCOME_SOURCE_PORT_ZERO), OUTCOME_KIND_DROPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_over_workers),
        cmocka_unit_test(kinds_add_up_to_what_was_received),
        cmocka_unit_test(reasons_are_the_labels_that_operators_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

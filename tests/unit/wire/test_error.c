/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/error.h>

#include "support/cmocka.h"

#include <errno.h>
#include <limits.h>

struct listed {
    int value;
    const char *name;
    const char *text;
};

/* As a caller who wrote the numbers down sees them: the values are part of the ABI. */
static const struct listed LISTED[] = {
    {0, "OK", "no error"},
    {-1, "UNKNOWN_VERSION", "unknown version"},
    {-2, "LENGTH_MISMATCH", "length mismatch"},
    {-3, "INVALID_COMMAND", "invalid command"},
    {-4, "OVERFLOW", "the result does not fit into 64 bits"},
    {-5, "INVALID_ARGUMENT", "invalid argument"},
    {-6, "BUFFER_TOO_SMALL", "the buffer is too small"},
    {-7, "NO_NONCE", "all nonces of this destination are in flight"},
    {-8, "NO_SLOT", "all slots are in flight"},
    {-9, "NOT_IN_FLIGHT", "no such ping is in flight"},
    {-10, "TIMED_OUT", "no answer in time"},
    {-11, "IMPLAUSIBLE", "the timestamps contradict each other"},
};

static void errors_keep_their_numbers_names_and_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof LISTED / sizeof *LISTED; i++) {
        assert_string_equal(qcmp_error_name(LISTED[i].value), LISTED[i].name);
        assert_string_equal(qcmp_error_text(LISTED[i].value), LISTED[i].text);
    }
}

static void the_list_above_is_the_whole_list(void **state)
{
    size_t count = 1;

    (void)state;
#define COUNT(name, value, text) count++;
    QCMP_ERRORS(COUNT)
#undef COUNT
    assert_int_equal(count, sizeof LISTED / sizeof *LISTED);
}

static void other_numbers_are_unknown(void **state)
{
    const int numbers[] = {1, INT_MAX, -12, -9999, QCMP_ERROR_OS_BASE};

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_string_equal(qcmp_error_name(numbers[i]), "UNKNOWN");
        assert_string_equal(qcmp_error_text(numbers[i]), "unknown error");
        assert_int_equal(qcmp_error_to_os(numbers[i]), 0);
    }
}

static void errors_of_the_system_map_there_and_back(void **state)
{
    const int numbers[] = {1, ENOMEM, ECONNREFUSED, 4095, INT_MAX + QCMP_ERROR_OS_BASE + 1};

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const int error = qcmp_error_from_os(numbers[i]);

        assert_true(error < QCMP_ERROR_OS_BASE);
        assert_int_equal(qcmp_error_to_os(error), numbers[i]);
        assert_string_equal(qcmp_error_name(error), "OS");
        assert_string_equal(qcmp_error_text(error), "error of the operating system");
    }
    assert_int_equal(qcmp_error_from_os(1), -10001);
}

static void numbers_that_are_no_error_of_the_system_are_invalid(void **state)
{
    (void)state;
    assert_int_equal(qcmp_error_from_os(0), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_error_from_os(-1), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_error_from_os(INT_MIN), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_error_from_os(INT_MAX), QCMP_ERROR_INVALID_ARGUMENT);
    assert_int_equal(qcmp_error_from_os(INT_MAX + QCMP_ERROR_OS_BASE + 2),
                     QCMP_ERROR_INVALID_ARGUMENT);
}

static void the_library_holds_no_error_of_the_system_in_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof LISTED / sizeof *LISTED; i++)
        assert_int_equal(qcmp_error_to_os(LISTED[i].value), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_keep_their_numbers_names_and_texts),
        cmocka_unit_test(the_list_above_is_the_whole_list),
        cmocka_unit_test(other_numbers_are_unknown),
        cmocka_unit_test(errors_of_the_system_map_there_and_back),
        cmocka_unit_test(numbers_that_are_no_error_of_the_system_are_invalid),
        cmocka_unit_test(the_library_holds_no_error_of_the_system_in_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

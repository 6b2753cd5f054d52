/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * As much of cmocka as the library's tests use, for systems that Debian has no cmocka for. In the
 * place of the installed header; the same sources compile with both. One group a program.
 */
#ifndef PADDOCK_TESTS_PLATFORMS_CMOCKA_H
#define PADDOCK_TESTS_PLATFORMS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
    const char *name;
    void (*test_func)(void **state);
    CMFixtureFunction setup_func, teardown_func;
    void *initial_state;
};

enum cmocka_outcome {
    CMOCKA_RUNS,
    CMOCKA_FAILED,
    CMOCKA_SKIPPED
};

/* A failure leaves its test by this, as cmocka does it. Shared by all files of a test program. */
#ifdef CMOCKA_MAIN
jmp_buf cmocka_end;
#else
extern jmp_buf cmocka_end;
#endif

#define cmocka_unit_test(f)                                                                        \
    {                                                                                              \
#f, f, NULL, NULL, NULL                                                                    \
    }
#define cmocka_unit_test_setup_teardown(f, setup, teardown)                                        \
    {                                                                                              \
#f, f, setup, teardown, NULL                                                               \
    }

#define print_message(...) fprintf(stderr, __VA_ARGS__)
#define skip() longjmp(cmocka_end, CMOCKA_SKIPPED)
#define fail_msg(...)                                                                              \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, "\n");                                                                     \
        longjmp(cmocka_end, CMOCKA_FAILED);                                                        \
    } while (0)
#define cmocka_compare(a, relation, b)                                                             \
    do {                                                                                           \
        const unsigned long long cmocka_a = (unsigned long long)(a);                               \
        const unsigned long long cmocka_b = (unsigned long long)(b);                               \
        if (!(cmocka_a relation cmocka_b))                                                         \
            fail_msg("%s (%llu) is not " #relation " %s (%llu)", #a, cmocka_a, #b, cmocka_b);      \
    } while (0)
#define assert_true(c)                                                                             \
    do {                                                                                           \
        if (!(c))                                                                                  \
            fail_msg("not true: %s", #c);                                                          \
    } while (0)
#define assert_false(c) assert_true(!(c))
#define assert_int_equal(a, b) cmocka_compare(a, ==, b)
#define assert_int_not_equal(a, b) cmocka_compare(a, !=, b)
#define assert_in_range(value, low, high)                                                          \
    do {                                                                                           \
        cmocka_compare(value, >=, low);                                                            \
        cmocka_compare(value, <=, high);                                                           \
    } while (0)
#define assert_non_null(p) assert_true((p) != NULL)
#define assert_null(p) assert_true((p) == NULL)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_ptr_not_equal(a, b) assert_true((const void *)(a) != (const void *)(b))
#define assert_memory_equal(a, b, bytes) assert_int_equal(memcmp(a, b, bytes), 0)
#define assert_string_equal(a, b)                                                                  \
    do {                                                                                           \
        if (strcmp(a, b) != 0)                                                                     \
            fail_msg("'%s' is not '%s'", a, b);                                                    \
    } while (0)

#ifdef CMOCKA_MAIN
static int cmocka_run(const struct CMUnitTest *test)
{
    void *state = test->initial_state;
    int outcome = setjmp(cmocka_end);
    if (outcome == CMOCKA_RUNS) {
        if (test->setup_func != NULL && test->setup_func(&state) != 0)
            longjmp(cmocka_end, CMOCKA_FAILED);
        test->test_func(&state);
        if (test->teardown_func != NULL)
            test->teardown_func(&state);
    }
    return outcome;
}

static int cmocka_run_group_tests_name(const struct CMUnitTest *tests, size_t count)
{
    int counts[CMOCKA_SKIPPED + 1] = {0};
    for (size_t i = 0; i < count; i++) {
        int outcome = cmocka_run(&tests[i]);
        counts[outcome]++;
        if (outcome != CMOCKA_RUNS)
            fprintf(stderr, "%s: %s\n", outcome == CMOCKA_FAILED ? "FAILED" : "skipped",
                    tests[i].name);
    }
    printf("%d passed, %d failed, %d skipped\n", counts[CMOCKA_RUNS], counts[CMOCKA_FAILED],
           counts[CMOCKA_SKIPPED]);
    return counts[CMOCKA_FAILED];
}

#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run_group_tests_name(tests, sizeof(tests) / sizeof(tests)[0])
#endif
#endif

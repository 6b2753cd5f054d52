/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "load/limit.h"

#define SECOND_NS INT64_C(1000000000)

static struct load_options options;
static struct load_result *result;
static char reason[LIMIT_REASON_BYTES];

/* A second of an open loop that went well, the generator half idle. */
static int setup(void **state)
{
    (void)state;
    options = (struct load_options){.rate = 1000};
    result = calloc(1, sizeof *result);
    if (result == NULL)
        return -1;
    result->sending_ns = SECOND_NS;
    result->idle_ns = SECOND_NS / 2;
    result->own_cpu_ns = SECOND_NS / 2;
    result->cpus_idle_ns = SECOND_NS;
    result->counts.scheduled = result->counts.sent = result->counts.answered = 1000;
    for (int i = 0; i < 1000; i++) {
        hdr_histogram_record(&result->lag_ns, 50000);
        hdr_histogram_record(&result->latency_ns, 200000);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(result);
    return 0;
}

static void expect_limit(enum limit expected, const char *words)
{
    assert_int_equal(limit_judge(&options, result, reason), expected);
    assert_non_null(strstr(reason, words));
}

static void a_schedule_that_was_kept_is_no_limit(void **state)
{
    (void)state;
    expect_limit(LIMIT_ELSEWHERE, "the schedule was kept: at p99 pings left 0.050 ms late");
}

static void pings_that_never_left_are_the_generators(void **state)
{
    (void)state;
    result->counts.unsent = 1;
    expect_limit(LIMIT_ELSEWHERE, "kept");
    result->counts.unsent = 2;
    expect_limit(LIMIT_GENERATOR, "2 of 1000 pings never left");
}

static void pings_that_left_late_are_the_generators_if_that_is_most_of_the_latency(void **state)
{
    (void)state;
    memset(&result->lag_ns, 0, sizeof result->lag_ns);
    hdr_histogram_record(&result->lag_ns, 150000);
    expect_limit(LIMIT_GENERATOR, "at p99 0.150 ms of 0.2");
    memset(&result->latency_ns, 0, sizeof result->latency_ns);
    hdr_histogram_record(&result->latency_ns, 400000);
    expect_limit(LIMIT_ELSEWHERE, "kept");
}

static void without_answers_there_is_no_latency_to_compare_with(void **state)
{
    (void)state;
    memset(&result->latency_ns, 0, sizeof result->latency_ns);
    hdr_histogram_record(&result->lag_ns, SECOND_NS);
    result->counts.answered = 0;
    expect_limit(LIMIT_ELSEWHERE, "nothing was answered");
}

static void overflowing_buffers_are_the_generators_in_either_loop(void **state)
{
    (void)state;
    result->counts.receive_drops = 3;
    expect_limit(LIMIT_GENERATOR, "3 datagrams");
    options.rate = 0;
    expect_limit(LIMIT_GENERATOR, "3 datagrams");
}

static void a_closed_loop_with_time_left_is_no_limit(void **state)
{
    (void)state;
    options.rate = 0;
    expect_limit(LIMIT_ELSEWHERE, "busy 50 %");
}

static void a_closed_loop_without_an_idle_cpu_cannot_tell(void **state)
{
    (void)state;
    options.rate = 0;
    result->cpus_idle_ns = SECOND_NS / 100;
    expect_limit(LIMIT_UNKNOWN, "others left none");
    result->cpus_idle_ns = -1;
    expect_limit(LIMIT_ELSEWHERE, "busy 50 %");
}

static void being_kept_from_a_cpu_is_the_generators(void **state)
{
    (void)state;
    options.rate = 0;
    result->idle_ns = 0;
    result->own_cpu_ns = SECOND_NS * 8 / 10;
    expect_limit(LIMIT_GENERATOR, "kept from a CPU 20 %");
}

static void what_spins_wants_a_cpu_all_the_time(void **state)
{
    (void)state;
    options.rate = 0;
    result->spins = true;
    result->own_cpu_ns = SECOND_NS * 8 / 10;
    expect_limit(LIMIT_GENERATOR, "kept from a CPU 20 %");
    result->own_cpu_ns = SECOND_NS;
    expect_limit(LIMIT_ELSEWHERE, "busy 50 %");
    result->own_cpu_ns = SECOND_NS + 1000;
    result->idle_ns = 0;
    options.pids.count = 1;
    expect_limit(LIMIT_UNKNOWN, "answers in a driver");
}

static void a_busy_generator_is_the_limit_only_if_the_server_had_time_left(void **state)
{
    (void)state;
    options.rate = 0;
    result->idle_ns = 0;
    result->own_cpu_ns = SECOND_NS;
    expect_limit(LIMIT_UNKNOWN, "--pid");
    options.pids.count = 2;
    result->pid_cpu_ns[0] = SECOND_NS / 2;
    result->pid_cpu_ns[1] = -1;
    expect_limit(LIMIT_GENERATOR, "took 0.50 cores");
    result->pid_cpu_ns[1] = SECOND_NS / 2;
    expect_limit(LIMIT_UNKNOWN, "took 1.00 cores");
}

static void a_run_that_ended_at_once_is_judged_without_dividing_by_zero(void **state)
{
    (void)state;
    memset(result, 0, sizeof *result);
    expect_limit(LIMIT_ELSEWHERE, "nothing was answered");
    options.rate = 0;
    expect_limit(LIMIT_UNKNOWN, "busy 0 %");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_schedule_that_was_kept_is_no_limit),
        TEST(pings_that_never_left_are_the_generators),
        TEST(pings_that_left_late_are_the_generators_if_that_is_most_of_the_latency),
        TEST(without_answers_there_is_no_latency_to_compare_with),
        TEST(overflowing_buffers_are_the_generators_in_either_loop),
        TEST(a_closed_loop_with_time_left_is_no_limit),
        TEST(a_closed_loop_without_an_idle_cpu_cannot_tell),
        TEST(being_kept_from_a_cpu_is_the_generators),
        TEST(what_spins_wants_a_cpu_all_the_time),
        TEST(a_busy_generator_is_the_limit_only_if_the_server_had_time_left),
        TEST(a_run_that_ended_at_once_is_judged_without_dividing_by_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

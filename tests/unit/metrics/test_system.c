/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "metrics/system.h"

#define NOBODY 65534
#define SECOND_NS INT64_C(1000000000)

static void process_counts_open_descriptors(void **state)
{
    struct metrics_process before;
    struct metrics_process after;
    (void)state;
    assert_int_equal(metrics_process_read(&before), 0);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(metrics_process_read(&after), 0);
    close(fd);
    assert_int_equal(after.open_fds, before.open_fds + 1);
}

static void process_has_the_limit_of_descriptors(void **state)
{
    struct metrics_process process;
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(metrics_process_read(&process), 0);
    assert_int_equal(process.max_fds, limit.rlim_cur);
}

static void process_started_before_now_and_after_this_test_was_begun(void **state)
{
    const int64_t *begun_ns = *state;
    struct metrics_process process;
    assert_int_equal(metrics_process_read(&process), 0);
    /* The kernel's time of its start is in whole seconds. */
    assert_in_range((int64_t)process.start_ns, *begun_ns - 3 * SECOND_NS,
                    clock_wall_ns() + 2 * SECOND_NS);
}

static void process_has_more_addresses_than_memory(void **state)
{
    struct metrics_process process;
    (void)state;
    assert_int_equal(metrics_process_read(&process), 0);
    assert_true(process.resident_bytes >= (uint64_t)sysconf(_SC_PAGESIZE));
    assert_true(process.virtual_bytes > process.resident_bytes);
}

static void process_spends_cpu_time(void **state)
{
    struct metrics_process before;
    struct metrics_process after;
    struct timespec now;
    (void)state;
    assert_int_equal(metrics_process_read(&before), 0);
    for (int i = 0; i < 1000; i++)
        clock_getres(CLOCK_MONOTONIC, &now);
    assert_int_equal(metrics_process_read(&after), 0);
    assert_true(after.cpu_ns > before.cpu_ns);
}

static void process_without_descriptors_is_an_error_and_leaves_the_output(void **state)
{
    struct metrics_process process = {.open_fds = 4711};
    struct rlimit limit;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int error = metrics_process_read(&process);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(error, -EMFILE);
    assert_int_equal(process.open_fds, 4711);
    assert_int_equal(process.max_fds, 0);
}

/* A service gives up root after its start, and what /proc shows of it is root's from then on. */
static void process_can_be_read_by_who_gave_up_root(void **state)
{
    struct metrics_process process;
    (void)state;
    if (geteuid() != 0) {
        print_message("SKIPPED: only root can give up root\n");
        skip();
    }
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(setresuid(NOBODY, NOBODY, NOBODY) == 0 && metrics_process_read(&process) == 0 ? 0
                                                                                            : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void clock_is_what_adjtimex_says(void **state)
{
    struct timex timex = {.modes = 0};
    struct metrics_clock clock = {.max_error_ns = 1};
    (void)state;
    if (adjtimex(&timex) < 0) {
        assert_int_equal(metrics_clock_read(&clock), -errno);
        assert_int_equal(clock.max_error_ns, 1);
        return;
    }
    assert_int_equal(metrics_clock_read(&clock), 0);
    assert_int_equal(clock.synchronized, (timex.status & STA_UNSYNC) == 0);
    /* The error grows with time, so it has not shrunk, unless somebody set the clock meanwhile. */
    assert_true(clock.max_error_ns >= (uint64_t)timex.maxerror * 1000 || clock.synchronized);
}

int main(void)
{
    int64_t begun_ns = clock_wall_ns();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(process_counts_open_descriptors),
        cmocka_unit_test(process_has_the_limit_of_descriptors),
        cmocka_unit_test_prestate(process_started_before_now_and_after_this_test_was_begun,
                                  &begun_ns),
        cmocka_unit_test(process_has_more_addresses_than_memory),
        cmocka_unit_test(process_spends_cpu_time),
        cmocka_unit_test(process_without_descriptors_is_an_error_and_leaves_the_output),
        cmocka_unit_test(process_can_be_read_by_who_gave_up_root),
        cmocka_unit_test(clock_is_what_adjtimex_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load/cpu.h"

/* Works until its CPU time has grown by this much. */
static void burn(int64_t ns)
{
    int64_t until_ns = cpu_own_ns() + ns;
    while (cpu_own_ns() < until_ns)
        continue;
}

static void own_time_is_that_of_this_process_by_its_id(void **state)
{
    (void)state;
    int64_t before_ns = cpu_own_ns();
    burn(2000000);
    int64_t by_id_ns = cpu_process_ns(getpid());
    assert_true(by_id_ns >= before_ns + 2000000);
    assert_true(cpu_own_ns() >= by_id_ns);
}

static void another_process_has_its_own_time(void **state)
{
    int ready[2];
    char byte;
    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        burn(5000000);
        (void)!write(ready[1], "x", 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    int64_t used_ns = cpu_process_ns(child);
    assert_true(used_ns >= 5000000);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(cpu_process_ns(child), -1);
    close(ready[0]);
    close(ready[1]);
}

static void idle_time_never_goes_back(void **state)
{
    (void)state;
    int64_t before_ns = cpu_idle_ns();
    assert_true(before_ns > 0);
    assert_true(cpu_idle_ns() >= before_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_time_is_that_of_this_process_by_its_id),
        cmocka_unit_test(another_process_has_its_own_time),
        cmocka_unit_test(idle_time_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The clocks of a process in a time namespace, and of the program in the kernel. */
#include "fastpath/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "support/cmocka.h"
#include "xdp/netns.h"
#include "xdp/program.h"

#define PORT 7600
#define SECOND_NS INT64_C(1000000000)
#define AHEAD "100000" /* seconds */
#define AHEAD_NS (INT64_C(100000) * SECOND_NS)

static const struct in6_addr my_address = PROGRAM_IPV4(10, 1, 2, 3);
static const struct in6_addr peer = PROGRAM_IPV4(10, 1, 2, 4);

static void a_process_outside_of_time_namespaces_has_the_kernels_clock(void **state)
{
    int64_t offset_ns = 1;

    (void)state;
    assert_int_equal(fastpath_clock_namespace_ns(&offset_ns), 0);
    assert_int_equal(offset_ns, 0);
}

/* The pong to a ping, from a program that was set up in this process's time namespace. */
static struct qcmp_packet ask(void)
{
    struct programs *programs = program_load();
    struct fields fields = program_ping(&peer, &my_address, PORT);
    struct frame frame = frame_make(&fields);
    struct qcmp_packet pong;

    program_add_port(programs, PORT);
    program_add_address(programs, &my_address, 0);
    assert_int_equal(program_run(programs, &frame), XDP_TX);
    assert_true(frame_read(&frame, &fields));
    assert_int_equal(qcmp_packet_decode(fields.data, fields.data_bytes, &pong, NULL), QCMP_PONG);
    program_unload(programs);
    return pong;
}

static int ask_in_namespace(void)
{
    int64_t offset_ns = 0, now_ns = clock_wall_ns();

    if (fastpath_clock_namespace_ns(&offset_ns) != 0 || offset_ns != AHEAD_NS)
        return EXIT_FAILURE;
    struct qcmp_packet pong = ask();
    return pong.server_start_ns >= now_ns && pong.server_start_ns < now_ns + 60 * SECOND_NS &&
                   pong.server_transmit_ns >= pong.server_start_ns
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}

/* The namespace is for children alone, and this process has one thread. */
static void pongs_from_a_time_namespace_are_stamped_right(void **state)
{
    static const char offset[] = "monotonic " AHEAD " 0\n";
    int status;

    (void)state;
    if (unshare(CLONE_NEWTIME) != 0) {
        print_message("SKIPPED: no time namespace can be had\n");
        skip();
    }
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, offset, strlen(offset)), strlen(offset));
    close(fd);
    pid_t child = fork();
    if (child == 0)
        _exit(ask_in_namespace());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_outside_of_time_namespaces_has_the_kernels_clock),
        cmocka_unit_test(pongs_from_a_time_namespace_are_stamped_right),
    };

    netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

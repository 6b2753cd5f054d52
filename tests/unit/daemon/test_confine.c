/* SPDX-License-Identifier: Apache-2.0 */
/* What the filters of system calls permit, each try in a process of its own. */
#include "daemon/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/bpf.h>
#include <linux/netlink.h>

#include "support/cmocka.h"

#define UDP_TYPE (SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

static int confine_process(void)
{
    return privileges_confine_process(false);
}

static int confine_process_with_bpf(void)
{
    return privileges_confine_process(true);
}

/* How a child ends that is confined and then does something: its exit status, which the function
 * gives, or -SIGSYS. */
static int end_of(int (*confine)(void), int (*doing)(void))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || confine() != 0)
            _exit(100);
        _exit(doing());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_a_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static int use_bpf(void)
{
    union bpf_attr none = {0};
    return syscall(SYS_bpf, 1000, &none, sizeof none) == -1 ? 0 : 1;
}

static int open_a_raw_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == EPERM ? 0 : 1;
}

static int do_what_the_control_thread_does(void)
{
    return socket(AF_INET, UDP_TYPE, 0) >= 0 &&
                   socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) >= 0 &&
                   socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) >= 0 &&
                   open("/proc/self/status", O_RDONLY | O_CLOEXEC) >= 0
               ? 0
               : 1;
}

static int open_a_udp_socket(void)
{
    int one = 1, fd = socket(AF_INET, UDP_TYPE, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    return fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) == 0 &&
                   bind(fd, (const struct sockaddr *)&any, sizeof any) == 0 && close(fd) == 0
               ? 0
               : 1;
}

static int open_a_file(void)
{
    return open("/etc/hostname", O_RDONLY | O_CLOEXEC) >= 0 ? 0 : 1;
}

static int read_much(void)
{
    char bytes[100];
    return read(-1, bytes, sizeof bytes) < 0 ? 0 : 1;
}

static int read_a_little_in_the_lower_half(void)
{
    uint64_t word;
    return syscall(SYS_read, -1, &word, (UINT64_C(1) << 32) + sizeof word) < 0 ? 0 : 1;
}

static int read_a_word(void)
{
    uint64_t word;
    return read(-1, &word, sizeof word) < 0 ? 0 : 1;
}

static int attach_a_device(void)
{
    return setsockopt(-1, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2) < 0 ? 0 : 1;
}

static int use_the_options_of_another_level(void)
{
    int one = 1;
    return setsockopt(-1, SOL_UDP, UDP_CORK, &one, sizeof one) < 0 ? 0 : 1;
}

static int move_memory(void)
{
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mremap(page, 4096, 8192, MREMAP_MAYMOVE) != MAP_FAILED ? 0 : 1;
}

static int do_nothing(void)
{
    return 0;
}

static void there_are_filters_on_this_machine(void **state)
{
    (void)state;
    if (end_of(confine_process, do_nothing) == 100)
        skip();
}

static void the_process_runs_no_program_and_opens_no_odd_socket(void **state)
{
    (void)state;
    assert_int_equal(end_of(confine_process, do_what_the_control_thread_does), 0);
    assert_int_equal(end_of(confine_process, open_a_raw_socket), 0);
    assert_int_equal(end_of(confine_process, run_a_program), -SIGSYS);
    assert_int_equal(end_of(confine_process_with_bpf, run_a_program), -SIGSYS);
}

static void bpf_is_for_the_control_thread_and_only_where_it_is_needed(void **state)
{
    (void)state;
    assert_int_equal(end_of(confine_process, use_bpf), -SIGSYS);
    assert_int_equal(end_of(confine_process_with_bpf, use_bpf), 0);
    assert_int_equal(end_of(privileges_confine_http, use_bpf), -SIGSYS);
    assert_int_equal(end_of(privileges_confine_worker, use_bpf), -SIGSYS);
    assert_int_equal(end_of(privileges_confine_http, open_a_udp_socket), -SIGSYS);
}

static void a_worker_has_udp_sockets_and_memory_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(end_of(privileges_confine_worker, open_a_udp_socket), 0);
    assert_int_equal(end_of(privileges_confine_worker, move_memory), 0);
    assert_int_equal(end_of(privileges_confine_worker, read_a_word), 0);
    assert_int_equal(end_of(privileges_confine_worker, read_much), -SIGSYS);
    if (sizeof(size_t) == 8)
        assert_int_equal(end_of(privileges_confine_worker, read_a_little_in_the_lower_half),
                         -SIGSYS);
    assert_int_equal(end_of(privileges_confine_worker, open_a_file), -SIGSYS);
    assert_int_equal(end_of(privileges_confine_worker, attach_a_device), -SIGSYS);
    assert_int_equal(end_of(privileges_confine_worker, use_the_options_of_another_level), -SIGSYS);
    assert_int_equal(end_of(privileges_confine_worker, run_a_program), -SIGSYS);
    assert_int_equal(end_of(privileges_confine_worker, open_a_raw_socket), -SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_filters_on_this_machine),
        cmocka_unit_test(the_process_runs_no_program_and_opens_no_odd_socket),
        cmocka_unit_test(bpf_is_for_the_control_thread_and_only_where_it_is_needed),
        cmocka_unit_test(a_worker_has_udp_sockets_and_memory_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

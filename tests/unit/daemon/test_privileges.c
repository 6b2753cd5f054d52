/* SPDX-License-Identifier: Apache-2.0 */
/* What a confined worker may do, each in a process of its own: anything else ends it. */
#include "daemon/privileges.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka.h"

#define UDP_TYPE (SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

/* Opened before the confinement. */
struct worker_files {
    int udp, epoll, null;
};

typedef bool act_fn(const struct worker_files *files);

/* Returns the status of a process that confines itself and acts; 1 where the act does not work. */
static int status_of(act_fn *act)
{
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct worker_files files = {.udp = socket(AF_INET, UDP_TYPE, 0),
                                           .epoll = epoll_create1(EPOLL_CLOEXEC),
                                           .null = open("/dev/null", O_RDWR | O_CLOEXEC)};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || privileges_confine_worker() != 0)
            _exit(2);
        _exit(act(&files) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static bool opens_binds_and_closes_udp(const struct worker_files *files)
{
    const int families[] = {AF_INET, AF_INET6};
    (void)files;
    for (int i = 0; i < 2; i++) {
        union {
            struct sockaddr_in ipv4;
            struct sockaddr_in6 ipv6;
            struct sockaddr any;
        } address = {.ipv6 = {.sin6_family = 0}};
        socklen_t bytes = i == 0 ? sizeof address.ipv4 : sizeof address.ipv6;
        int on = 1, fd = socket(families[i], UDP_TYPE, 0);
        address.any.sa_family = (sa_family_t)families[i];
        if (fd < 0) /* a host without IPv6 */
            return i == 1;
        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &on, sizeof on) != 0 ||
            (bind(fd, &address.any, bytes) != 0 && i == 0) || close(fd) != 0)
            return false;
    }
    return true;
}

static bool changes_its_epoll(const struct worker_files *files)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(files->epoll, EPOLL_CTL_ADD, files->udp, &event) == 0 &&
           epoll_ctl(files->epoll, EPOLL_CTL_DEL, files->udp, NULL) == 0;
}

static bool reads_a_counter(const struct worker_files *files)
{
    uint64_t value;
    return read(files->null, &value, sizeof value) == 0;
}

static bool opens_a_stream(const struct worker_files *files)
{
    (void)files;
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool opens_a_unix_socket(const struct worker_files *files)
{
    (void)files;
    return socket(AF_UNIX, UDP_TYPE, 0) >= 0;
}

static bool sets_an_option_of_tcp(const struct worker_files *files)
{
    int on = 1;
    return setsockopt(files->udp, IPPROTO_TCP, 1, &on, sizeof on) == 0;
}

static bool opens_a_file(const struct worker_files *files)
{
    (void)files;
    return open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0;
}

static bool reads_a_piece_of_a_file(const struct worker_files *files)
{
    char text[16];
    return read(files->null, text, sizeof text) == 0;
}

static bool connects(const struct worker_files *files)
{
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 1};
    return connect(files->udp, (const struct sockaddr *)&to, sizeof to) == 0;
}

static bool becomes_another_program(const struct worker_files *files)
{
    char *const arguments[] = {"true", NULL};
    (void)files;
    return execv("/bin/true", arguments) == 0;
}

static void a_confined_worker_does_its_work(void **state)
{
    act_fn *const permitted[] = {opens_binds_and_closes_udp, changes_its_epoll, reads_a_counter};
    (void)state;
    for (size_t i = 0; i < sizeof permitted / sizeof permitted[0]; i++)
        assert_int_equal(status_of(permitted[i]), 0);
}

static void a_confined_worker_is_ended_by_anything_else(void **state)
{
    act_fn *const refused[] = {
        opens_a_stream, opens_a_unix_socket,     sets_an_option_of_tcp,  opens_a_file,
        connects,       reads_a_piece_of_a_file, becomes_another_program};
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int status = status_of(refused[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_confined_worker_does_its_work),
        cmocka_unit_test(a_confined_worker_is_ended_by_anything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

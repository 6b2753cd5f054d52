/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_NS 50000000

/* Takes the place of the system's, by the linker's --wrap: there is no other way to a socket that
 * fails. */
static int failures_left;

int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    if (failures_left == 0)
        return __real_recvmmsg(fd, messages, count, flags, timeout);
    failures_left--;
    errno = ENOMEM;
    return -1;
}

/* Likewise a resolver that runs out of descriptors. */
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found);

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **found)
{
    if (hints->ai_flags & AI_NUMERICHOST)
        return __real_getaddrinfo(host, port, hints, found);
    if (strcmp(host, "three.addresses") == 0) {
        static const char *const addresses[] = {"127.0.0.2", "127.0.0.3", "127.0.0.1"};
        struct addrinfo numeric = *hints;

        numeric.ai_flags |= AI_NUMERICHOST;
        for (size_t i = 0; i < 3; i++, found = &(*found)->ai_next)
            assert_int_equal(__real_getaddrinfo(addresses[i], port, &numeric, found), 0);
        return 0;
    }
    errno = EMFILE;
    return EAI_SYSTEM;
}

/* A socket that never answers, and a run with it as the target. */
struct fixture {
    int fd;
    char text[32];
    struct ping_run run;
};

static void fixture_open(struct fixture *fixture)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof address;
    struct error error;
    const char *text = fixture->text;

    fixture->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_return_code(bind(fixture->fd, (struct sockaddr *)&address, bytes), errno);
    assert_return_code(getsockname(fixture->fd, (struct sockaddr *)&address, &bytes), errno);
    snprintf(fixture->text, sizeof fixture->text, "127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
    assert_int_equal(ping_targets_init(&fixture->run, &text, 1, QCMP_FAMILY_ANY, &error), 0);
}

static void fixture_close(struct fixture *fixture)
{
    ping_targets_fini(&fixture->run);
    close(fixture->fd);
}

static void an_error_of_the_socket_does_not_end_the_run(void **state)
{
    struct fixture fixture = {
        .run = {.amount = 3, .interval_ns = 1000000, .timeout_ns = TIMEOUT_NS}};

    (void)state;
    fixture_open(&fixture);
    failures_left = 2;
    assert_int_equal(ping_run(&fixture.run), 0);
    assert_int_equal(failures_left, 0);
    assert_int_equal(fixture.run.socket_errors, 2);
    assert_int_equal(fixture.run.last_socket_error, qcmp_error_from_os(ENOMEM));
    assert_int_equal(fixture.run.targets[0].ended, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(fixture.run.targets[0].pings[i].status, PING_TIMEOUT);
    fixture_close(&fixture);
}

static void a_socket_that_gives_nothing_but_errors_ends_the_run_and_keeps_its_results(void **state)
{
    struct fixture fixture = {
        .run = {.amount = 1000, .interval_ns = 10000000, .timeout_ns = TIMEOUT_NS}};
    const struct ping_target *target;

    (void)state;
    fixture_open(&fixture);
    failures_left = -1;
    assert_int_equal(ping_run(&fixture.run), qcmp_error_from_os(ENOMEM));
    failures_left = 0;
    target = &fixture.run.targets[0];
    assert_in_range(target->sent, 1, 999);
    assert_true(target->ended <= target->sent);
    for (size_t i = 0; i < target->sent; i++)
        assert_true(target->pings[i].status == PING_TIMEOUT ||
                    target->pings[i].status == PING_UNSENT);
    assert_false(fixture.run.interrupted);
    fixture_close(&fixture);
}

static void a_source_belongs_to_the_target_of_its_port_or_else_of_its_address(void **state)
{
    char texts[][16] = {"127.0.0.9:5", "127.0.0.2:7", "127.0.0.2:3", "127.0.0.9:5"};
    const char *pointers[] = {texts[0], texts[1], texts[2], texts[3]};
    struct ping_run run = {0};
    struct qcmp_endpoint peer;
    struct error error;

    (void)state;
    assert_int_equal(ping_targets_init(&run, pointers, 4, QCMP_FAMILY_ANY, &error), 0);
    assert_ptr_equal(ping_targets_find(&run, &run.targets[0].endpoint), &run.targets[0]);
    assert_ptr_equal(ping_targets_find(&run, &run.targets[1].endpoint), &run.targets[1]);
    assert_ptr_equal(ping_targets_find(&run, &run.targets[2].endpoint), &run.targets[2]);
    assert_ptr_equal(ping_targets_find(&run, &run.targets[3].endpoint), &run.targets[0]);
    peer = run.targets[0].endpoint;
    peer.port = 9;
    assert_ptr_equal(ping_targets_find(&run, &peer), &run.targets[0]);
    peer.address[15] = 5;
    assert_null(ping_targets_find(&run, &peer));
    peer.address[15] = 200;
    assert_null(ping_targets_find(&run, &peer));
    ping_targets_fini(&run);
}

static void the_signal_mask_is_as_before_when_the_run_is_over(void **state)
{
    struct fixture fixture = {.run = {.amount = 1, .timeout_ns = TIMEOUT_NS}};
    sigset_t before, after;

    (void)state;
    fixture_open(&fixture);
    sigprocmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(ping_run(&fixture.run), 0);
    sigprocmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(sigismember(&after, SIGINT), sigismember(&before, SIGINT));
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
    fixture_close(&fixture);
}

static void a_resolver_that_fails_tells_it_in_the_words_of_the_system(void **state)
{
    struct ping_run run = {0};
    char text[] = "some.name";
    const char *texts = text;
    struct error error;

    (void)state;
    assert_int_equal(ping_targets_init(&run, &texts, 1, QCMP_FAMILY_ANY, &error), 0);
    assert_string_equal(run.targets[0].error, strerror(EMFILE));
    ping_targets_fini(&run);
}

/* What a run has said of addresses that did not do. */
struct moves {
    char text[256];
};

static void note_move(const struct ping *ping, const char *address, void *user)
{
    struct moves *moves = user;
    size_t length = strlen(moves->text);

    snprintf(moves->text + length, sizeof moves->text - length, "%s %s, ", address,
             ping->status == PING_TIMEOUT ? "is silent" : "refuses");
}

static void the_next_address_of_a_name_is_tried_where_one_refuses_or_is_silent(void **state)
{
    struct moves moves = {.text = ""};
    struct ping_run run = {.amount = 2,
                           .interval_ns = 1000000,
                           .timeout_ns = TIMEOUT_NS,
                           .moved = note_move,
                           .user = &moves};
    struct sockaddr_in last = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_in first = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK + 1)}};
    socklen_t bytes = sizeof last;
    int silent[] = {socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET, SOCK_DGRAM, 0)};
    char text[64], expected[256];
    const char *texts = text;
    struct error error;

    (void)state;
    assert_return_code(bind(silent[0], (struct sockaddr *)&last, bytes), errno);
    assert_return_code(getsockname(silent[0], (struct sockaddr *)&last, &bytes), errno);
    first.sin_port = last.sin_port;
    assert_return_code(bind(silent[1], (struct sockaddr *)&first, bytes), errno);
    unsigned port = ntohs(last.sin_port);
    snprintf(text, sizeof text, "three.addresses:%u", port);
    assert_int_equal(ping_targets_init(&run, &texts, 1, QCMP_FAMILY_ANY, &error), 0);
    assert_int_equal(ping_run(&run), 0);
    snprintf(expected, sizeof expected, "127.0.0.2:%u is silent, 127.0.0.3:%u refuses, ", port,
             port);
    assert_string_equal(moves.text, expected);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", port);
    assert_string_equal(run.targets[0].endpoint_text, expected);
    assert_int_equal(run.targets[0].ended, 2);
    assert_int_equal(run.targets[0].pings[0].status, PING_TIMEOUT);
    assert_ptr_equal(ping_targets_find(&run, &run.targets[0].endpoint), &run.targets[0]);
    ping_targets_fini(&run);
    close(silent[0]);
    close(silent[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_of_the_socket_does_not_end_the_run),
        cmocka_unit_test(a_socket_that_gives_nothing_but_errors_ends_the_run_and_keeps_its_results),
        cmocka_unit_test(a_resolver_that_fails_tells_it_in_the_words_of_the_system),
        cmocka_unit_test(a_source_belongs_to_the_target_of_its_port_or_else_of_its_address),
        cmocka_unit_test(the_next_address_of_a_name_is_tried_where_one_refuses_or_is_silent),
        cmocka_unit_test(the_signal_mask_is_as_before_when_the_run_is_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

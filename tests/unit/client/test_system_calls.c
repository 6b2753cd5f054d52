/* SPDX-License-Identifier: Apache-2.0 */
/* What a ping costs in system calls and in memory, counted by the linker's --wrap. */
#include "support/loopback.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <qcmp/client.h>

#define SECOND_NS INT64_C(1000000000)

/* Counted by functions that have no other way to say so. */
static struct counts {
    int sendto, recvmsg, recvmmsg, ppoll, malloc;
    bool is_flooded; /* with notices about nothing, without end */
} counts;

#define WRAP(result, name, parameters, arguments)                                                  \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters                                                                \
    {                                                                                              \
        counts.name++;                                                                             \
        return __real_##name arguments;                                                            \
    }

/* NOLINTBEGIN(bugprone-reserved-identifier): the linker's names */
WRAP(ssize_t, sendto,
     (int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to,
      socklen_t to_bytes),
     (fd, data, bytes, flags, to, to_bytes))
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    counts.recvmsg++;
    if (!counts.is_flooded)
        return __real_recvmsg(fd, message, flags);
    message->msg_controllen = 0;
    return 0;
}

WRAP(int, recvmmsg,
     (int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),
     (fd, messages, count, flags, timeout))
WRAP(int, ppoll,
     (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
     (fds, count, timeout, mask))
WRAP(void *, malloc, (size_t bytes), (bytes))
/* NOLINTEND(bugprone-reserved-identifier) */

/* Answers pings for ever. */
static void answer(const struct loopback *server)
{
    for (;;) {
        struct sockaddr_storage peer;
        socklen_t peer_bytes = sizeof peer;
        struct qcmp_packet packet;
        uint8_t data[QCMP_MAX_BYTES];
        ssize_t bytes =
            recvfrom(server->fd, data, sizeof data, 0, (struct sockaddr *)&peer, &peer_bytes);
        if (bytes < 0 || qcmp_packet_decode(data, (size_t)bytes, &packet, NULL) != QCMP_PING)
            continue;
        packet.kind = QCMP_PONG;
        packet.server_start_ns = packet.server_transmit_ns = packet.client_ns;
        bytes = qcmp_packet_encode(&packet, data, sizeof data);
        if (sendto(server->fd, data, (size_t)bytes, 0, (struct sockaddr *)&peer, peer_bytes) < 0)
            _exit(1);
    }
}

/* A responder in a process of its own. */
struct responder {
    struct loopback socket;
    pid_t pid;
};

static int setup(void **state)
{
    static struct responder responder;
    responder.socket = loopback_open(AF_INET);
    responder.pid = fork();
    if (responder.pid == 0)
        answer(&responder.socket);
    *state = &responder;
    return responder.pid < 0;
}

static int teardown(void **state)
{
    struct responder *responder = *state;
    kill(responder->pid, SIGKILL);
    waitpid(responder->pid, NULL, 0);
    loopback_close(&responder->socket);
    return 0;
}

static int waiting_calls(void)
{
    return counts.sendto + counts.recvmsg + counts.recvmmsg + counts.ppoll;
}

/* A machine with other things to do makes a wait end early now and then. */
static void a_blocking_ping_sends_waits_and_reads_once(void **state)
{
    struct responder *responder = *state;
    int least = 100;
    for (int i = 0; i < 50 && least > 4; i++) {
        struct qcmp_sample sample;
        memset(&counts, 0, sizeof counts);
        assert_int_equal(qcmp_distance_measure((struct sockaddr *)&responder->socket.address,
                                               responder->socket.address_bytes, 10 * SECOND_NS,
                                               &sample),
                         0);
        assert_int_equal(counts.malloc, 0);
        least = waiting_calls() < least ? waiting_calls() : least;
    }
    assert_int_equal(least, 4);
}

static void a_client_allocates_once_and_a_ping_not_at_all(void **state)
{
    struct responder *responder = *state;
    struct qcmp_client_event events[16];
    struct qcmp_client *client;
    int least = 100;
    memset(&counts, 0, sizeof counts);
    assert_int_equal(qcmp_client_new(&client, NULL), 0);
    assert_int_equal(counts.malloc, 1);
    for (int i = 0; i < 50; i++) {
        counts.sendto = counts.recvmsg = counts.recvmmsg = counts.ppoll = 0;
        assert_int_equal(qcmp_client_ping(client, (struct sockaddr *)&responder->socket.address,
                                          responder->socket.address_bytes, 10 * SECOND_NS, NULL,
                                          NULL),
                         0);
        while (qcmp_client_process(client, events, 16) != 1)
            assert_int_equal(qcmp_client_wait(client, SECOND_NS), 0);
        assert_int_equal(events[0].kind, QCMP_CLIENT_ANSWERED);
        least = waiting_calls() < least ? waiting_calls() : least;
    }
    qcmp_client_free(client);
    assert_int_equal(counts.malloc, 1);
    assert_true(least <= 6);
}

static void a_flood_of_notices_is_read_in_parts(void **state)
{
    const struct responder *responder = *state;
    struct qcmp_client_event event;
    struct qcmp_client *client;
    assert_int_equal(qcmp_client_new(&client, NULL), 0);
    assert_int_equal(qcmp_client_ping(client, (const struct sockaddr *)&responder->socket.address,
                                      responder->socket.address_bytes, SECOND_NS / 20, NULL, NULL),
                     0);
    memset(&counts, 0, sizeof counts);
    counts.is_flooded = true;
    assert_in_range(qcmp_client_process(client, &event, 1), 0, 1);
    assert_true(counts.recvmsg <= 256 + 1);
    if (counts.recvmsg > 256) /* and what is left is due at once */
        assert_int_equal(qcmp_client_deadline(client), 0);
    while (qcmp_client_in_flight(client) >
           0) /* answered, or timed out: the flood holds up neither */
        assert_in_range(qcmp_client_process(client, &event, 1), 0, 1);
    counts.is_flooded = false;
    qcmp_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_blocking_ping_sends_waits_and_reads_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_client_allocates_once_and_a_ping_not_at_all, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_flood_of_notices_is_read_in_parts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

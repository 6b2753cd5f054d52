/* The kernel's transient errors: sendto and recvmmsg fail as often as the test asks before they do
 * their work (the linker's --wrap puts the two functions here in their place). */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include <qcmp/client.h>

#include "support/loopback.h"

#define SECOND_NS INT64_C(1000000000)
#define SHORT_NS INT64_C(30000000)

struct failure {
    int times; /* still to come */
    int error;
};

/* What replaced functions cannot be passed otherwise. */
static struct failure send_failure, receive_failure;

ssize_t __real_sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to,
                      socklen_t to_bytes);
ssize_t __wrap_sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to,
                      socklen_t to_bytes);
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);

static bool fails(struct failure *failure)
{
    if (failure->times == 0)
        return false;
    failure->times--;
    errno = failure->error;
    return true;
}

ssize_t __wrap_sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to,
                      socklen_t to_bytes)
{
    return fails(&send_failure) ? -1 : __real_sendto(fd, data, bytes, flags, to, to_bytes);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    return fails(&receive_failure) ? -1 : __real_recvmmsg(fd, messages, count, flags, timeout);
}

static int ping_after(struct failure failure)
{
    struct loopback server = loopback_open(AF_INET);
    struct qcmp_client *client;
    assert_int_equal(qcmp_client_new(&client, NULL), 0);
    send_failure = failure;
    int error = qcmp_client_ping(client, (struct sockaddr *)&server.address, server.address_bytes,
                                 SECOND_NS, NULL, NULL);
    assert_int_equal(qcmp_client_in_flight(client), error == 0);
    assert_int_equal(loopback_readable(&server), error == 0);
    send_failure.times = 0;
    qcmp_client_free(client);
    loopback_close(&server);
    return error;
}

static void pending_errors_of_other_pings_fail_no_send(void **state)
{
    (void)state;
    assert_int_equal(ping_after((struct failure){10, ECONNREFUSED}), 0);
    assert_int_equal(ping_after((struct failure){10, EHOSTUNREACH}), 0);
    assert_int_equal(ping_after((struct failure){10, EACCES}), 0);
}

static void a_send_that_cannot_succeed_gives_up(void **state)
{
    (void)state;
    assert_int_equal(ping_after((struct failure){1000, ENETUNREACH}),
                     qcmp_error_from_os(ENETUNREACH));
}

static void errors_that_the_network_does_not_send_are_the_sends_own(void **state)
{
    (void)state;
    assert_int_equal(ping_after((struct failure){1, ENOBUFS}), qcmp_error_from_os(ENOBUFS));
}

static void measuring_goes_on_after_an_error_of_the_socket(void **state)
{
    (void)state;
    struct loopback nobody = loopback_open(AF_INET);
    struct qcmp_sample sample = {.rtt_ns = 42};
    receive_failure = (struct failure){1, ENOMEM};
    assert_int_equal(qcmp_distance_measure((struct sockaddr *)&nobody.address, nobody.address_bytes,
                                           SHORT_NS, &sample),
                     QCMP_ERROR_TIMED_OUT);
    assert_int_equal(receive_failure.times, 0);
    assert_int_equal(sample.rtt_ns, 42);
    loopback_close(&nobody);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pending_errors_of_other_pings_fail_no_send),
        cmocka_unit_test(a_send_that_cannot_succeed_gives_up),
        cmocka_unit_test(errors_that_the_network_does_not_send_are_the_sends_own),
        cmocka_unit_test(measuring_goes_on_after_an_error_of_the_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

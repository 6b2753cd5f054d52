/* SPDX-License-Identifier: Apache-2.0 */
/* The relay over loopback, in one thread: a run that is told to stop before it begins handles what
 * is there and ends. System calls fail on request. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/address.h"
#include "relay/relay.h"
#include "support/cmocka.h"
#include "support/loopback.h"

#define S INT64_C(1000000000)

int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);

/* How many of the next calls fail, and with what; how many messages a send takes at most; whether
 * what is received has no stamp, as what came before the kernel began to stamp. */
static struct {
    int sends, receives, error;
    unsigned most;
    bool is_unstamped;
} faults;

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    if (faults.sends > 0) {
        faults.sends--;
        errno = faults.error;
        return -1;
    }
    if (faults.most > 0 && count > faults.most)
        count = faults.most;
    return __real_sendmmsg(fd, messages, count, flags);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    if (faults.receives > 0) {
        faults.receives--;
        errno = faults.error;
        return -1;
    }
    int received = __real_recvmmsg(fd, messages, count, flags, timeout);
    for (int i = 0; i < received && faults.is_unstamped; i++)
        messages[i].msg_hdr.msg_controllen = 0;
    return received;
}

struct fixture {
    struct loopback server, client;
    struct relay *relay;
    struct sockaddr_storage address;
    socklen_t address_bytes;
    int stop_fd;
};

static struct fixture fixture_open(struct impair_settings up, size_t max_clients)
{
    struct fixture fixture = {.server = loopback_open(AF_INET), .client = loopback_open(AF_INET)};
    struct relay_options options = {
        .listen = address_from_ipv4((struct in_addr){.s_addr = htonl(INADDR_LOOPBACK)}),
        .to = fixture.server.address,
        .to_bytes = fixture.server.address_bytes,
        .settings = {[RELAY_UP] = up},
        .idle_ns = 60 * S,
        .max_clients = max_clients};
    faults.sends = faults.receives = 0;
    faults.most = 0;
    faults.is_unstamped = false;
    assert_int_equal(relay_open(&fixture.relay, &options), 0);
    relay_address(fixture.relay, &fixture.address, &fixture.address_bytes);
    fixture.stop_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fixture.stop_fd >= 0);
    return fixture;
}

static void fixture_close(struct fixture *fixture)
{
    relay_close(fixture->relay);
    loopback_close(&fixture->server);
    loopback_close(&fixture->client);
    close(fixture->stop_fd);
}

static void send_from(const struct fixture *fixture, const struct loopback *client, uint8_t number)
{
    loopback_send(client, &number, sizeof number, &fixture->address, fixture->address_bytes);
}

static void run(const struct fixture *fixture)
{
    assert_int_equal(relay_run(fixture->relay, fixture->stop_fd), 0);
}

static void expect_at_server(const struct fixture *fixture, uint8_t number)
{
    uint8_t got = 0;
    struct sockaddr_storage from;
    socklen_t from_bytes = sizeof from;
    assert_int_equal(loopback_receive(&fixture->server, &got, sizeof got, &from, &from_bytes), 1);
    assert_int_equal(got, number);
}

static void a_send_that_fails_is_counted_and_the_others_go_on(void **state)
{
    static const int errors[] = {ENOBUFS, EAGAIN, EPERM, ENETDOWN, ENOMEM};
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        struct fixture fixture = fixture_open((struct impair_settings){0}, 1);
        for (uint8_t number = 1; number <= 3; number++)
            send_from(&fixture, &fixture.client, number);
        faults.sends = 2; /* the first datagram, and its second chance */
        faults.error = errors[i];
        run(&fixture);
        struct relay_counts counts = relay_counts(fixture.relay, RELAY_UP);
        assert_int_equal(counts.received, 3);
        assert_int_equal(counts.forwarded, 2);
        assert_int_equal(counts.send_errors, 1);
        assert_int_equal(counts.dropped_queue, 1);
        expect_at_server(&fixture, 2);
        expect_at_server(&fixture, 3);
        fixture_close(&fixture);
    }
}

static void an_error_about_an_earlier_datagram_costs_none(void **state)
{
    struct fixture fixture = fixture_open((struct impair_settings){0}, 1);
    (void)state;
    send_from(&fixture, &fixture.client, 1);
    faults.sends = 1;
    faults.error = ECONNREFUSED;
    run(&fixture);
    assert_int_equal(relay_counts(fixture.relay, RELAY_UP).forwarded, 1);
    expect_at_server(&fixture, 1);
    fixture_close(&fixture);
}

static void what_one_call_does_not_take_the_next_does(void **state)
{
    struct fixture fixture = fixture_open((struct impair_settings){0}, 1);
    (void)state;
    for (uint8_t number = 0; number < 20; number++)
        send_from(&fixture, &fixture.client, number);
    faults.most = 3;
    run(&fixture);
    assert_int_equal(relay_counts(fixture.relay, RELAY_UP).forwarded, 20);
    for (uint8_t number = 0; number < 20; number++)
        expect_at_server(&fixture, number);
    fixture_close(&fixture);
}

static void an_error_of_receiving_is_counted_and_loses_nothing(void **state)
{
    struct fixture fixture = fixture_open((struct impair_settings){0}, 1);
    (void)state;
    send_from(&fixture, &fixture.client, 1);
    faults.receives = 1;
    faults.error = ENOMEM;
    run(&fixture);
    struct relay_counts counts = relay_counts(fixture.relay, RELAY_UP);
    assert_int_equal(counts.receive_errors, 1);
    assert_int_equal(counts.forwarded, 1);
    expect_at_server(&fixture, 1);
    fixture_close(&fixture);
}

static void what_has_no_stamp_is_received_before_the_end_as_well(void **state)
{
    const uint8_t count = 100; /* more than two calls take */
    struct fixture fixture = fixture_open((struct impair_settings){0}, 1);
    (void)state;
    for (uint8_t number = 0; number < count; number++)
        send_from(&fixture, &fixture.client, number);
    faults.is_unstamped = true;
    run(&fixture);
    assert_int_equal(relay_counts(fixture.relay, RELAY_UP).received, count);
    for (uint8_t number = 0; number < count; number++)
        expect_at_server(&fixture, number);
    fixture_close(&fixture);
}

static void a_client_for_whom_there_is_no_room_is_counted_and_others_stay(void **state)
{
    struct fixture fixture = fixture_open((struct impair_settings){0}, 1);
    struct loopback second = loopback_open(AF_INET);
    (void)state;
    send_from(&fixture, &fixture.client, 1);
    send_from(&fixture, &second, 2);
    send_from(&fixture, &second, 3);
    send_from(&fixture, &fixture.client, 4);
    run(&fixture);
    struct relay_counts counts = relay_counts(fixture.relay, RELAY_UP);
    assert_int_equal(counts.received, 4);
    assert_int_equal(counts.no_client, 2);
    assert_int_equal(counts.forwarded, 2);
    assert_int_equal(relay_clients_seen(fixture.relay), 1);
    expect_at_server(&fixture, 1);
    expect_at_server(&fixture, 4);
    loopback_close(&second);
    fixture_close(&fixture);
}

static void what_waits_is_kept_for_the_next_run(void **state)
{
    struct fixture fixture = fixture_open((struct impair_settings){.delay_ns = 3600 * S}, 1);
    (void)state;
    send_from(&fixture, &fixture.client, 1);
    run(&fixture);
    run(&fixture);
    struct relay_counts counts = relay_counts(fixture.relay, RELAY_UP);
    assert_int_equal(counts.received, 1);
    assert_int_equal(counts.unsent, 1);
    assert_false(loopback_readable(&fixture.server));
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_send_that_fails_is_counted_and_the_others_go_on),
        cmocka_unit_test(an_error_about_an_earlier_datagram_costs_none),
        cmocka_unit_test(what_one_call_does_not_take_the_next_does),
        cmocka_unit_test(an_error_of_receiving_is_counted_and_loses_nothing),
        cmocka_unit_test(what_has_no_stamp_is_received_before_the_end_as_well),
        cmocka_unit_test(a_client_for_whom_there_is_no_room_is_counted_and_others_stay),
        cmocka_unit_test(what_waits_is_kept_for_the_next_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

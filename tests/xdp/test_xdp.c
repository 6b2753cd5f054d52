/* The life of XDP on an interface: ports, losses, and when it leaves; over veth, whose other end
 * lacks a program, so that
 every answer is lost. */
#include "fastpath/xdp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "fastpath/addresses.h"
#include "fastpath/device.h"
#include "fastpath/health.h"
#include "support/cmocka.h"
#include "xdp/frame.h"
#include "xdp/netns.h"

#define PORT 7600
#define PATIENCE_NS INT64_C(20000000000)

/* Whether interfaces are to look like hardware. */
static bool is_hardware;

int __real_xdp_device_read(unsigned interface, struct xdp_device *device);
int __wrap_xdp_device_read(unsigned interface, struct xdp_device *device);

int __wrap_xdp_device_read(unsigned interface, struct xdp_device *device)
{
    int error = __real_xdp_device_read(interface, device);
    if (error == 0 && is_hardware)
        device->is_hardware = true;
    return error;
}

/* What putting rules in place says; 0 is to do it. */
static int rules_error;

int __real_xdp_rules_apply(struct xdp_rules_store *store);
int __wrap_xdp_rules_apply(struct xdp_rules_store *store);

int __wrap_xdp_rules_apply(struct xdp_rules_store *store)
{
    return rules_error != 0 ? rules_error : __real_xdp_rules_apply(store);
}

/* What listing addresses says, 0 is to do it; and how often it was asked. */
static int list_error;
static unsigned lists;

int __real_xdp_addresses_list(struct xdp_addresses *addresses,
                              const struct xdp_address_filter *filter);
int __wrap_xdp_addresses_list(struct xdp_addresses *addresses,
                              const struct xdp_address_filter *filter);

int __wrap_xdp_addresses_list(struct xdp_addresses *addresses,
                              const struct xdp_address_filter *filter)
{
    lists++;
    return list_error != 0 ? list_error : __real_xdp_addresses_list(addresses, filter);
}

static int make_pair(void **state)
{
    (void)state;
    netns_ip("link add here type veth peer name there");
    netns_ip("addr add 10.9.0.1/24 dev here");
    netns_ip("link set here up");
    netns_ip("link set there up");
    return 0;
}

static int remove_pair(void **state)
{
    (void)state;
    is_hardware = false;
    rules_error = 0;
    list_error = 0;
    netns_ip("link del here");
    return 0;
}

static int open_on_here(struct xdp **xdp, bool automatic, char *error, size_t capacity)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    struct xdp_options options = {.interface = "here",
                                  .mode = XDP_MODE_NATIVE,
                                  .automatic = automatic,
                                  .listen = &any,
                                  .listen_count = 1};
    return xdp_open(xdp, &options, error, capacity);
}

static struct xdp *opened(bool automatic)
{
    char error[XDP_ERROR_BYTES];
    struct xdp *xdp = NULL;
    int code = open_on_here(&xdp, automatic, error, sizeof error);
    if (code == -EPERM) {
        fprintf(stderr, "skipped: %s\n", error);
        exit(NETNS_SKIP);
    }
    if (code != 0)
        fail_msg("%s", error);
    return xdp;
}

static struct frame make_ping(void)
{
    struct fields fields = {.from_mac = {2, 1, 1, 1, 1, 1}, .source_port = 9, .port = PORT};
    struct qcmp_packet ping = {.kind = QCMP_PING};
    struct xdp_device device;
    assert_int_equal(__real_xdp_device_read(if_nametoindex("here"), &device), 0);
    memcpy(fields.to_mac, device.mac, sizeof fields.to_mac);
    fields.source = fields.destination = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    inet_pton(AF_INET, "10.9.0.2", fields.source.s6_addr + 12);
    inet_pton(AF_INET, "10.9.0.1", fields.destination.s6_addr + 12);
    fields.data_bytes = (size_t)qcmp_packet_encode(&ping, fields.data, sizeof fields.data);
    return frame_make(&fields);
}

static void send_pings(unsigned count)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("there")};
    struct frame ping = make_ping();
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(sendto(fd, ping.bytes, ping.length, 0, (struct sockaddr *)&to, sizeof to),
                         ping.length);
    close(fd);
}

static uint64_t answered(const struct xdp *xdp)
{
    struct counters_sum sum = {0};
    uint64_t count = 0;
    xdp_count(xdp, &sum, &count);
    assert_int_equal(sum.answered, count);
    assert_int_equal(sum.received, count);
    assert_int_equal(sum.packets[OUTCOME_VALID], count);
    assert_int_equal(sum.bytes[OUTCOME_VALID], count * QCMP_PING_BYTES);
    return count;
}

/* Frames cross the pair in no time, but not in the sender's call. */
static void await_answered(const struct xdp *xdp, uint64_t wanted)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (answered(xdp) != wanted && clock_monotonic_ns() < end_ns)
        nanosleep(&pause, NULL);
    assert_int_equal(answered(xdp), wanted);
}

static uint64_t lost(void)
{
    uint64_t errors;
    assert_int_equal(xdp_device_transmit_errors(if_nametoindex("here"), &errors), 0);
    return errors;
}

/* The driver counts them after the program has. The pair is new, so there were none before. */
static void await_lost(uint64_t wanted)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (lost() != wanted && clock_monotonic_ns() < end_ns)
        nanosleep(&pause, NULL);
    assert_int_equal(lost(), wanted);
}

static void only_ports_that_were_added_and_not_removed_are_answered(void **state)
{
    (void)state;
    struct xdp *xdp = opened(false);
    assert_string_equal(xdp_interface(xdp), "here");
    assert_true(xdp_is_attached(xdp));
    send_pings(3);
    xdp_port_add(xdp, PORT);
    xdp_port_add(xdp, PORT + 1);
    send_pings(2);
    await_answered(xdp, 2);
    xdp_port_remove(xdp, PORT);
    send_pings(4);
    xdp_port_add(xdp, PORT);
    send_pings(1);
    await_answered(xdp, 3);
    xdp_close(xdp);
}

static void nothing_is_answered_once_it_is_detached(void **state)
{
    (void)state;
    struct xdp *xdp = opened(false);
    xdp_port_add(xdp, PORT);
    send_pings(1);
    await_answered(xdp, 1);
    xdp_detach(xdp);
    assert_false(xdp_is_attached(xdp));
    send_pings(5);
    assert_int_equal(xdp_tick(xdp), XDP_NOTHING);
    assert_int_equal(answered(xdp), 1);
    xdp_close(xdp);
}

static void losses_are_said_once_to_who_asked_for_it(void **state)
{
    (void)state;
    struct xdp *xdp = opened(false);
    xdp_port_add(xdp, PORT);
    assert_int_equal(xdp_tick(xdp), XDP_NOTHING);
    send_pings(XDP_HEALTH_ERRORS);
    await_answered(xdp, XDP_HEALTH_ERRORS);
    await_lost(XDP_HEALTH_ERRORS);
    assert_int_equal(xdp_tick(xdp), XDP_LOSING);
    assert_int_equal(xdp_transmit_errors(xdp), XDP_HEALTH_ERRORS);
    assert_true(xdp_is_attached(xdp));
    send_pings(XDP_HEALTH_ERRORS);
    await_answered(xdp, 2 * XDP_HEALTH_ERRORS);
    await_lost(2 * XDP_HEALTH_ERRORS);
    assert_int_equal(xdp_tick(xdp), XDP_NOTHING);
    assert_true(xdp_is_attached(xdp));
    xdp_close(xdp);
}

static void losses_make_it_leave_when_it_came_by_itself(void **state)
{
    (void)state;
    is_hardware = true;
    struct xdp *xdp = opened(true);
    xdp_port_add(xdp, PORT);
    send_pings(2 * XDP_HEALTH_ERRORS);
    await_answered(xdp, 2 * XDP_HEALTH_ERRORS);
    await_lost(2 * XDP_HEALTH_ERRORS);
    assert_int_equal(xdp_tick(xdp), XDP_LOSSES);
    assert_false(xdp_is_attached(xdp));
    send_pings(5);
    assert_int_equal(xdp_tick(xdp), XDP_NOTHING);
    assert_int_equal(answered(xdp), 2 * XDP_HEALTH_ERRORS);
    xdp_close(xdp);
}

static void it_does_not_come_by_itself_to_what_is_no_hardware(void **state)
{
    char error[XDP_ERROR_BYTES];
    struct xdp *xdp = NULL;
    (void)state;
    assert_int_equal(open_on_here(&xdp, true, error, sizeof error), -ENODEV);
    assert_string_equal(error, "here is no hardware interface");
    assert_null(xdp);
}

/* How many pings were refused for their source. */
static uint64_t denied(const struct xdp *xdp)
{
    struct counters_sum sum = {0};
    uint64_t count = 0;
    xdp_count(xdp, &sum, &count);
    return sum.packets[OUTCOME_ACCESS_DENIED];
}

static void await_denied(const struct xdp *xdp, uint64_t wanted)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    int64_t end_ns = clock_monotonic_ns() + PATIENCE_NS;
    while (denied(xdp) != wanted && clock_monotonic_ns() < end_ns)
        nanosleep(&pause, NULL);
    assert_int_equal(denied(xdp), wanted);
}

static void deny_all(struct xdp *xdp)
{
    static const struct prefix_list none;
    struct prefix all = {.bits = PREFIX_IPV4_BITS, .address = {.s6_addr = {[10] = 0xff, 0xff}}};
    struct prefix_list list = {.items = &all, .count = 1};
    struct xdp_rules_options options = {.allow = &none, .deny = &list};
    assert_int_equal(xdp_prepare_rules(xdp, &options), 0);
}

static void rules_hold_from_the_change_on(void **state)
{
    (void)state;
    struct xdp *xdp = opened(false);
    xdp_port_add(xdp, PORT);
    deny_all(xdp);
    send_pings(2);
    await_answered(xdp, 2);
    assert_int_equal(xdp_replace_rules(xdp), 0);
    send_pings(3);
    await_denied(xdp, 3);
    assert_int_equal(xdp_tick(xdp), XDP_NOTHING);
    assert_true(xdp_is_attached(xdp));
    xdp_close(xdp);
}

static void it_leaves_rather_than_go_on_by_old_rules(void **state)
{
    (void)state;
    struct xdp *xdp = opened(false);
    xdp_port_add(xdp, PORT);
    deny_all(xdp);
    rules_error = -EPERM;
    assert_int_equal(xdp_replace_rules(xdp), -EPERM);
    assert_false(xdp_is_attached(xdp));
    send_pings(5);
    assert_int_equal(xdp_tick(xdp), XDP_UNRULED);
    assert_int_equal(xdp_tick(xdp), XDP_NOTHING);
    assert_int_equal(answered(xdp), 0);
    xdp_close(xdp);
}

/* Ticks until addresses have been listed so often, or something has happened, which it returns. */
static enum xdp_event tick_until_listed(struct xdp *xdp, unsigned times)
{
    enum xdp_event event = XDP_NOTHING;
    for (unsigned end = lists + times; lists < end && event == XDP_NOTHING;) {
        event = xdp_tick(xdp);
        poll(NULL, 0, 5); /* they are listed ten times a second at most */
    }
    return event;
}

static void want_of_a_descriptor_is_borne_for_a_while(void **state)
{
    (void)state;
    struct xdp *xdp = opened(false);
    for (int i = 0; i < 2; i++) { /* after a success it may be wanting again */
        list_error = -EMFILE;
        netns_ip("addr add 10.9.1.1/24 dev here");
        assert_int_equal(tick_until_listed(xdp, 6), XDP_NOTHING);
        list_error = 0;
        assert_int_equal(tick_until_listed(xdp, 1), XDP_NOTHING);
        assert_true(xdp_is_attached(xdp));
        netns_ip("addr del 10.9.1.1/24 dev here");
    }
    list_error = -EMFILE;
    assert_int_equal(tick_until_listed(xdp, 20), XDP_FAILED);
    assert_false(xdp_is_attached(xdp));
    xdp_close(xdp);
}

static void closing_nothing_does_nothing(void **state)
{
    (void)state;
    xdp_close(NULL);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, make_pair, remove_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(only_ports_that_were_added_and_not_removed_are_answered),
        PAIR_TEST(nothing_is_answered_once_it_is_detached),
        PAIR_TEST(losses_are_said_once_to_who_asked_for_it),
        PAIR_TEST(losses_make_it_leave_when_it_came_by_itself),
        PAIR_TEST(it_does_not_come_by_itself_to_what_is_no_hardware),
        PAIR_TEST(rules_hold_from_the_change_on),
        PAIR_TEST(it_leaves_rather_than_go_on_by_old_rules),
        PAIR_TEST(want_of_a_descriptor_is_borne_for_a_while),
        cmocka_unit_test(closing_nothing_does_nothing),
    };
    netns_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

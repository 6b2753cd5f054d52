/* SPDX-License-Identifier: Apache-2.0 */
/* The life of XDP on an interface: ports, losses, and when it leaves; over veth, whose other end
 * lacks a program, so that
 * every answer is lost. */
#include "qcmp/fast.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
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

int __real_fastpath_device_read(unsigned interface, struct fastpath_device *device);
int __wrap_fastpath_device_read(unsigned interface, struct fastpath_device *device);

int __wrap_fastpath_device_read(unsigned interface, struct fastpath_device *device)
{
    int error = __real_fastpath_device_read(interface, device);
    if (error == 0 && is_hardware)
        device->is_hardware = true;
    return error;
}

/* What putting rules in place says; 0 is to do it. */
static int rules_error;

int __real_guard_driver_apply(struct guard_driver *store);
int __wrap_guard_driver_apply(struct guard_driver *store);

int __wrap_guard_driver_apply(struct guard_driver *store)
{
    return rules_error != 0 ? rules_error : __real_guard_driver_apply(store);
}

/* What listing addresses says, 0 is to do it; and how often it was asked. */
static int list_error;
static unsigned lists;

int __real_fastpath_addresses_list(struct fastpath_addresses *addresses,
                                   const struct fastpath_address_filter *filter);
int __wrap_fastpath_addresses_list(struct fastpath_addresses *addresses,
                                   const struct fastpath_address_filter *filter);

int __wrap_fastpath_addresses_list(struct fastpath_addresses *addresses,
                                   const struct fastpath_address_filter *filter)
{
    lists++;
    return list_error != 0 ? list_error : __real_fastpath_addresses_list(addresses, filter);
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

/* The fast path, with QCMP's part. */
struct xdp {
    struct fastpath *fastpath;
    struct qcmp_fast *fast;
};

static int open_on_here(struct fastpath **fastpath, bool automatic, struct error *error)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    struct fastpath_options options = {.interfaces = "here",
                                       .mode = XDP_MODE_NATIVE,
                                       .automatic = automatic,
                                       .listen = &any,
                                       .listen_count = 1};
    return fastpath_open(fastpath, &options, error);
}

static struct xdp opened(bool automatic)
{
    struct error error;
    struct xdp xdp = {.fast = NULL};
    int code = open_on_here(&xdp.fastpath, automatic, &error);

    if (code == 0)
        code = qcmp_fast_open(&xdp.fast, xdp.fastpath, &error);
    if (code == -EPERM) {
        fprintf(stderr, "skipped: %s\n", error.text);
        exit(NETNS_SKIP);
    }
    if (code != 0)
        fail_msg("%s", error.text);
    return xdp;
}

static void closed(struct xdp *xdp)
{
    qcmp_fast_close(xdp->fast);
    fastpath_close(xdp->fastpath);
}

static struct frame make_ping(void)
{
    struct fields fields = {.from_mac = {2, 1, 1, 1, 1, 1}, .source_port = 9, .port = PORT};
    struct qcmp_packet ping = {.kind = QCMP_PING};
    struct fastpath_device device;
    assert_int_equal(__real_fastpath_device_read(if_nametoindex("here"), &device), 0);
    uint32_t first = (uint32_t)device.mac;
    uint16_t last = (uint16_t)(device.mac >> 32);
    memcpy(fields.to_mac, &first, sizeof first);
    memcpy(fields.to_mac + sizeof first, &last, sizeof last);
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
    uint64_t packets[OUTCOME_COUNT] = {0}, bytes[OUTCOME_COUNT] = {0}, count = 0, received = 0;
    qcmp_fast_count(xdp->fast, packets, bytes, &count);
    for (size_t i = 0; i < OUTCOME_COUNT; i++)
        received += packets[i];
    assert_int_equal(received, count);
    assert_int_equal(packets[OUTCOME_VALID], count);
    assert_int_equal(bytes[OUTCOME_VALID], count * QCMP_PING_BYTES);
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
    assert_int_equal(fastpath_device_transmit_errors(if_nametoindex("here"), &errors), 0);
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
    struct xdp xdp = opened(false);
    assert_string_equal(fastpath_interfaces(xdp.fastpath), "here");
    assert_true(fastpath_is_attached(xdp.fastpath));
    send_pings(3);
    fastpath_port_add(xdp.fastpath, PORT, FASTPATH_QCMP);
    fastpath_port_add(xdp.fastpath, PORT + 1, FASTPATH_QCMP);
    send_pings(2);
    await_answered(&xdp, 2);
    fastpath_port_remove(xdp.fastpath, PORT);
    send_pings(4);
    fastpath_port_add(xdp.fastpath, PORT, FASTPATH_QCMP);
    send_pings(1);
    await_answered(&xdp, 3);
    closed(&xdp);
}

static unsigned reroutes;
static struct fastpath_reroute told;

static void count_reroute(const struct fastpath_reroute *reroute, void *user)
{
    (void)user;
    reroutes += reroute->is_all;
    told = *reroute;
}

/* A socket filter that keeps so many bytes. */
static int load_filter(int kept)
{
    const struct bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = kept},
                                       {.code = BPF_JMP | BPF_EXIT}};
    return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "filter", "Apache-2.0", program, 2, NULL);
}

/* Two of them are one change of the network, as when a route goes and another one comes. */
static void changes_that_follow_each_other_are_told_at_once_but_not_without_end(void **state)
{
    (void)state;
    const unsigned many = 40;
    struct error error;
    struct xdp xdp = opened(false);
    struct fastpath_departures departures = {.program_fd = -1, .rerouted = count_reroute};
    assert_int_equal(fastpath_watch_departures(xdp.fastpath, &departures, &error), -EBADF);
    netns_ip("route add 10.8.0.0/24 dev here");
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    departures.program_fd = load_filter(0);
    departures.narrowing_fd = -1;
    assert_int_equal(fastpath_watch_departures(xdp.fastpath, &departures, &error), -EBADF);
    departures.narrowing_fd = departures.program_fd;
    assert_int_equal(fastpath_watch_departures(xdp.fastpath, &departures, &error), 0);
    close(departures.program_fd);
    reroutes = 0;
    int64_t start_ns = clock_monotonic_ns();
    for (unsigned i = 1; i <= many; i++) {
        netns_ip(i % 2 == 0 ? "route add 10.8.0.0/24 dev here" : "route del 10.8.0.0/24 dev here");
        assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
        if (i <= 4)
            assert_int_equal(reroutes, i);
    }
    int64_t seconds = (clock_monotonic_ns() - start_ns) / INT64_C(1000000000);
    assert_in_range(reroutes, 4, seconds + 10);
    closed(&xdp);
}

/* As a router says that a packet to a peer, which it returns, was too long for a path. */
static void say_too_long(uint8_t last_of_peer)
{
    const struct sockaddr_in here = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint8_t said[8 + 28] = {3, 4, [8] = 0x45, [8 + 16] = 10, 3, 0, last_of_peer};
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    assert_int_equal(sendto(fd, said, sizeof said, 0, (const struct sockaddr *)&here, sizeof here),
                     sizeof said);
    close(fd);
}

static void peers_behind_narrower_paths_are_told_each_once(void **state)
{
    (void)state;
    const struct in6_addr peer = {.s6_addr = {[10] = 0xff, 0xff, 10, 3, 0, 1}};
    struct error error;
    struct xdp xdp = opened(false);
    int filter = load_filter(0), keeper = load_filter(1500);
    struct fastpath_departures departures = {
        .program_fd = filter, .narrowing_fd = keeper, .rerouted = count_reroute};
    assert_int_equal(fastpath_watch_departures(xdp.fastpath, &departures, &error), 0);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    for (unsigned i = 0; i < 3; i++)
        say_too_long(1);
    struct pollfd poll_fd = {.fd = fastpath_poll_fd(xdp.fastpath), .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, 0), 1);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    assert_int_equal(told.narrower_count, 1);
    assert_memory_equal(&told.narrower[0], &peer, sizeof peer);
    for (unsigned i = 0; i < 2 * FASTPATH_REROUTED_NEIGHBOURS; i++)
        say_too_long((uint8_t)i);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    assert_int_equal(told.narrower_count, FASTPATH_REROUTED_NEIGHBOURS + 1);
    close(filter);
    close(keeper);
    closed(&xdp);
}

static void nothing_is_answered_once_it_is_detached(void **state)
{
    (void)state;
    struct xdp xdp = opened(false);
    fastpath_port_add(xdp.fastpath, PORT, FASTPATH_QCMP);
    send_pings(1);
    await_answered(&xdp, 1);
    fastpath_detach(xdp.fastpath);
    assert_false(fastpath_is_attached(xdp.fastpath));
    send_pings(5);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    assert_int_equal(answered(&xdp), 1);
    closed(&xdp);
}

static void losses_are_said_once_to_who_asked_for_it(void **state)
{
    (void)state;
    struct xdp xdp = opened(false);
    fastpath_port_add(xdp.fastpath, PORT, FASTPATH_QCMP);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    send_pings(FASTPATH_HEALTH_ERRORS);
    await_answered(&xdp, FASTPATH_HEALTH_ERRORS);
    await_lost(FASTPATH_HEALTH_ERRORS);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_LOSING);
    assert_int_equal(fastpath_transmit_errors(xdp.fastpath), FASTPATH_HEALTH_ERRORS);
    assert_true(fastpath_is_attached(xdp.fastpath));
    send_pings(FASTPATH_HEALTH_ERRORS);
    await_answered(&xdp, 2 * FASTPATH_HEALTH_ERRORS);
    await_lost(2 * FASTPATH_HEALTH_ERRORS);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    assert_true(fastpath_is_attached(xdp.fastpath));
    closed(&xdp);
}

static void losses_make_it_leave_when_it_came_by_itself(void **state)
{
    (void)state;
    is_hardware = true;
    struct xdp xdp = opened(true);
    fastpath_port_add(xdp.fastpath, PORT, FASTPATH_QCMP);
    send_pings(2 * FASTPATH_HEALTH_ERRORS);
    await_answered(&xdp, 2 * FASTPATH_HEALTH_ERRORS);
    await_lost(2 * FASTPATH_HEALTH_ERRORS);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_LOSSES);
    assert_false(fastpath_is_attached(xdp.fastpath));
    send_pings(5);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    assert_int_equal(answered(&xdp), 2 * FASTPATH_HEALTH_ERRORS);
    closed(&xdp);
}

static void it_does_not_come_by_itself_to_what_is_no_hardware(void **state)
{
    struct error error;
    struct fastpath *fastpath = NULL;

    (void)state;
    assert_int_equal(open_on_here(&fastpath, true, &error), -ENODEV);
    assert_string_equal(error.text, "here is no hardware interface");
    assert_null(fastpath);
}

/* How many pings were refused for their source. */
static uint64_t denied(const struct xdp *xdp)
{
    uint64_t packets[OUTCOME_COUNT] = {0}, bytes[OUTCOME_COUNT] = {0}, count = 0;
    qcmp_fast_count(xdp->fast, packets, bytes, &count);
    return packets[OUTCOME_ACCESS_DENIED];
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
    struct guard_driver_options options = {.allow = &none, .deny = &list};
    assert_int_equal(qcmp_fast_prepare(xdp->fast, &options), 0);
}

static void rules_hold_from_the_change_on(void **state)
{
    (void)state;
    struct xdp xdp = opened(false);
    fastpath_port_add(xdp.fastpath, PORT, FASTPATH_QCMP);
    deny_all(&xdp);
    send_pings(2);
    await_answered(&xdp, 2);
    assert_int_equal(qcmp_fast_replace(xdp.fast), 0);
    send_pings(3);
    await_denied(&xdp, 3);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    assert_true(fastpath_is_attached(xdp.fastpath));
    closed(&xdp);
}

static void it_leaves_rather_than_go_on_by_old_rules(void **state)
{
    (void)state;
    struct xdp xdp = opened(false);
    fastpath_port_add(xdp.fastpath, PORT, FASTPATH_QCMP);
    deny_all(&xdp);
    rules_error = -EPERM;
    assert_int_equal(qcmp_fast_replace(xdp.fast), -EPERM);
    assert_false(fastpath_is_attached(xdp.fastpath));
    send_pings(5);
    assert_int_equal(fastpath_tick(xdp.fastpath), FASTPATH_NOTHING);
    assert_int_equal(answered(&xdp), 0);
    closed(&xdp);
}

/* Ticks until addresses have been listed so often, or something has happened, which it returns. */
static enum fastpath_event tick_until_listed(struct xdp *xdp, unsigned times)
{
    enum fastpath_event event = FASTPATH_NOTHING;
    for (unsigned end = lists + times; lists < end && event == FASTPATH_NOTHING;) {
        event = fastpath_tick(xdp->fastpath);
        poll(NULL, 0, 5); /* they are listed ten times a second at most */
    }
    return event;
}

static void want_of_a_descriptor_is_borne_for_a_while(void **state)
{
    (void)state;
    struct xdp xdp = opened(false);
    for (int i = 0; i < 2; i++) { /* after a success it may be wanting again */
        list_error = -EMFILE;
        netns_ip("addr add 10.9.1.1/24 dev here");
        assert_int_equal(tick_until_listed(&xdp, 6), FASTPATH_NOTHING);
        list_error = 0;
        assert_int_equal(tick_until_listed(&xdp, 1), FASTPATH_NOTHING);
        assert_true(fastpath_is_attached(xdp.fastpath));
        netns_ip("addr del 10.9.1.1/24 dev here");
    }
    list_error = -EMFILE;
    assert_int_equal(tick_until_listed(&xdp, 20), FASTPATH_FAILED);
    assert_false(fastpath_is_attached(xdp.fastpath));
    closed(&xdp);
}

static void closing_nothing_does_nothing(void **state)
{
    (void)state;
    qcmp_fast_close(NULL);
    fastpath_close(NULL);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, make_pair, remove_pair)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(only_ports_that_were_added_and_not_removed_are_answered),
        PAIR_TEST(changes_that_follow_each_other_are_told_at_once_but_not_without_end),
        PAIR_TEST(peers_behind_narrower_paths_are_told_each_once),
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

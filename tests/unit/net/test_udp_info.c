/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <poll.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/bind.h"
#include "net/udp_info.h"

#define PATIENCE_NS INT64_C(10000000000)

/* What came with a datagram. */
struct received {
    alignas(size_t) uint8_t control[256];
    size_t bytes;
};

struct sockets {
    int receiver;
    uint16_t port;
    bool ipv6;
};

static void open_receiver(struct sockets *sockets, struct in6_addr address)
{
    struct binding binding = {.address = address, .buffer_bytes = 65536};
    assert_int_equal(bind_open(&sockets->receiver, 1, &binding, 0), 0);
    sockets->port = address_bound_port(sockets->receiver);
    sockets->ipv6 = binding_is_ipv6(&binding);
}

static struct in6_addr ipv4(uint32_t address)
{
    return address_from_ipv4((struct in_addr){htonl(address)});
}

static void send_to(const struct sockets *sockets, const struct in6_addr *to)
{
    struct sockaddr_storage address;
    socklen_t bytes = address_to_socket(to, sockets->port, &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), yes = 1;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes), 0);
    assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, bytes), 1);
    close(fd);
}

static struct received receive(const struct sockets *sockets)
{
    struct received received;
    struct pollfd ready = {.fd = sockets->receiver, .events = POLLIN};
    char data[16];
    struct iovec vector = {data, sizeof data};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = received.control,
                             .msg_controllen = sizeof received.control};
    assert_int_equal(poll(&ready, 1, 5000), 1);
    assert_int_equal(recvmsg(sockets->receiver, &message, 0), 1);
    received.bytes = message.msg_controllen;
    return received;
}

/* The kernel begins to stamp a moment after a socket asked for it. */
static struct received receive_stamped(const struct sockets *sockets, const struct in6_addr *to)
{
    struct received received = {.bytes = 0};
    struct in6_addr mapped;
    for (int64_t end_ns = clock_monotonic_ns() + PATIENCE_NS; clock_monotonic_ns() < end_ns;) {
        send_to(sockets, to);
        received = receive(sockets);
        struct received copy = received;
        if (udp_info_read(copy.control, copy.bytes, &mapped).received_ns != 0)
            return received;
    }
    fail_msg("the kernel does not stamp");
    return received;
}

/* Reads messages both ways, which must come to the same. */
static void check_usual(const struct received *received, const struct in6_addr *to)
{
    struct received one = *received, other = *received;
    struct in6_addr mapped;
    int64_t received_ns = 0;
    struct udp_info info = udp_info_read(one.control, one.bytes, &mapped);
    struct udp_info usual = udp_info_usual(other.control);
    assert_true(udp_info_read_usual(other.control, other.bytes, &received_ns));
    assert_true(received_ns > 0 && received_ns == info.received_ns);
    assert_memory_equal(info.destination, to, sizeof *to);
    assert_memory_equal(usual.destination, to, sizeof *to);
    assert_int_equal((uint8_t *)usual.reply - other.control, (uint8_t *)info.reply - one.control);
    assert_int_equal(usual.reply_bytes, info.reply_bytes);
    assert_memory_equal(usual.reply, info.reply, info.reply_bytes);
}

static void check_unusual(const struct received *received, const struct in6_addr *destination)
{
    struct received one = *received, other = *received;
    struct in6_addr mapped;
    int64_t received_ns = 0;
    struct udp_info info = udp_info_read(one.control, one.bytes, &mapped);
    assert_false(udp_info_read_usual(other.control, other.bytes, &received_ns));
    assert_int_equal(received_ns, 0);
    assert_memory_equal(other.control, received->control, received->bytes);
    assert_memory_equal(info.destination, destination, sizeof *destination);
    assert_non_null(info.reply);
}

static void a_dual_stack_socket_has_the_usual_messages(void **state)
{
    const struct in6_addr loopback = ipv4(INADDR_LOOPBACK);
    struct sockets sockets;
    (void)state;
    open_receiver(&sockets, in6addr_any);
    if (!sockets.ipv6) {
        close(sockets.receiver);
        print_message("SKIPPED: this host has no IPv6\n");
        skip();
    }
    struct received ipv4_one = receive_stamped(&sockets, &loopback);
    check_usual(&ipv4_one, &loopback);
    struct received ipv6_one = receive_stamped(&sockets, &in6addr_loopback);
    check_usual(&ipv6_one, &in6addr_loopback);
    close(sockets.receiver);
}

static void a_broadcast_destination_is_told_as_the_limited_one(void **state)
{
    const struct in6_addr all = ipv4(0x7fffffff), told = ipv4(INADDR_BROADCAST);
    const struct in6_addr bindings[] = {in6addr_any, ipv4(INADDR_ANY)};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct sockets sockets;
        open_receiver(&sockets, bindings[i]);
        struct received received = receive_stamped(&sockets, &all);
        check_unusual(&received, &told);
        close(sockets.receiver);
    }
}

static void an_ipv4_socket_has_others(void **state)
{
    const struct in6_addr loopback = ipv4(INADDR_LOOPBACK);
    struct sockets sockets;
    (void)state;
    open_receiver(&sockets, ipv4(INADDR_ANY));
    struct received received = receive_stamped(&sockets, &loopback);
    check_unusual(&received, &loopback);
    close(sockets.receiver);
}

/* A packet info, as the kernel gives it, behind a stamp. */
static struct received made_up(const struct in6_addr *destination, int level)
{
    struct received received = {.bytes = UDP_INFO_USUAL_IPV6_BYTES};
    struct cmsghdr *header = (struct cmsghdr *)received.control;
    struct scm_timestamping stamps = {.ts = {{.tv_sec = 1, .tv_nsec = 2}}};
    struct in6_pktinfo packet = {.ipi6_addr = *destination, .ipi6_ifindex = 7};
    header->cmsg_level = SOL_SOCKET;
    memcpy(CMSG_DATA(header), &stamps, sizeof stamps);
    header = (struct cmsghdr *)(received.control + UDP_INFO_STAMP_BYTES);
    header->cmsg_level = level;
    memcpy(CMSG_DATA(header), &packet, sizeof packet);
    return received;
}

static unsigned interface_of(const struct udp_info *info)
{
    struct in6_pktinfo packet;
    memcpy(&packet, CMSG_DATA(info->reply), sizeof packet);
    return packet.ipi6_ifindex;
}

static void only_a_link_local_address_keeps_its_interface(void **state)
{
    const struct in6_addr addresses[] = {
        {.s6_addr = {0xfe, 0x80, [15] = 1}}, {.s6_addr = {0x20, 0x01, [15] = 1}}, ipv4(0xc0000201)};
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct received received = made_up(&addresses[i], IPPROTO_IPV6);
        struct udp_info info = udp_info_usual(received.control);
        check_usual(&received, &addresses[i]);
        assert_true(udp_info_read_usual(received.control, received.bytes, &info.received_ns));
        assert_int_equal(info.received_ns, 1000000002);
        assert_int_equal(interface_of(&info), i == 0 ? 7 : 0);
    }
}

static void messages_in_another_order_are_not_usual(void **state)
{
    struct received received = made_up(&in6addr_loopback, SOL_SOCKET);
    int64_t received_ns = 0;
    (void)state;
    assert_false(udp_info_read_usual(received.control, received.bytes, &received_ns));
    assert_false(udp_info_read_usual(received.control, UDP_INFO_STAMP_BYTES, &received_ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dual_stack_socket_has_the_usual_messages),
        cmocka_unit_test(a_broadcast_destination_is_told_as_the_limited_one),
        cmocka_unit_test(an_ipv4_socket_has_others),
        cmocka_unit_test(only_a_link_local_address_keeps_its_interface),
        cmocka_unit_test(messages_in_another_order_are_not_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A program that sees what an interface sends, in a network namespace of its own. */
#include "fastpath/tap.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "xdp/netns.h"

#define FRAMES 5

static int count_fd, program_fd;

/* One that counts frames by where they go, and keeps none. */
static int load(void)
{
    const struct bpf_insn program[] = {
        {BPF_LDX | BPF_MEM | BPF_W, 0, 1, offsetof(struct __sk_buff, pkt_type), 0},
        {BPF_STX | BPF_MEM | BPF_W, 10, 0, -4, 0},
        {BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0},
        {BPF_ALU64 | BPF_ADD, 2, 0, 0, -4},
        {BPF_LD | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, count_fd},
        {0, 0, 0, 0, 0},
        {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 2, 0},
        {BPF_ALU64 | BPF_MOV, 1, 0, 0, 1},
        {BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD},
        {BPF_ALU64 | BPF_MOV, 0, 0, 0, 0},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
    };
    return bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "tap", "Apache-2.0", program,
                         sizeof program / sizeof program[0], NULL);
}

static unsigned long long count(uint32_t type)
{
    unsigned long long frames = 0;
    assert_int_equal(bpf_map_lookup_elem(count_fd, &type, &frames), 0);
    return frames;
}

/* Sends datagrams from loopback to itself. */
static void send_some(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof to;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &bytes), 0);
    for (unsigned i = 0; i < FRAMES; i++)
        assert_int_equal(sendto(fd, "x", 1, 0, (const struct sockaddr *)&to, sizeof to), 1);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    count_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "count", sizeof(uint32_t), sizeof(uint64_t),
                              PACKET_OUTGOING + 1, NULL);
    program_fd = load();
    assert_true(count_fd >= 0 && program_fd >= 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(program_fd);
    close(count_fd);
    return 0;
}

static void frames_that_leave_are_shown_once_and_not_kept(void **state)
{
    (void)state;
    char byte;
    send_some();
    assert_int_equal(count(PACKET_OUTGOING), 0);
    int fd = fastpath_tap_open(if_nametoindex("lo"), program_fd);
    assert_true(fd >= 0);
    send_some();
    assert_int_equal(count(PACKET_OUTGOING), FRAMES);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
    send_some();
    assert_int_equal(count(PACKET_OUTGOING), FRAMES);
}

static void what_cannot_be_watched_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(fastpath_tap_open(12345, program_fd), -ENODEV);
    assert_int_equal(fastpath_tap_open(if_nametoindex("lo"), -1), -EBADF);
    assert_int_equal(fastpath_tap_open(if_nametoindex("lo"), count_fd), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_leave_are_shown_once_and_not_kept),
        cmocka_unit_test(what_cannot_be_watched_is_an_error),
    };
    netns_enter();
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

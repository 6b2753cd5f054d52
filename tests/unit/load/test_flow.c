/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "load/flow.h"
#include "support/loopback.h"

#define PAUSE_NS 20000000

/* Whether a pause follows each reading of a clock, as on a machine that has other things to do. */
static bool is_slow;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    int result = __real_clock_gettime(clock, time);
    if (is_slow)
        nanosleep(&pause, NULL);
    return result;
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* On the heap, so that a sanitizer sees what is read beyond it. */
static struct flow_piece *piece_new(size_t bytes, size_t datagram_bytes)
{
    struct flow_piece *piece = calloc(1, sizeof *piece);
    assert_non_null(piece);
    piece->bytes = bytes;
    piece->datagram_bytes = datagram_bytes;
    return piece;
}

/* The datagrams lie behind each other, none reaches beyond what was kept, and their sizes add up to
 * the piece's as far as it was kept. */
static void check_piece(size_t bytes, size_t datagram_bytes)
{
    struct flow_piece *piece = piece_new(bytes, datagram_bytes);
    size_t count = flow_piece_count(piece);
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        size_t got = SIZE_MAX;
        const uint8_t *data = flow_piece_datagram(piece, i, &got);
        if (got == 0) {
            assert_true(bytes == 0 || i * datagram_bytes + QCMP_MAX_BYTES > FLOW_KEPT_BYTES ||
                        i * datagram_bytes + (bytes - i * datagram_bytes) > FLOW_KEPT_BYTES);
            continue;
        }
        size_t readable = got < QCMP_MAX_BYTES ? got : QCMP_MAX_BYTES;
        assert_ptr_equal(data, piece->data + sum);
        assert_true(data + readable <= piece->data + FLOW_KEPT_BYTES);
        assert_true(got == datagram_bytes || (i == count - 1 && got < datagram_bytes));
        sum += got;
    }
    if (bytes <= FLOW_KEPT_BYTES)
        assert_int_equal(sum, bytes);
    free(piece);
}

static void a_piece_is_its_datagrams_whatever_their_size(void **state)
{
    static const size_t sizes[] = {1, 2, 17, 32, 33, 34, 100, 1000, 2176, 9000, 65507};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t bytes = 0; bytes < 70000; bytes += 1 + bytes / 50)
            check_piece(bytes, sizes[i]);
}

static void an_empty_datagram_is_one(void **state)
{
    struct flow_piece *piece = piece_new(0, 1);
    size_t bytes = 1;
    (void)state;
    assert_int_equal(flow_piece_count(piece), 1);
    (void)flow_piece_datagram(piece, 0, &bytes);
    assert_int_equal(bytes, 0);
    free(piece);
}

static void as_many_pongs_as_a_batch_has_are_kept(void **state)
{
    struct flow_piece *piece = piece_new((size_t)FLOW_BATCH * QCMP_PONG_BYTES, QCMP_PONG_BYTES);
    size_t bytes = 0;
    (void)state;
    assert_int_equal(flow_piece_count(piece), FLOW_BATCH);
    assert_ptr_equal(flow_piece_datagram(piece, FLOW_BATCH - 1, &bytes),
                     piece->data + (size_t)(FLOW_BATCH - 1) * QCMP_PONG_BYTES);
    assert_int_equal(bytes, QCMP_PONG_BYTES);
    free(piece);
}

static void an_answer_has_not_come_before_it_was_sent(void **state)
{
    struct loopback server = loopback_open(AF_INET);
    struct flow_io *io = malloc(sizeof *io);
    struct sockaddr_storage client;
    socklen_t client_bytes;
    uint8_t ping[QCMP_PING_BYTES];
    (void)state;
    assert_non_null(io);
    flow_io_init(io, false);
    int fd = flow_open(&server.address, server.address_bytes, false);
    assert_true(fd >= 0);
    assert_int_equal(flow_send(io, fd, 1), 1);
    loopback_receive(&server, ping, sizeof ping, &client, &client_bytes);
    int64_t sent_ns = monotonic_ns();
    loopback_send(&server, ping, sizeof ping, &client, client_bytes);
    is_slow = true;
    int count = flow_receive(io, fd);
    is_slow = false;
    assert_int_equal(count, 1);
    assert_true(io->pieces[0].received_ns >= sent_ns);
    assert_true(io->pieces[0].received_ns <= monotonic_ns());
    close(fd);
    loopback_close(&server);
    free(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_piece_is_its_datagrams_whatever_their_size),
        cmocka_unit_test(an_empty_datagram_is_one),
        cmocka_unit_test(as_many_pongs_as_a_batch_has_are_kept),
        cmocka_unit_test(an_answer_has_not_come_before_it_was_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

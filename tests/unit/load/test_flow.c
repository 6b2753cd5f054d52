#include "support/cmocka.h"

#include <stdlib.h>

#include "load/flow.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_piece_is_its_datagrams_whatever_their_size),
        cmocka_unit_test(an_empty_datagram_is_one),
        cmocka_unit_test(as_many_pongs_as_a_batch_has_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the codec costs, beside a memcpy of as many bytes as a pong has, through the same loop. */
#include "bench.h"

#include <qcmp/wire.h>

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITERATIONS UINT64_C(5000000)

/* Each in a cache line of its own: where a copy crosses one, the baseline takes several times as
 * long. */
struct work {
    alignas(64) uint8_t bytes[QCMP_MAX_BYTES];
    alignas(64) uint8_t copy[QCMP_MAX_BYTES];
    size_t size;
    struct qcmp_packet packet;
};

/* Through a pointer that the compiler cannot see through, for the codec is a call too. */
typedef void *(*copy_fn)(void *to, const void *from, size_t bytes);

static void copy_33_bytes(uint64_t iterations, void *user)
{
    struct work *work = user;
    copy_fn volatile hidden = memcpy;
    const copy_fn copy = hidden;

    for (uint64_t i = 0; i < iterations; i++) {
        copy(work->copy, work->bytes, sizeof work->bytes);
        bench_keep(work);
    }
}

static void decode(uint64_t iterations, void *user)
{
    struct work *work = user;

    for (uint64_t i = 0; i < iterations; i++) {
        (void)qcmp_packet_decode(work->bytes, work->size, &work->packet, NULL);
        bench_keep(work);
    }
}

static void encode(uint64_t iterations, void *user)
{
    struct work *work = user;

    for (uint64_t i = 0; i < iterations; i++) {
        (void)qcmp_packet_encode(&work->packet, work->copy, sizeof work->copy);
        bench_keep(work);
    }
}

static void run_kind(enum qcmp_kind kind, const char *decode_name, const char *encode_name,
                     double baseline_ns)
{
    struct work work = {.packet = {.kind = kind,
                                   .nonce = 0xbf,
                                   .client_ns = INT64_C(1700000000123456789),
                                   .server_start_ns = INT64_C(1700000000123556789),
                                   .server_transmit_ns = INT64_C(1700000000123566789)}};
    const int bytes = qcmp_packet_encode(&work.packet, work.bytes, sizeof work.bytes);

    work.size = (size_t)bytes;
    if (qcmp_packet_decode(work.bytes, work.size, &work.packet, NULL) != (int)kind) {
        fprintf(stderr, "the codec does not work\n");
        exit(EXIT_FAILURE);
    }
    bench_print(decode_name, bench_run(decode, ITERATIONS, &work), baseline_ns);
    bench_print(encode_name, bench_run(encode, ITERATIONS, &work), baseline_ns);
}

int main(void)
{
    struct work work = {.size = QCMP_MAX_BYTES};
    const struct bench_result baseline = bench_run(copy_33_bytes, ITERATIONS, &work);

    bench_print_head("codec", ITERATIONS);
    bench_print("baseline: memcpy, 33 bytes", baseline, baseline.median_ns);
    run_kind(QCMP_PING, "decode ping, 17 bytes", "encode ping, 17 bytes", baseline.median_ns);
    run_kind(QCMP_PONG, "decode pong, 33 bytes", "encode pong, 33 bytes", baseline.median_ns);
    return EXIT_SUCCESS;
}

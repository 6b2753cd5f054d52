/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * For parts that may get datagrams whose checksum the sender left to its network interface, as
 * between containers: the UDP header then has the sum of the addresses alone (a partial checksum).
 */
#ifndef PADDOCK_FASTPATH_CHECKSUM_BPF_H
#define PADDOCK_FASTPATH_CHECKSUM_BPF_H

#include "fastpath/part.bpf.h"

/* A part of a frame whose sum is taken: as long as the longest UDP datagram in it, or less. */
#define CHECKSUM_MAX_AT 255
#define CHECKSUM_STEP 32
#define CHECKSUM_STEPS (4096 / CHECKSUM_STEP)

/** The sum of words of a frame as they are in memory, which part_fold() folds. A function of its
 * own, which the verifier looks at once.
 * @param at offset of the first byte, at most #CHECKSUM_MAX_AT.
 * @param bytes how many, below 4096; all of them are in the frame. */
__attribute__((noinline)) uint64_t checksum_sum(struct xdp_md *context, uint32_t at, uint32_t bytes)
{
    const void *end = (void *)(uintptr_t)context->data_end;
    const void *next = (void *)(uintptr_t)context->data + (at & CHECKSUM_MAX_AT);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < CHECKSUM_STEPS; i++) {
        const uint32_t *words = next;
        if (bytes < CHECKSUM_STEP || next + CHECKSUM_STEP > end)
            break;
#pragma unroll
        for (uint32_t j = 0; j < CHECKSUM_STEP / sizeof *words; j++)
            sum += words[j];
        next += CHECKSUM_STEP;
        bytes -= CHECKSUM_STEP;
    }
    for (uint32_t i = 0; i < CHECKSUM_STEP / sizeof(uint16_t); i++) {
        if (bytes < sizeof(uint16_t) || next + sizeof(uint16_t) > end)
            break;
        sum += *(const uint16_t *)next;
        next += sizeof(uint16_t);
        bytes -= sizeof(uint16_t);
    }
    if (bytes == 1 && next + 1 <= end)
        sum += bpf_htons((uint16_t)(*(const uint8_t *)next << 8));
    return sum;
}

#endif

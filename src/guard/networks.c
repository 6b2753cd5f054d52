/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/networks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IPV4_BITS 96 /* that all v4-mapped addresses share */
#define NETWORK_BITS (IPV4_BITS + 24)
#define EVERY_ONE UINT64_C(0x5555555555555555)

/* A prefix, and where it is in the list. */
struct range {
    uint32_t address; /* host order */
    uint32_t bits;
    uint32_t order;
    uint8_t verdict;
};

static int compare_numbers(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* What is inside comes behind what it is in. */
static int compare_ranges(const void *first, const void *second)
{
    const struct range *a = first, *b = second;
    int order = compare_numbers(a->bits, b->bits);
    if (order == 0)
        order = compare_numbers(a->address, b->address);
    return order != 0 ? order : compare_numbers(a->order, b->order);
}

static void write_range(uint64_t *words, const struct range *range)
{
    uint32_t network = range->address >> 8;
    uint32_t networks = range->bits < NETWORK_BITS ? 1U << (NETWORK_BITS - range->bits) : 1;
    uint64_t *word = &words[network / GUARD_NETWORKS_PER_WORD];
    uint64_t pattern = EVERY_ONE * range->verdict;
    if (networks >= GUARD_NETWORKS_PER_WORD) {
        for (uint32_t i = 0; i < networks / GUARD_NETWORKS_PER_WORD; i++)
            word[i] = pattern;
        return;
    }
    uint64_t mask = ((UINT64_C(1) << 2 * networks) - 1) << 2 * (network % GUARD_NETWORKS_PER_WORD);
    *word = (*word & ~mask) | (pattern & mask);
}

/* Each prefix is written once, however often it is listed, so that the work has a bound. */
int guard_networks_fill(uint64_t *words, const struct guard_driver_prefix *prefixes,
                        const uint8_t *allowed, size_t count)
{
    struct range *ranges = calloc(count, sizeof *ranges);
    size_t found = 0;

    if (ranges == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct guard_driver_prefix *prefix = &prefixes[i];
        uint8_t verdict = allowed[i] ? GUARD_NETWORK_ALLOWED : GUARD_NETWORK_DENIED;
        if (prefix->bits < IPV4_BITS || prefix->address[0] != 0 || prefix->address[1] != 0 ||
            prefix->address[2] != htonl(0xffff))
            continue;
        ranges[found++] =
            (struct range){.address = ntohl(prefix->address[3]),
                           .bits = prefix->bits,
                           .order = (uint32_t)i,
                           .verdict = prefix->bits > NETWORK_BITS ? GUARD_NETWORK_MIXED : verdict};
    }
    qsort(ranges, found, sizeof *ranges, compare_ranges);
    for (size_t i = 0; i < found; i++) {
        const struct range *next = i + 1 < found ? &ranges[i + 1] : NULL;
        if (next == NULL || next->bits != ranges[i].bits || next->address != ranges[i].address)
            write_range(words, &ranges[i]);
    }
    free(ranges);
    return 0;
}

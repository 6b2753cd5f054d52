/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/knocks.h"

#include <stdlib.h>

#define SECOND_NS INT64_C(1000000000)

/* At 100,000 sources a second one is forgotten after 1.3 s at the median. */
#define ENTRIES (1U << 17)

struct knocks {
    struct siphash_key key;
    uint32_t entries[ENTRIES]; /* the second in 8 bits, above it 24 of the source's hash */
};

struct knocks *knocks_new(const struct siphash_key *key)
{
    struct knocks *knocks = calloc(1, sizeof *knocks);
    if (knocks != NULL)
        knocks->key = *key;
    return knocks;
}

void knocks_free(struct knocks *knocks)
{
    free(knocks);
}

bool knocks_again(struct knocks *knocks, const struct endpoint *player, int64_t now_ns)
{
    uint64_t hash = siphash(&knocks->key, (const uint8_t *)player, sizeof *player);
    uint32_t *entry = &knocks->entries[hash % ENTRIES];
    uint8_t second = (uint8_t)(now_ns / SECOND_NS);
    uint32_t source = ((uint32_t)(hash >> 32) | 0x100) & 0xffffff00; /* 0 is an entry without one */
    bool has_come = (*entry & 0xffffff00) == source && (uint8_t)(second - *entry) <= KNOCKS_SECONDS;

    *entry = source | second;
    return has_come;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/homes.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

/* A bucket is a cache line. At the most sessions each has four entries in the mean: one in 4,000
 * finds its bucket full. */
#define ENTRIES 8
#define USED_ENTRIES 4

/* An entry: 30 bits of the key, 10 for the worker, 24 for 1 + the session; 0: none. */
#define KEY_SHIFT 34
#define WORKER_SHIFT 24

struct homes {
    struct siphash_key key;
    uint64_t mask;
    struct bucket {
        _Alignas(64) _Atomic uint64_t entries[ENTRIES];
    } * buckets;
};

int homes_new(struct homes **made, uint64_t sessions)
{
    uint64_t buckets = 1;
    struct homes *homes = calloc(1, sizeof *homes);
    while (buckets < sessions / USED_ENTRIES)
        buckets *= 2;
    int code = homes != NULL ? siphash_key_init(&homes->key) : -ENOMEM;
    if (code == 0) {
        homes->mask = buckets - 1;
        homes->buckets = aligned_alloc(sizeof(struct bucket), buckets * sizeof(struct bucket));
        code = homes->buckets != NULL ? 0 : -ENOMEM;
    }
    if (code != 0) {
        homes_free(homes);
        return code;
    }
    memset(homes->buckets, 0, buckets * sizeof(struct bucket));
    *made = homes;
    return 0;
}

void homes_free(struct homes *homes)
{
    if (homes != NULL)
        free(homes->buckets);
    free(homes);
}

uint64_t homes_token(const struct homes *homes, const uint8_t *token, size_t bytes)
{
    uint64_t hash = siphash(&homes->key, token, bytes);
    return hash != 0 ? hash : 1;
}

uint64_t homes_key(const struct homes *homes, uint64_t token, const struct endpoint *server)
{
    uint64_t hash = siphash(&homes->key, (const uint8_t *)server, sizeof *server);
    hash = siphash_17(&homes->key, token, hash, 0);
    return hash != 0 ? hash : 1;
}

static uint64_t entry_of(uint64_t key, struct home home)
{
    assert(home.worker < HOMES_MAX_WORKERS && home.session < HOMES_MAX_SESSIONS);
    return key >> KEY_SHIFT << KEY_SHIFT | (uint64_t)home.worker << WORKER_SHIFT |
           (home.session + 1);
}

bool homes_find(const struct homes *homes, uint64_t key, struct home *home)
{
    const struct bucket *bucket = &homes->buckets[key & homes->mask];
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t entry = atomic_load_explicit(&bucket->entries[i], memory_order_relaxed);
        if (entry == 0 || (entry ^ key) >> KEY_SHIFT != 0)
            continue;
        *home = (struct home){.worker = (unsigned)(entry >> WORKER_SHIFT) & (HOMES_MAX_WORKERS - 1),
                              .session = (uint32_t)(entry & HOMES_MAX_SESSIONS) - 1};
        return true;
    }
    return false;
}

void homes_put(struct homes *homes, uint64_t key, struct home home)
{
    struct bucket *bucket = &homes->buckets[key & homes->mask];
    uint64_t entry = entry_of(key, home);
    unsigned place = ENTRIES;

    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t other = atomic_load_explicit(&bucket->entries[i], memory_order_relaxed);
        bool is_same = other != 0 && (other ^ key) >> KEY_SHIFT == 0;
        if (is_same || (other == 0 && place == ENTRIES))
            place = i;
        if (is_same)
            break;
    }
    if (place == ENTRIES)
        place = entry % ENTRIES;
    atomic_store_explicit(&bucket->entries[place], entry, memory_order_relaxed);
}

void homes_remove(struct homes *homes, uint64_t key, struct home home)
{
    struct bucket *bucket = &homes->buckets[key & homes->mask];
    uint64_t entry = entry_of(key, home);
    for (unsigned i = 0; i < ENTRIES; i++) {
        uint64_t own = entry;
        atomic_compare_exchange_strong_explicit(&bucket->entries[i], &own, 0, memory_order_relaxed,
                                                memory_order_relaxed);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/lookup.h"

#include <stdlib.h>

#include "base/siphash.h"

#define FIRST_CAPACITY 8

struct entry {
    uint64_t hash;
    void *item;
};

struct lookup {
    struct siphash_key key;
    lookup_equal_fn equal;
    struct entry *entries;
    size_t used, capacity; /* a power of two, which is never full */
};

struct lookup *lookup_new(lookup_equal_fn equal)
{
    struct lookup *lookup = calloc(1, sizeof *lookup);

    if (lookup == NULL)
        return NULL;
    lookup->equal = equal;
    lookup->capacity = FIRST_CAPACITY;
    lookup->entries = calloc(FIRST_CAPACITY, sizeof *lookup->entries);
    if (lookup->entries == NULL || siphash_key_init(&lookup->key) != 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

void lookup_free(struct lookup *lookup)
{
    if (lookup != NULL)
        free(lookup->entries);
    free(lookup);
}

static uint64_t hash_of(const struct lookup *lookup, const struct lookup_key *key)
{
    return siphash_17(&lookup->key, (uintptr_t)key->owner,
                      siphash(&lookup->key, key->data, key->bytes), 0);
}

static struct entry *probe(const struct lookup *lookup, const struct lookup_key *key, uint64_t hash)
{
    size_t i = hash & (lookup->capacity - 1);

    while (lookup->entries[i].item != NULL &&
           (lookup->entries[i].hash != hash || !lookup->equal(lookup->entries[i].item, key)))
        i = (i + 1) & (lookup->capacity - 1);
    return &lookup->entries[i];
}

static int grow(struct lookup *lookup)
{
    size_t capacity = lookup->capacity * 2;
    struct entry *entries = calloc(capacity, sizeof *entries);

    if (entries == NULL)
        return -1;
    for (size_t i = 0; i < lookup->capacity; i++) {
        size_t to = lookup->entries[i].hash & (capacity - 1);

        if (lookup->entries[i].item == NULL)
            continue;
        while (entries[to].item != NULL)
            to = (to + 1) & (capacity - 1);
        entries[to] = lookup->entries[i];
    }
    free(lookup->entries);
    lookup->entries = entries;
    lookup->capacity = capacity;
    return 0;
}

void **lookup_place(struct lookup *lookup, const struct lookup_key *key)
{
    uint64_t hash = hash_of(lookup, key);

    if (lookup->used >= lookup->capacity / 2 && grow(lookup) != 0)
        return NULL;
    struct entry *entry = probe(lookup, key, hash);
    if (entry->item == NULL) {
        entry->hash = hash;
        lookup->used++;
    }
    return &entry->item;
}

void *lookup_find(const struct lookup *lookup, const struct lookup_key *key)
{
    return probe(lookup, key, hash_of(lookup, key))->item;
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A hash table that finds items by a key of bytes below an owner. Keyed by a random number, so that
 * no stranger can choose keys that collide.
 */
#ifndef PADDOCK_CATALOG_LOOKUP_H
#define PADDOCK_CATALOG_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** By what an item is found. */
struct lookup_key {
    const void *owner; /**< compared as a pointer; may be NULL */
    const void *data;
    size_t bytes;
};

/** Whether an item has a key. */
typedef bool (*lookup_equal_fn)(const void *item, const struct lookup_key *key);

struct lookup;

/** Makes an empty table.
 * @return freed with lookup_free(); NULL without memory or random bytes. */
struct lookup *lookup_new(lookup_equal_fn equal);

/** Frees the table, not its items. NULL is fine. */
void lookup_free(struct lookup *lookup);

/** Finds the place of an item.
 * @return a pointer to the item, until the next call; or to NULL: there is none, and the caller may
 * put one there; or NULL without memory. */
void **lookup_place(struct lookup *lookup, const struct lookup_key *key);

/** Finds an item. @return the item, or NULL. */
void *lookup_find(const struct lookup *lookup, const struct lookup_key *key);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * All resources of one type as they were at one time, each encoded once, and what differs between
 * two such times as one response that many subscribers share.
 */
#ifndef PADDOCK_XDS_SNAPSHOT_H
#define PADDOCK_XDS_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include "catalog/catalog.h"
#include "xds/resources.h"

/** What all servers of ours say in each response: that they have all types. */
#define SNAPSHOT_SYSTEM_VERSION "9"

/** What an item is to who compares. */
enum snapshot_kind {
    SNAPSHOT_HELD,    /**< in the catalog */
    SNAPSHOT_CLAIMED, /**< a peer says that it has it */
    SNAPSHOT_EMPTIED  /**< gone from the catalog; told as empty before it is removed */
};

/** One resource. */
struct snapshot_item {
    unsigned references;
    enum snapshot_kind kind;
    char *name, *version;
    struct http_blob *wire; /**< its field of a response; NULL where it is claimed */
    uint64_t number;        /**< the catalog's, of a cluster */
};

/** Items by name. Shared by references. */
struct snapshot {
    unsigned references;
    enum resource_type type;
    size_t count;
    struct snapshot_item **items;
};

/** What the catalog has of a type.
 * @param before whose items are used again where they have not changed; may be NULL.
 * @return with one reference, or NULL without memory. */
struct snapshot *snapshot_new(enum resource_type type, const struct catalog *catalog,
                              const struct snapshot *before);

/** What a peer says that it has. @return as snapshot_new(). */
struct snapshot *snapshot_claimed(enum resource_type type,
                                  const Xds__DeltaDiscoveryRequest *request);

/** The items of a snapshot with one of these names, sorted by strcmp(3). @return as snapshot_new().
 */
struct snapshot *snapshot_select(const struct snapshot *from, char *const *names, size_t count);

/**
 * What is to be told next to a peer that has @p from, on the way to @p to.
 * @param empties whether what is gone is told as empty first, if it is a cluster.
 * @param keeps_claimed whether what a peer claims, and the catalog does not have, stays there.
 * @return as snapshot_new(); often @p to itself.
 */
struct snapshot *snapshot_step(struct snapshot *from, struct snapshot *to, bool empties,
                               bool keeps_claimed);

/** Whether two have the same names in the same versions. */
bool snapshot_equal(const struct snapshot *a, const struct snapshot *b);

/** A response by which a peer goes from one to the other, without a nonce.
 * @return a reference of the caller's, or NULL without memory. */
struct http_blob *snapshot_diff(const struct snapshot *from, const struct snapshot *to,
                                const char *identifier);

/** What exchange_add_version() makes of all items. */
uint64_t snapshot_digest(const struct snapshot *snapshot);

struct snapshot *snapshot_ref(struct snapshot *snapshot);
/** NULL is fine. */
void snapshot_unref(struct snapshot *snapshot);

#endif

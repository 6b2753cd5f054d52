/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What peers have told, as one source of the catalog: a server's resources, or those of all agents
 * of a relay. It outlives connections. A response is taken whole or not at all.
 */
#ifndef PADDOCK_XDS_LEARNED_H
#define PADDOCK_XDS_LEARNED_H

#include <netinet/in.h>
#include <stdbool.h>

#include "catalog/catalog.h"
#include "xds/resources.h"

/** An agent of a relay, which owns what it tells as long as it is there. */
struct learned_owner {
    struct in6_addr address; /**< v4-mapped for IPv4 */
    unsigned streams;        /**< under way; at 0 others may take over what it owns */
    struct learned_owner *next;
};

struct learned;

/** Makes an empty one.
 * @param source as which it tells the catalog, which outlives it.
 * @param[out] learned untouched on failure; freed with learned_free().
 * @return 0 or -ENOMEM. */
int learned_new(struct learned **learned, struct catalog *catalog, enum catalog_source source);

/** Frees it; the catalog keeps what it was told. NULL is fine. */
void learned_free(struct learned *learned);

/** Takes what a response says, and tells the catalog.
 * @param owner who says it, one of this struct's; NULL: a server, which owns all.
 * @param[out] error for who sent it; set on failure.
 * @return 0, or a negative errno value: nothing has changed. */
int learned_take(struct learned *learned, enum resource_type type,
                 const Xds__DeltaDiscoveryResponse *response, struct learned_owner *owner,
                 struct arena *arena, struct error *error);

/** Adds to a request which versions there are of a type.
 * @param owner whose; NULL: all.
 * @return 0 or -ENOMEM. */
int learned_versions(const struct learned *learned, enum resource_type type,
                     const struct learned_owner *owner, struct arena *arena,
                     Xds__DeltaDiscoveryRequest *request);

/** The owner with an address, for one more stream. @return NULL without memory. */
struct learned_owner *learned_join(struct learned *learned, const struct in6_addr *address);

/** Ends a stream of an owner. With the last its data centres go; its clusters stay. */
void learned_leave(struct learned *learned, struct learned_owner *owner);

/** Resources of a type, for people.
 * @param owner whose; NULL: all.
 * @param[out] digest of their versions, as exchange_add_version() makes it. */
size_t learned_count(const struct learned *learned, enum resource_type type,
                     const struct learned_owner *owner, uint64_t *digest);

#endif

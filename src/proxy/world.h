/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the workers of the proxy go by: the endpoints, who owns which token, and the chain. One
 * immutable version, made by the control thread.
 */
#ifndef PADDOCK_PROXY_WORLD_H
#define PADDOCK_PROXY_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "catalog/catalog.h"
#include "catalog/names.h"
#include "filters/chain.h"
#include "loop/worker.h"
#include "proxy/health.h"
#include "proxy/policies.h"
#include "proxy/settings.h"
#include "proxy/tokens.h"

/** One endpoint, wherever and however often clusters name it. */
struct destination {
    struct endpoint at;
    uint32_t owner;            /**< its number in the table of tokens, which later versions keep */
    enum policy_header header; /**< that of the first cluster that has it, as the next one */
    struct server_health *health; /**< NULL: it is not looked at */
    bool is_named;                /**< its address is one of several that a name may have */
    atomic_bool is_refused;       /**< as workers have heard; relaxed */
};

/** A chain with each worker's part of it; shared by the versions that have the same one. */
struct world_chain {
    unsigned references; /**< the control thread's alone */
    json_t *filters;     /**< as told */
    /** The first filter that does not do the same with all datagrams of a session, or NULL; and
     * what they must have alike otherwise. */
    const char *unsteady;
    struct filter_repeat repeat;
    unsigned count;
    struct chain_worker *workers[]; /**< one each */
};

struct destinations {
    struct retired retired;
    uint64_t number; /**< another one for each version */
    struct world_chain *chain;
    struct filter_world open; /**< what filters see: the number of items, for one */
    struct destination *items;
    atomic_bool has_refused; /**< some of them are; relaxed. Who misses one hears of the next. */

    struct clusters *clusters;
    uint32_t *owner_of; /**< by cluster, then endpoint: the owner, or #FILTER_NOWHERE */
    struct tokens *tokens;
    uint32_t *place_of;    /**< by owner: its place in items */
    uint32_t owners_count; /**< numbers of owners are below it; some are free */
    uint64_t *weights;     /**< or NULL, see struct filter_world */
    struct siphash_key key;
    uint32_t *by_address; /**< places in items, by address; open addressing */
    uint32_t address_mask;
    bool has_health; /**< whether those of its items are its own, to be given back */
    size_t listeners_count;
    struct destinations *listeners[]; /**< worlds of their own, parts of this version */
};

/** What all versions of a service have in common. */
struct world_options {
    unsigned workers;
    struct chain_meter *meter; /**< counts for filters; NULL: none */
    struct names *names;       /**< the addresses of names; NULL: endpoints with a name are none */
    struct health *health;     /**< looks at servers; NULL: nobody does */
    const struct policies *policies;         /**< borrowed by the call; NULL: none */
    const struct proxy_listeners *listeners; /**< borrowed by the call; NULL: none */
};

/**
 * Makes a version. The cost is that of looking at all endpoints and tokens of clusters that are not
 * the same as before, and of changing what differs.
 * @param before the version in force, whose chain is used again where it is the same; or NULL.
 * @param[out] world untouched on failure; released by world_free().
 * @return 0, or a negative errno value, also in @p error.
 */
int world_new(struct destinations **world, const struct catalog_version *told,
              const struct destinations *before, const struct world_options *options,
              struct error *error);

/** Frees a version that no worker uses; for workers_retire() as well. NULL is fine. */
void world_free(struct retired *retired);

/** The place of an endpoint among the items, or #FILTER_NOWHERE. */
uint32_t world_find(const struct destinations *world, const struct endpoint *endpoint);

/** Notes that an endpoint was refused; by a worker. What is no destination, or has no name, is
 * passed over. */
void world_refuse(struct destinations *world, const struct endpoint *endpoint);

/** Lets names go on to their next addresses for what was noted since the last call; by the control
 * thread. */
void world_pass_refused(struct destinations *world, struct names *names);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the workers of the proxy go by: the endpoints, who owns which token, and the chain. One
 * immutable version, made by the control thread.
 */
#ifndef PADDOCK_PROXY_WORLD_H
#define PADDOCK_PROXY_WORLD_H

#include "catalog/catalog.h"
#include "catalog/names.h"
#include "filters/chain.h"
#include "loop/worker.h"

/** One endpoint, wherever and however often clusters name it. */
struct destination {
    struct endpoint at;
};

/** A chain with each worker's part of it; shared by the versions that have the same one. */
struct world_chain {
    unsigned references; /**< the control thread's alone */
    json_t *filters;     /**< as told */
    unsigned count;
    struct chain_worker *workers[]; /**< one each */
};

struct destinations {
    struct retired retired;
    uint64_t number; /**< another one for each version */
    struct world_chain *chain;
    struct filter_world open; /**< what filters see: the number of items, for one */
    struct destination *items;

    struct clusters *clusters; /**< keeps the memory of the tokens */
    struct siphash_key key;
    uint32_t *by_address; /**< places in items, by address; open addressing */
    uint32_t address_mask;
    struct world_token *tokens; /**< open addressing */
    uint32_t token_mask;
    uint32_t *owners, *next_owner; /**< lists of the places that own a token */
    uint32_t owners_count;
};

/** What all versions of a service have in common. */
struct world_options {
    unsigned workers;
    struct chain_meter *meter; /**< counts for filters; NULL: none */
    struct names *names;       /**< the addresses of names; NULL: endpoints with a name are none */
};

/**
 * Makes a version.
 * @param before the version in force, whose chain is used again where it is the same; or NULL.
 * @param[out] world untouched on failure; released by world_free().
 * @return 0, or a negative errno value, also in @p error.
 */
int world_new(struct destinations **world, const struct catalog_version *told,
              const struct destinations *before, const struct world_options *options,
              struct error *error);

/** Frees a version that no worker uses; for workers_retire() as well. NULL is fine. */
void world_free(struct retired *retired);

/** Whether an endpoint is a destination. */
bool world_has(const struct destinations *world, const struct endpoint *endpoint);

#endif

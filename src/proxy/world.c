/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

struct world_token {
    const struct token *token; /* NULL: free */
    uint32_t first;            /* in owners */
};

static void chain_drop(struct world_chain *chain)
{
    if (chain == NULL || --chain->references > 0)
        return;
    for (unsigned i = 0; i < chain->count; i++)
        chain_worker_free(chain->workers[i]);
    json_decref(chain->filters);
    free(chain);
}

static int chain_make(struct world_chain **made, json_t *filters,
                      const struct world_options *options, struct error *error)
{
    unsigned workers = options->workers;
    struct chain *chain = NULL;
    int code = chain_from_json(&chain, filters, error);
    if (code != 0)
        return code;

    struct world_chain *next = calloc(1, sizeof *next + workers * sizeof next->workers[0]);
    bool is_made = next != NULL;
    for (unsigned i = 0; i < workers && is_made; i++) {
        next->workers[i] = chain_worker_new(chain, options->meter, i);
        next->count++;
        is_made = next->workers[i] != NULL;
    }
    chain_unref(chain);
    if (next != NULL) {
        next->references = 1;
        next->filters = json_incref(filters);
    }
    if (!is_made) {
        chain_drop(next);
        return error_set(error, -ENOMEM, "out of memory");
    }
    *made = next;
    return 0;
}

/* The place of a key in a table of open addressing, or of the free entry for it. */
static uint32_t *find_place(const struct destinations *world, const struct endpoint *at)
{
    uint32_t i = (uint32_t)siphash(&world->key, (const uint8_t *)at, sizeof *at);
    for (;; i++) {
        uint32_t *place = &world->by_address[i & world->address_mask];
        if (*place == NOWHERE || endpoint_equals(&world->items[*place].at, at))
            return place;
    }
}

static struct world_token *find_token(const struct destinations *world, const uint8_t *data,
                                      uint32_t bytes)
{
    uint32_t i = (uint32_t)siphash(&world->key, data, bytes);
    for (;; i++) {
        struct world_token *entry = &world->tokens[i & world->token_mask];
        if (entry->token == NULL ||
            (entry->token->bytes == bytes && memcmp(entry->token->data, data, bytes) == 0))
            return entry;
    }
}

static uint32_t mask_for(uint64_t count)
{
    uint64_t size = 16;
    while (size < 2 * count)
        size *= 2;
    return (uint32_t)(size - 1);
}

static void add_owner(struct destinations *world, const struct token *token, uint32_t place)
{
    struct world_token *entry = find_token(world, token->data, token->bytes);
    if (entry->token == NULL)
        *entry = (struct world_token){.token = token, .first = NOWHERE};
    for (uint32_t i = entry->first; i != NOWHERE; i = world->next_owner[i]) {
        if (world->owners[i] == place)
            return;
    }
    world->owners[world->owners_count] = place;
    world->next_owner[world->owners_count] = entry->first;
    entry->first = world->owners_count++;
}

static int fill(struct destinations *world, const struct names *names)
{
    const struct clusters *clusters = world->clusters;
    uint64_t endpoints = 0, tokens = 0;
    for (size_t i = 0; i < clusters->count; i++) {
        endpoints += clusters->items[i].cluster->endpoint_count;
        tokens += clusters->items[i].cluster->token_count;
    }
    if (endpoints >= NOWHERE / 4 || tokens >= NOWHERE / 4)
        return -E2BIG;
    world->address_mask = mask_for(endpoints);
    world->token_mask = mask_for(tokens);
    world->items = calloc(endpoints + 1, sizeof *world->items);
    world->by_address = malloc((world->address_mask + 1) * sizeof *world->by_address);
    world->tokens = calloc(world->token_mask + 1, sizeof *world->tokens);
    world->owners = calloc(tokens + 1, sizeof *world->owners);
    world->next_owner = calloc(tokens + 1, sizeof *world->next_owner);
    if (world->items == NULL || world->by_address == NULL || world->tokens == NULL ||
        world->owners == NULL || world->next_owner == NULL)
        return -ENOMEM;

    memset(world->by_address, 0xff, (world->address_mask + 1) * sizeof *world->by_address);
    for (size_t i = 0; i < clusters->count; i++) {
        for (const struct cluster_endpoint *endpoint = clusters->items[i].cluster->endpoints;
             endpoint != NULL; endpoint = endpoint->next) {
            struct endpoint at = endpoint->at;
            if (endpoint->name != NULL &&
                (names == NULL || !names_find(names, endpoint->name, &at)))
                continue;
            uint32_t *place = find_place(world, &at);
            if (*place == NOWHERE) {
                *place = world->open.count;
                world->items[world->open.count++].at = at;
            }
            world->items[*place].is_named |= endpoint->name != NULL;
            for (const struct token *token = endpoint->tokens; token != NULL; token = token->next)
                add_owner(world, token, *place);
        }
    }
    return 0;
}

static uint32_t find_owners(const struct filter_world *open, const uint8_t *token, uint32_t bytes,
                            uint32_t *chosen, uint32_t most)
{
    const struct destinations *world =
        (const struct destinations *)((const char *)open - offsetof(struct destinations, open));
    const struct world_token *entry = find_token(world, token, bytes);
    uint32_t count = 0;
    if (entry->token == NULL)
        return 0;
    for (uint32_t i = entry->first; i != NOWHERE && count < most; i = world->next_owner[i])
        chosen[count++] = world->owners[i];
    return count;
}

int world_new(struct destinations **world, const struct catalog_version *told,
              const struct destinations *before, const struct world_options *options,
              struct error *error)
{
    struct destinations *made = calloc(1, sizeof *made);
    int code = made != NULL ? siphash_key_init(&made->key) : -ENOMEM;
    if (code == 0) {
        made->number = before != NULL ? before->number + 1 : 1;
        made->open.find_token = find_owners;
        made->clusters = clusters_copy(told->clusters);
        code = made->clusters != NULL ? fill(made, options->names) : -ENOMEM;
    }
    if (code != 0)
        error_system(error, code, "cannot take the endpoints");
    bool is_same = before != NULL && (before->chain->filters == told->filters ||
                                      (before->chain->filters != NULL && told->filters != NULL &&
                                       json_equal(before->chain->filters, told->filters)));
    if (code == 0 && is_same) {
        made->chain = before->chain;
        made->chain->references++;
    } else if (code == 0) {
        code = chain_make(&made->chain, told->filters, options, error);
    }
    if (code != 0) {
        world_free((struct retired *)made);
        return code;
    }
    *world = made;
    return 0;
}

void world_free(struct retired *retired)
{
    struct destinations *world = (struct destinations *)retired;
    if (world == NULL)
        return;
    chain_drop(world->chain);
    clusters_free(world->clusters);
    free(world->items);
    free(world->by_address);
    free(world->tokens);
    free(world->owners);
    free(world->next_owner);
    free(world);
}

bool world_has(const struct destinations *world, const struct endpoint *endpoint)
{
    return *find_place(world, endpoint) != NOWHERE;
}

void world_refuse(struct destinations *world, const struct endpoint *endpoint)
{
    uint32_t place = *find_place(world, endpoint);
    if (place == NOWHERE || !world->items[place].is_named)
        return;
    atomic_store_explicit(&world->items[place].is_refused, true, memory_order_relaxed);
    atomic_store_explicit(&world->has_refused, true, memory_order_relaxed);
}

void world_pass_refused(struct destinations *world, struct names *names)
{
    if (!atomic_exchange_explicit(&world->has_refused, false, memory_order_relaxed))
        return;
    const struct clusters *clusters = world->clusters;
    for (size_t i = 0; i < clusters->count; i++) {
        for (const struct cluster_endpoint *endpoint = clusters->items[i].cluster->endpoints;
             endpoint != NULL; endpoint = endpoint->next) {
            struct endpoint at = endpoint->at;
            if (endpoint->name == NULL || !names_find(names, endpoint->name, &at))
                continue;
            uint32_t place = *find_place(world, &at);
            if (place != NOWHERE &&
                atomic_load_explicit(&world->items[place].is_refused, memory_order_relaxed))
                names_refuse(names, endpoint->name, &at);
        }
    }
    for (uint32_t i = 0; i < world->open.count; i++)
        atomic_store_explicit(&world->items[i].is_refused, false, memory_order_relaxed);
}

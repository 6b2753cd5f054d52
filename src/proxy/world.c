/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/world.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Tokens of two lists that are compared to find where both go on in the same way. */
#define LOOK_AHEAD 8

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
    if (next != NULL) {
        next->references = 1;
        next->filters = json_incref(filters);
        next->unsteady = chain_repeats(chain, &next->repeat);
    }
    chain_unref(chain);
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
        if (*place == FILTER_NOWHERE || endpoint_equals(&world->items[*place].at, at))
            return place;
    }
}

uint32_t world_find(const struct destinations *world, const struct endpoint *endpoint)
{
    return *find_place(world, endpoint);
}

static uint32_t mask_for(uint64_t count)
{
    uint64_t size = 16;
    while (size < 2 * count)
        size *= 2;
    return (uint32_t)(size - 1);
}

/* What a version is made of, for the endpoints of a cluster. */
struct making {
    const struct destinations *before;
    const struct world_options *options;
    const struct policy *policy;
};

/* Adds a destination, which is looked at as before where its policy wants that. */
static int add_item(struct destinations *world, const struct endpoint *at,
                    const struct making *making)
{
    struct destination *item = &world->items[world->open.count++];
    const struct destinations *before = making->before;
    uint32_t old = before != NULL ? world_find(before, at) : FILTER_NOWHERE;
    *item = (struct destination){.at = *at, .header = making->policy->proxy_protocol};
    if (making->options->health == NULL || !making->policy->has_health)
        return 0;
    item->health = server_health_take(making->options->health, at, making->policy,
                                      old != FILTER_NOWHERE ? before->items[old].health : NULL);
    return item->health != NULL ? 0 : -ENOMEM;
}

/* Puts an endpoint into items, where its address is not there yet.
 * @param[out] place FILTER_NOWHERE for a name without an address. */
static int put(struct destinations *world, const struct cluster_endpoint *endpoint,
               const struct making *making, uint32_t *place)
{
    struct names *names = making->options->names;
    struct endpoint at = endpoint->at;
    int code = 0;

    *place = FILTER_NOWHERE;
    if (endpoint->name != NULL && (names == NULL || !names_find(names, endpoint->name, &at)))
        return 0;
    uint32_t *found = find_place(world, &at);
    if (*found == FILTER_NOWHERE) {
        *found = world->open.count;
        code = add_item(world, &at, making);
    }
    world->items[*found].is_named |= endpoint->name != NULL;
    *place = *found;
    return code;
}

/* Makes room for the endpoints of all clusters. */
static int make_room(struct destinations *world)
{
    const struct clusters *clusters = world->clusters;
    uint64_t endpoints = 0;
    for (size_t c = 0; c < clusters->count; c++)
        endpoints += clusters->items[c].cluster->endpoint_count;
    if (endpoints >= FILTER_NOWHERE / 4)
        return -E2BIG;
    world->address_mask = mask_for(endpoints);
    world->items = calloc(endpoints + 1, sizeof *world->items);
    world->owner_of = calloc(endpoints + 1, sizeof *world->owner_of);
    world->by_address = malloc((world->address_mask + 1) * sizeof *world->by_address);
    if (world->items == NULL || world->owner_of == NULL || world->by_address == NULL)
        return -ENOMEM;
    memset(world->by_address, 0xff, (world->address_mask + 1) * sizeof *world->by_address);
    return 0;
}

/* Puts endpoints into items, each address once; owner_of gets their places for the moment. */
static int fill(struct destinations *world, const struct destinations *before,
                const struct world_options *options)
{
    const struct clusters *clusters = world->clusters;
    struct making making = {.before = before, .options = options};
    int code = make_room(world);
    uint32_t *place = world->owner_of;

    for (size_t c = 0; c < clusters->count && code == 0; c++) {
        const struct cluster *cluster = clusters->items[c].cluster;
        making.policy = policies_find(options->policies, cluster->locality);
        for (const struct cluster_endpoint *endpoint = cluster->endpoints;
             endpoint != NULL && code == 0; endpoint = endpoint->next)
            code = put(world, endpoint, &making, place++);
    }
    return code;
}

/* Numbers the owners: those that were there before keep their number. */
static int number_owners(struct destinations *world, const struct destinations *before)
{
    uint32_t count = world->open.count, next = 0, i = 0;
    uint32_t most = (before != NULL ? before->owners_count : 0) + count;
    world->place_of = malloc((most + 1) * sizeof *world->place_of);
    if (world->place_of == NULL)
        return -ENOMEM;

    memset(world->place_of, 0xff, (most + 1) * sizeof *world->place_of);
    for (uint32_t place = 0; place < count; place++) {
        uint32_t old =
            before != NULL ? world_find(before, &world->items[place].at) : FILTER_NOWHERE;
        world->items[place].owner = FILTER_NOWHERE;
        if (old != FILTER_NOWHERE) {
            world->items[place].owner = before->items[old].owner;
            world->place_of[before->items[old].owner] = place;
        }
    }
    for (uint32_t place = 0; place < count; place++) {
        if (world->items[place].owner == FILTER_NOWHERE) {
            while (world->place_of[next] != FILTER_NOWHERE)
                next++;
            world->place_of[next] = place;
            world->items[place].owner = next;
        }
        if (world->items[place].owner >= world->owners_count)
            world->owners_count = world->items[place].owner + 1;
    }
    for (size_t c = 0; c < world->clusters->count; c++) {
        for (size_t n = world->clusters->items[c].cluster->endpoint_count; n > 0; n--, i++) {
            if (world->owner_of[i] != FILTER_NOWHERE)
                world->owner_of[i] = world->items[world->owner_of[i]].owner;
        }
    }
    return 0;
}

/* The greatest weight that clusters give an endpoint; nothing where all weigh the same. */
static int weigh(struct destinations *world)
{
    bool is_even = true;
    uint32_t i = 0;
    uint64_t *weights = calloc(world->open.count + 1, sizeof *weights);
    if (weights == NULL)
        return -ENOMEM;
    for (size_t c = 0; c < world->clusters->count; c++) {
        for (const struct cluster_endpoint *endpoint = world->clusters->items[c].cluster->endpoints;
             endpoint != NULL; endpoint = endpoint->next, i++) {
            if (world->owner_of[i] == FILTER_NOWHERE)
                continue;
            uint64_t *weight = &weights[world->place_of[world->owner_of[i]]];
            *weight = endpoint->weight > *weight ? endpoint->weight : *weight;
        }
    }
    for (uint32_t place = 1; place < world->open.count; place++) {
        is_even &= weights[place] == weights[0];
    }
    if (is_even) {
        free(weights);
        return 0;
    }
    for (uint32_t place = 1; place < world->open.count; place++)
        weights[place] += weights[place - 1];
    world->open.weights = world->weights = weights;
    return 0;
}

static bool token_equal(const struct token *a, const struct token *b)
{
    return a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
}

/* How many tokens of a list stand before one, or -1: it is not near. */
static int steps_to(const struct token *list, const struct token *wanted)
{
    for (int steps = 0; list != NULL && steps < LOOK_AHEAD; steps++, list = list->next) {
        if (token_equal(list, wanted))
            return steps;
    }
    return -1;
}

static int add(struct tokens *tokens, const struct token *token, uint32_t owner)
{
    return tokens_add(tokens, token->data, token->bytes, owner);
}

static int drop(struct tokens *tokens, const struct token *token, uint32_t owner)
{
    return tokens_remove(tokens, token->data, token->bytes, owner);
}

/* Replaces the tokens that an owner had by those that it has. What both lists have, in about the
 * same order, costs a comparison. */
static int replace(struct tokens *tokens, uint32_t owner, const struct token *had,
                   const struct token *has)
{
    int code = 0;
    while ((had != NULL || has != NULL) && code == 0) {
        if (had != NULL && has != NULL && token_equal(had, has)) {
            had = had->next;
            has = has->next;
            continue;
        }
        bool is_new = has != NULL && (had == NULL || steps_to(has, had) > 0);
        if (is_new) {
            code = add(tokens, has, owner);
            has = has->next;
            continue;
        }
        bool is_changed = has != NULL && steps_to(had, has) < 0;
        code = drop(tokens, had, owner);
        had = had->next;
        if (is_changed && code == 0) {
            code = add(tokens, has, owner);
            has = has->next;
        }
    }
    return code;
}

/* The endpoints of a cluster in a version, and their owners. */
struct share {
    const struct cluster *cluster; /* NULL: there is none */
    const uint32_t *owner_of;
};

static struct share share_of(const struct destinations *world, size_t index)
{
    const uint32_t *owner_of = world->owner_of;
    for (size_t c = 0; c < index; c++)
        owner_of += world->clusters->items[c].cluster->endpoint_count;
    return (struct share){world->clusters->items[index].cluster, owner_of};
}

/* Changes the tokens from what a cluster had to what it has.
 * @param endpoints by owner; all NULL, before and after. */
static int follow(struct tokens *tokens, const struct share *had, const struct share *has,
                  const struct cluster_endpoint **endpoints)
{
    const struct cluster_endpoint *old = had->cluster != NULL ? had->cluster->endpoints : NULL;
    const struct cluster_endpoint *new = has->cluster != NULL ? has->cluster->endpoints : NULL;
    int code = 0;

    if (had->cluster == has->cluster &&
        memcmp(had->owner_of, has->owner_of,
               had->cluster->endpoint_count * sizeof *had->owner_of) == 0)
        return 0;
    /* Two endpoints of a cluster may have the same address, if one is given by its name. */
    for (size_t i = 0; old != NULL && code == 0; old = old->next, i++) {
        uint32_t owner = had->owner_of[i];
        if (owner != FILTER_NOWHERE && endpoints[owner] != NULL)
            code = replace(tokens, owner, old->tokens, NULL);
        else if (owner != FILTER_NOWHERE)
            endpoints[owner] = old;
    }
    for (size_t i = 0; new != NULL &&code == 0; new = new->next, i++) {
        uint32_t owner = has->owner_of[i];
        if (owner == FILTER_NOWHERE)
            continue;
        code = replace(tokens, owner, endpoints[owner] != NULL ? endpoints[owner]->tokens : NULL,
                       new->tokens);
        endpoints[owner] = NULL;
    }
    for (size_t i = 0; had->cluster != NULL && i < had->cluster->endpoint_count && code == 0; i++) {
        uint32_t owner = had->owner_of[i];
        if (owner == FILTER_NOWHERE || endpoints[owner] == NULL)
            continue;
        code = replace(tokens, owner, endpoints[owner]->tokens, NULL);
        endpoints[owner] = NULL;
    }
    return code;
}

/* The tokens of a version: those of the one before, and what differs. */
static int take_tokens(struct destinations *world, const struct destinations *before)
{
    uint64_t count = 0;
    uint32_t owners = world->owners_count;
    for (size_t c = 0; c < world->clusters->count; c++)
        count += world->clusters->items[c].cluster->token_count;
    if (before != NULL && before->owners_count > owners)
        owners = before->owners_count;
    world->tokens = before != NULL ? tokens_next(before->tokens) : tokens_new(count);
    const struct cluster_endpoint **endpoints = calloc(owners + 1, sizeof *endpoints);
    int code = world->tokens != NULL && endpoints != NULL ? 0 : -ENOMEM;

    for (size_t c = 0; before != NULL && c < before->clusters->count && code == 0; c++) {
        struct share had = share_of(before, c), has = {0};
        if (clusters_find(world->clusters, had.cluster->locality) == NULL)
            code = follow(world->tokens, &had, &has, endpoints);
    }
    for (size_t c = 0; c < world->clusters->count && code == 0; c++) {
        struct share has = share_of(world, c), had = {0};
        const struct clusters_item *item =
            before != NULL ? clusters_find(before->clusters, has.cluster->locality) : NULL;
        if (item != NULL)
            had = share_of(before, (size_t)(item - before->clusters->items));
        code = follow(world->tokens, &had, &has, endpoints);
    }
    free(endpoints);
    return code;
}

static uint32_t find_owners(const struct filter_world *open, const uint8_t *token, uint32_t bytes,
                            uint32_t *chosen, uint32_t most)
{
    const struct destinations *world =
        (const struct destinations *)((const char *)open - offsetof(struct destinations, open));
    uint32_t count = tokens_find(world->tokens, token, bytes, chosen, most);
    for (uint32_t i = 0; i < count; i++)
        chosen[i] = world->place_of[chosen[i]];
    return count;
}

/* A version of one chain and the endpoints that it may choose. */
static int make(struct destinations **world, const struct catalog_version *told,
                const struct destinations *before, const struct world_options *options,
                struct error *error)
{
    size_t listeners = options->listeners != NULL ? options->listeners->count : 0;
    struct destinations *made = calloc(1, sizeof *made + listeners * sizeof made->listeners[0]);
    int code = made != NULL ? siphash_key_init(&made->key) : -ENOMEM;
    if (code == 0) {
        made->has_health = options->health != NULL;
        made->number = before != NULL ? before->number + 1 : 1;
        made->open.find_token = find_owners;
        made->clusters = clusters_copy(told->clusters);
        code = made->clusters != NULL ? fill(made, before, options) : -ENOMEM;
    }
    if (code == 0)
        code = number_owners(made, before);
    if (code == 0)
        code = weigh(made);
    if (code == 0)
        code = take_tokens(made, before);
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

/* The world of a listener: the cluster of its locality, or all. */
static int make_listener(struct destinations **world, const struct proxy_listener *listener,
                         const struct catalog_version *told, const struct destinations *before,
                         const struct world_options *options, struct error *error)
{
    struct world_options own = *options;
    const struct clusters_item *item = clusters_find(told->clusters, listener->locality);
    bool is_for_all = listener->locality[0] == '\0';
    struct catalog_version part = {.filters = listener->filters};
    int code = 0;

    own.listeners = NULL;
    own.health = NULL; /* it is that of the whole version */
    part.clusters = is_for_all ? clusters_copy(told->clusters) : clusters_new();
    if (part.clusters == NULL)
        code = -ENOMEM;
    else if (!is_for_all && item != NULL)
        code = clusters_share(part.clusters, item->cluster, item->version);
    if (code != 0)
        error_system(error, code, "cannot take the endpoints");
    else
        code = make(world, &part, before, &own, error);
    clusters_free(part.clusters);
    return code;
}

int world_new(struct destinations **world, const struct catalog_version *told,
              const struct destinations *before, const struct world_options *options,
              struct error *error)
{
    struct destinations *made;
    size_t count = options->listeners != NULL ? options->listeners->count : 0;
    int code = make(&made, told, before, options, error);
    if (code != 0)
        return code;
    for (size_t i = 0; i < count && code == 0; i++) {
        bool is_there = before != NULL && i < before->listeners_count;
        code = make_listener(&made->listeners[i], &options->listeners->items[i], told,
                             is_there ? before->listeners[i] : NULL, options, error);
        if (code != 0)
            break;
        struct destinations *part = made->listeners[made->listeners_count++];
        for (uint32_t j = 0; j < part->open.count; j++)
            part->items[j].health = made->items[world_find(made, &part->items[j].at)].health;
    }
    if (code != 0) {
        world_free(&made->retired);
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
    for (size_t i = 0; i < world->listeners_count; i++)
        world_free(&world->listeners[i]->retired);
    for (uint32_t i = 0; world->has_health && i < world->open.count; i++)
        server_health_give(world->items[i].health);
    chain_drop(world->chain);
    clusters_free(world->clusters);
    free(world->items);
    free(world->by_address);
    free(world->owner_of);
    tokens_free(world->tokens);
    free(world->place_of);
    free(world->weights);
    free(world);
}

void world_refuse(struct destinations *world, const struct endpoint *endpoint)
{
    uint32_t place = world_find(world, endpoint);
    if (place == FILTER_NOWHERE)
        return;
    if (world->items[place].health != NULL)
        atomic_fetch_add_explicit(&world->items[place].health->refusals, 1, memory_order_relaxed);
    if (!world->items[place].is_named)
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
            uint32_t place = world_find(world, &at);
            if (place != FILTER_NOWHERE &&
                atomic_load_explicit(&world->items[place].is_refused, memory_order_relaxed))
                names_refuse(names, endpoint->name, &at);
        }
    }
    for (uint32_t i = 0; i < world->open.count; i++)
        atomic_store_explicit(&world->items[i].is_refused, false, memory_order_relaxed);
}

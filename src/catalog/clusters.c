/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/clusters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/lookup.h"

#define FIRST_BLOCK_BYTES 1024
#define MAX_BLOCK_BYTES 262144

struct block {
    struct block *older;
    size_t used, bytes;
    max_align_t data[];
};

/* What a cluster consists of; the tables are there only until it is complete. */
struct cluster_memory {
    struct cluster cluster;
    size_t references;
    struct block *blocks;
    struct lookup *endpoints, *tokens;
    struct cluster_endpoint *last;
};

/* NULL without memory. */
static void *take(struct cluster_memory *memory, size_t bytes)
{
    struct block *block = memory->blocks;

    bytes = (bytes + _Alignof(void *) - 1) & ~(_Alignof(void *) - 1);
    if (block == NULL || block->bytes - block->used < bytes) {
        size_t room = block == NULL ? FIRST_BLOCK_BYTES : block->bytes * 2;

        room = room > MAX_BLOCK_BYTES ? MAX_BLOCK_BYTES : room;
        room = room < bytes ? bytes : room;
        block = malloc(sizeof *block + room);
        if (block == NULL)
            return NULL;
        *block = (struct block){.older = memory->blocks, .bytes = room};
        memory->blocks = block;
    }
    block->used += bytes;
    return (char *)block->data + block->used - bytes;
}

static const char *take_text(struct cluster_memory *memory, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = take(memory, bytes);

    return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

/* The key of an endpoint: two spellings of an address are one. */
static struct lookup_key key_of(const struct endpoint *at, const char *name)
{
    return name != NULL && name[0] != '\0'
               ? (struct lookup_key){(const void *)(uintptr_t)at->port, name, strlen(name)}
               : (struct lookup_key){NULL, at, sizeof *at};
}

static bool endpoint_has_key(const void *item, const struct lookup_key *key)
{
    const struct cluster_endpoint *endpoint = item;
    struct lookup_key own = key_of(&endpoint->at, endpoint->name);

    return own.owner == key->owner && own.bytes == key->bytes &&
           memcmp(own.data, key->data, key->bytes) == 0;
}

/* The endpoint is part of the hash alone: that two endpoints with the same token collide in 64
 * keyed bits does not happen. */
static bool token_has_key(const void *item, const struct lookup_key *key)
{
    const struct token *token = item;

    return token->bytes == key->bytes && memcmp(token->data, key->data, key->bytes) == 0;
}

/* An item of this table is a number from 1, since the items of a list move. */
static bool cluster_has_key(const void *item, const struct lookup_key *key)
{
    const struct clusters *clusters = key->owner;

    return strcmp(clusters->items[(uintptr_t)item - 1].cluster->locality, key->data) == 0;
}

/* Ends the building. */
static void complete(struct cluster_memory *memory)
{
    lookup_free(memory->endpoints);
    lookup_free(memory->tokens);
    memory->endpoints = memory->tokens = NULL;
}

static void release(const struct cluster *cluster)
{
    struct cluster_memory *memory = cluster->memory;

    if (--memory->references > 0)
        return;
    for (const struct cluster_endpoint *endpoint = cluster->endpoints; endpoint != NULL;
         endpoint = endpoint->next)
        json_decref(endpoint->metadata);
    complete(memory);
    while (memory->blocks != NULL) {
        struct block *block = memory->blocks;

        memory->blocks = block->older;
        free(block);
    }
    free(memory);
}

struct cluster *cluster_new(const char *locality)
{
    struct cluster_memory *memory = calloc(1, sizeof *memory);

    if (memory == NULL)
        return NULL;
    memory->cluster.memory = memory;
    memory->references = 1;
    memory->endpoints = lookup_new(endpoint_has_key);
    memory->tokens = lookup_new(token_has_key);
    memory->cluster.locality = take_text(memory, locality);
    if (memory->endpoints == NULL || memory->tokens == NULL || memory->cluster.locality == NULL) {
        release(&memory->cluster);
        return NULL;
    }
    return &memory->cluster;
}

void cluster_free(struct cluster *cluster)
{
    if (cluster != NULL)
        release(cluster);
}

int cluster_add_endpoint(struct cluster *cluster, const char *text,
                         struct cluster_endpoint **endpoint)
{
    struct cluster_memory *memory = cluster->memory;
    struct server_address address;

    if (server_address_parse(text, &address) != 0)
        return -EINVAL;
    struct lookup_key key = key_of(&address.at, address.name);
    void **place = lookup_place(memory->endpoints, &key);
    if (place == NULL)
        return -ENOMEM;
    if (*place != NULL) {
        *endpoint = *place;
        return 0;
    }

    struct cluster_endpoint *made = take(memory, sizeof *made);
    if (made == NULL)
        return -ENOMEM;
    *made = (struct cluster_endpoint){.at = address.at, .weight = 1, .last_token = &made->tokens};
    made->address = take_text(memory, text);
    if (address.name[0] != '\0')
        made->name = take_text(memory, address.name);
    if (made->address == NULL || (address.name[0] != '\0' && made->name == NULL))
        return -ENOMEM;
    if (memory->last != NULL)
        memory->last->next = made;
    else
        cluster->endpoints = made;
    memory->last = made;
    cluster->endpoint_count++;
    *place = made;
    *endpoint = made;
    return 0;
}

int cluster_add_token(struct cluster *cluster, struct cluster_endpoint *endpoint, const void *token,
                      size_t bytes)
{
    const struct lookup_key key = {endpoint, token, bytes};
    void **place = lookup_place(cluster->memory->tokens, &key);

    if (place == NULL)
        return -ENOMEM;
    if (*place != NULL)
        return -EEXIST;
    struct token *made = take(cluster->memory, sizeof *made + bytes);
    if (made == NULL)
        return -ENOMEM;
    made->next = NULL;
    made->bytes = (uint32_t)bytes;
    memcpy(made->data, token, bytes);
    *endpoint->last_token = made;
    endpoint->last_token = &made->next;
    endpoint->token_count++;
    cluster->token_count++;
    *place = made;
    return 0;
}

static uint32_t weight_of(const json_t *metadata)
{
    json_int_t weight =
        json_integer_value(json_object_get(json_object_get(metadata, "paddock"), "weight"));
    return weight >= 1 && weight <= CLUSTER_MAX_WEIGHT ? (uint32_t)weight : 1;
}

int cluster_add_metadata(struct cluster_endpoint *endpoint, json_t *metadata)
{
    json_t *both =
        endpoint->metadata == NULL ? json_incref(metadata) : json_copy(endpoint->metadata);

    if (endpoint->metadata != NULL && both != NULL && json_object_update(both, metadata) != 0) {
        json_decref(both);
        both = NULL;
    }
    if (both == NULL)
        return -ENOMEM;
    json_decref(endpoint->metadata);
    endpoint->metadata = both;
    endpoint->weight = weight_of(both);
    return 0;
}

int cluster_add_all(struct cluster *cluster, const struct cluster *from)
{
    int error = 0;

    for (const struct cluster_endpoint *endpoint = from->endpoints; endpoint != NULL && error == 0;
         endpoint = endpoint->next) {
        struct cluster_endpoint *own;

        error = cluster_add_endpoint(cluster, endpoint->address, &own);
        for (const struct token *token = endpoint->tokens; token != NULL && error == 0;
             token = token->next) {
            error = cluster_add_token(cluster, own, token->data, token->bytes);
            error = error == -EEXIST ? 0 : error;
        }
        if (error == 0 && endpoint->metadata != NULL)
            error = cluster_add_metadata(own, endpoint->metadata);
    }
    return error;
}

static bool endpoint_equal(const struct cluster_endpoint *a, const struct cluster_endpoint *b)
{
    const struct token *token_a = a->tokens, *token_b = b->tokens;

    if (strcmp(a->address, b->address) != 0 || a->at.scope != b->at.scope ||
        a->token_count != b->token_count || (a->metadata == NULL) != (b->metadata == NULL) ||
        (a->metadata != NULL && !json_equal(a->metadata, b->metadata)))
        return false;
    while (token_a != NULL && token_a->bytes == token_b->bytes &&
           memcmp(token_a->data, token_b->data, token_a->bytes) == 0) {
        token_a = token_a->next;
        token_b = token_b->next;
    }
    return token_a == NULL;
}

bool cluster_equal(const struct cluster *a, const struct cluster *b)
{
    const struct cluster_endpoint *endpoint_a = a->endpoints, *endpoint_b = b->endpoints;

    if (a == b)
        return true;
    if (strcmp(a->locality, b->locality) != 0 || a->endpoint_count != b->endpoint_count ||
        a->token_count != b->token_count)
        return false;
    while (endpoint_a != NULL && endpoint_equal(endpoint_a, endpoint_b)) {
        endpoint_a = endpoint_a->next;
        endpoint_b = endpoint_b->next;
    }
    return endpoint_a == NULL;
}

struct clusters *clusters_new(void)
{
    struct clusters *clusters = calloc(1, sizeof *clusters);

    if (clusters != NULL && (clusters->lookup = lookup_new(cluster_has_key)) == NULL) {
        free(clusters);
        clusters = NULL;
    }
    return clusters;
}

void clusters_free(struct clusters *clusters)
{
    if (clusters == NULL)
        return;
    for (size_t i = 0; i < clusters->count; i++)
        release(clusters->items[i].cluster);
    lookup_free(clusters->lookup);
    free(clusters->items);
    free(clusters);
}

int clusters_share(struct clusters *clusters, const struct cluster *cluster, uint64_t version)
{
    const struct lookup_key key = {clusters, cluster->locality, strlen(cluster->locality)};

    if (clusters->count == clusters->capacity) {
        size_t capacity = clusters->capacity > 0 ? clusters->capacity * 2 : 4;
        struct clusters_item *items = realloc(clusters->items, capacity * sizeof *clusters->items);

        if (items == NULL)
            return -ENOMEM;
        clusters->items = items;
        clusters->capacity = capacity;
    }
    void **place = lookup_place(clusters->lookup, &key);
    if (place == NULL)
        return -ENOMEM;
    if (*place != NULL)
        return -EEXIST;
    clusters->items[clusters->count] = (struct clusters_item){cluster, version};
    clusters->count++;
    *place = (void *)(uintptr_t)clusters->count;
    cluster->memory->references++;
    return 0;
}

int clusters_add(struct clusters *clusters, struct cluster *cluster)
{
    int error = clusters_share(clusters, cluster, 0);

    complete(cluster->memory);
    release(cluster);
    return error;
}

struct clusters *clusters_copy(const struct clusters *clusters)
{
    struct clusters *copy = clusters_new();

    for (size_t i = 0; i < clusters->count && copy != NULL; i++) {
        const struct clusters_item *item = &clusters->items[i];

        if (clusters_share(copy, item->cluster, item->version) != 0) {
            clusters_free(copy);
            copy = NULL;
        }
    }
    if (copy != NULL)
        copy->fingerprints = clusters->fingerprints;
    return copy;
}

const struct clusters_item *clusters_find(const struct clusters *clusters, const char *locality)
{
    const struct lookup_key key = {clusters, locality, strlen(locality)};
    uintptr_t number = (uintptr_t)lookup_find(clusters->lookup, &key);

    return number > 0 ? &clusters->items[number - 1] : NULL;
}

bool clusters_equal(const struct clusters *a, const struct clusters *b)
{
    size_t count_a = a != NULL ? a->count : 0, count_b = b != NULL ? b->count : 0;

    for (size_t i = 0; i < count_a && count_a == count_b; i++) {
        const struct clusters_item *item = clusters_find(b, a->items[i].cluster->locality);

        if (item == NULL || !cluster_equal(item->cluster, a->items[i].cluster))
            return false;
    }
    return count_a == count_b;
}

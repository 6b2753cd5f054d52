/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/lookup.h"
#include "k8s/servers.h"

#define LISTS 64

/* One object. Without servers it stands for its name alone, as the table forgets nothing. */
struct entry {
    struct entry *next, **place;
    struct servers servers;
    unsigned list;
    uint64_t round; /* of its list, when it was put last */
    char name[];
};

struct server_store {
    struct lookup *by_name;
    struct entry *first, **last; /* in the order in which they came */
    size_t present, absent;
    uint64_t rounds[LISTS];
    bool is_changed;
};

static bool has_name(const void *item, const struct lookup_key *key)
{
    const struct entry *entry = item;

    return strlen(entry->name) == key->bytes && memcmp(entry->name, key->data, key->bytes) == 0;
}

/* Objects of two kinds may have the same name; each kind has lists of its own. */
static struct lookup_key key_of(unsigned list, const char *name)
{
    return (struct lookup_key){(const void *)(uintptr_t)(list + 1), name, strlen(name)};
}

struct server_store *server_store_new(void)
{
    struct server_store *store = calloc(1, sizeof *store);

    if (store != NULL && (store->by_name = lookup_new(has_name)) == NULL) {
        free(store);
        return NULL;
    }
    if (store != NULL)
        store->last = &store->first;
    return store;
}

static void remove_entry(struct server_store *store, struct entry *entry)
{
    *entry->place = entry->next;
    if (entry->next != NULL)
        entry->next->place = entry->place;
    else
        store->last = entry->place;
    servers_fini(&entry->servers);
    free(entry);
}

void server_store_free(struct server_store *store)
{
    if (store == NULL)
        return;
    while (store->first != NULL) {
        struct entry *entry = store->first;

        store->first = entry->next;
        servers_fini(&entry->servers);
        free(entry);
    }
    lookup_free(store->by_name);
    free(store);
}

static void empty(struct server_store *store, struct entry *entry)
{
    if (entry->servers.count == 0)
        return;
    servers_fini(&entry->servers);
    store->present--;
    store->absent++;
    store->is_changed = true;
}

/* A new table without the names of what is gone. Without memory the old one serves on. */
static void shrink(struct server_store *store)
{
    struct lookup *table = lookup_new(has_name);
    bool is_whole = table != NULL;

    for (struct entry *entry = store->first; entry != NULL && is_whole; entry = entry->next) {
        struct lookup_key key = key_of(entry->list, entry->name);
        void **place = entry->servers.count > 0 ? lookup_place(table, &key) : NULL;

        if (place != NULL)
            *place = entry;
        is_whole = place != NULL || entry->servers.count == 0;
    }
    if (!is_whole) {
        lookup_free(table);
        return;
    }
    lookup_free(store->by_name);
    store->by_name = table;
    store->absent = 0;
    for (struct entry *entry = store->first, *next; entry != NULL; entry = next) {
        next = entry->next;
        if (entry->servers.count == 0)
            remove_entry(store, entry);
    }
}

void server_store_mark(struct server_store *store, unsigned list)
{
    store->rounds[list]++;
}

void server_store_sweep(struct server_store *store, unsigned list)
{
    for (struct entry *entry = store->first; entry != NULL; entry = entry->next) {
        if (entry->list == list && entry->round != store->rounds[list])
            empty(store, entry);
    }
    if (store->absent > store->present + 64)
        shrink(store);
}

static struct entry *take_entry(struct server_store *store, unsigned list, const char *name)
{
    struct lookup_key key = key_of(list, name);
    void **place = lookup_place(store->by_name, &key);
    struct entry *entry;

    if (place == NULL || *place != NULL)
        return place != NULL ? *place : NULL;
    entry = calloc(1, sizeof *entry + strlen(name) + 1);
    if (entry == NULL)
        return NULL;
    strcpy(entry->name, name); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): it fits */
    entry->list = list;
    entry->place = store->last;
    *store->last = entry;
    store->last = &entry->next;
    store->absent++;
    return *place = entry;
}

static bool are_equal(const struct servers *a, const struct servers *b)
{
    bool is_equal = a->count == b->count && a->tokens_bytes == b->tokens_bytes &&
                    (a->tokens_bytes == 0 || memcmp(a->tokens, b->tokens, a->tokens_bytes) == 0);

    for (size_t i = 0; i < a->count && is_equal; i++)
        is_equal = strcmp(a->items[i].address, b->items[i].address) == 0 &&
                   json_equal(a->items[i].metadata, b->items[i].metadata);
    return is_equal;
}

enum server_change server_store_put(struct server_store *store, unsigned list, json_t *object,
                                    struct servers *servers)
{
    char name[2 * K8S_NAME_BYTES];
    struct lookup_key key;
    struct entry *entry;

    server_object_name(object, name);
    key = key_of(list, name);
    entry = servers->count > 0 ? take_entry(store, list, name) : lookup_find(store->by_name, &key);
    if (entry == NULL) {
        enum server_change change = servers->count > 0 ? SERVER_UNKNOWN : SERVER_SAME;

        servers_fini(servers);
        return change;
    }
    entry->round = store->rounds[list];
    bool was_there = entry->servers.count > 0;
    if (servers->count == 0) {
        servers_fini(servers);
        empty(store, entry);
        if (store->absent > store->present + 64)
            shrink(store);
        return was_there ? SERVER_GONE : SERVER_SAME;
    }
    if (!was_there) {
        store->present++;
        store->absent--;
    }
    store->is_changed |= !are_equal(&entry->servers, servers);
    servers_fini(&entry->servers);
    entry->servers = *servers;
    *servers = (struct servers){0};
    return SERVER_PUT;
}

size_t server_store_count(const struct server_store *store)
{
    return store->present;
}

bool server_store_is_changed(const struct server_store *store)
{
    return store->is_changed;
}

static int add_server(struct cluster *cluster, const struct servers *servers,
                      const struct server *server)
{
    struct cluster_endpoint *endpoint;
    int error = cluster_add_endpoint(cluster, server->address, &endpoint);
    uint32_t bytes = 0;

    if (error == 0)
        error = cluster_add_metadata(endpoint, server->metadata);
    for (size_t at = 0; at < servers->tokens_bytes && error == 0; at += sizeof bytes + bytes) {
        memcpy(&bytes, servers->tokens + at, sizeof bytes);
        error = cluster_add_token(cluster, endpoint, servers->tokens + at + sizeof bytes, bytes);
        error = error == -EEXIST ? 0 : error;
    }
    return error;
}

struct cluster *server_store_cluster(struct server_store *store, const char *locality)
{
    struct cluster *cluster = cluster_new(locality);
    int error = cluster != NULL ? 0 : -ENOMEM;

    for (const struct entry *entry = store->first; entry != NULL && error == 0;
         entry = entry->next) {
        for (size_t i = 0; i < entry->servers.count && error == 0; i++)
            error = add_server(cluster, &entry->servers, &entry->servers.items[i]);
    }
    if (error != 0) {
        cluster_free(cluster);
        return NULL;
    }
    store->is_changed = false;
    return cluster;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/clients.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct relay_client **bucket_of(const struct relay_clients *clients,
                                       const struct endpoint *address)
{
    uint64_t hash = siphash(&clients->key, (const uint8_t *)address, sizeof *address);
    return &clients->buckets[hash % clients->buckets_count];
}

static void list_append(struct relay_clients *clients, struct relay_client *client)
{
    client->older = clients->newest;
    client->newer = NULL;
    if (clients->newest != NULL)
        clients->newest->newer = client;
    else
        clients->oldest = client;
    clients->newest = client;
}

static void list_remove(struct relay_clients *clients, struct relay_client *client)
{
    if (client->older != NULL)
        client->older->newer = client->newer;
    else
        clients->oldest = client->newer;
    if (client->newer != NULL)
        client->newer->older = client->older;
    else
        clients->newest = client->older;
}

int relay_clients_init(struct relay_clients *clients, size_t capacity,
                       const struct siphash_key *key)
{
    struct relay_client **buckets = calloc(2 * capacity, sizeof(struct relay_client *));
    if (buckets == NULL)
        return -1;
    *clients = (struct relay_clients){
        .buckets = buckets, .buckets_count = 2 * capacity, .capacity = capacity, .key = *key};
    return 0;
}

void relay_clients_fini(struct relay_clients *clients)
{
    assert(clients->count == 0);
    free(clients->buckets);
}

struct relay_client *relay_clients_find(const struct relay_clients *clients,
                                        const struct endpoint *address)
{
    struct relay_client *client = *bucket_of(clients, address);
    while (client != NULL && memcmp(&client->address, address, sizeof *address) != 0)
        client = client->next;
    return client;
}

struct relay_client *relay_clients_add(struct relay_clients *clients,
                                       const struct endpoint *address, int64_t now_ns)
{
    if (clients->count == clients->capacity)
        return NULL;
    struct relay_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return NULL;
    struct relay_client **bucket = bucket_of(clients, address);
    client->address = *address;
    client->number = clients->numbers++;
    client->seen_ns = now_ns;
    client->next = *bucket;
    *bucket = client;
    list_append(clients, client);
    clients->count++;
    return client;
}

void relay_clients_touch(struct relay_clients *clients, struct relay_client *client, int64_t now_ns)
{
    client->seen_ns = now_ns;
    if (client == clients->newest)
        return;
    list_remove(clients, client);
    list_append(clients, client);
}

struct relay_client *relay_clients_next(const struct relay_clients *clients,
                                        const struct relay_client *client)
{
    struct relay_client **end = clients->buckets + clients->buckets_count;
    struct relay_client **bucket = clients->buckets;
    if (client != NULL && client->next != NULL)
        return client->next;
    if (client != NULL)
        bucket = bucket_of(clients, &client->address) + 1;
    while (bucket < end && *bucket == NULL)
        bucket++;
    return bucket < end ? *bucket : NULL;
}

void relay_clients_remove(struct relay_clients *clients, struct relay_client *client)
{
    struct relay_client **link = bucket_of(clients, &client->address);
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    list_remove(clients, client);
    clients->count--;
    free(client);
}

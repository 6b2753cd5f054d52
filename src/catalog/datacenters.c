/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/datacenters.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/lookup.h"

/* An item of the table is a number from 1, since the items of a list move; its owner is the list.
 * Behind the address in the key stands the port. */
static bool datacenter_has_key(const void *item, const struct lookup_key *key)
{
    const struct datacenters *datacenters = key->owner;
    const struct datacenter *datacenter = &datacenters->items[(uintptr_t)item - 1];
    size_t length = strlen(datacenter->address) + 1;

    return key->bytes == length + sizeof datacenter->qcmp_port &&
           memcmp(key->data, datacenter->address, length) == 0 &&
           memcmp((const char *)key->data + length, &datacenter->qcmp_port,
                  sizeof datacenter->qcmp_port) == 0;
}

struct datacenters *datacenters_new(void)
{
    struct datacenters *datacenters = calloc(1, sizeof *datacenters);

    if (datacenters != NULL && (datacenters->lookup = lookup_new(datacenter_has_key)) == NULL) {
        free(datacenters);
        datacenters = NULL;
    }
    return datacenters;
}

void datacenters_free(struct datacenters *datacenters)
{
    if (datacenters == NULL)
        return;
    lookup_free(datacenters->lookup);
    free(datacenters->items);
    free(datacenters);
}

int datacenters_add(struct datacenters *datacenters, const struct datacenter *datacenter)
{
    char bytes[TARGET_HOST_BYTES + sizeof datacenter->qcmp_port];
    size_t length = strlen(datacenter->address) + 1;
    const struct lookup_key key = {datacenters, bytes, length + sizeof datacenter->qcmp_port};

    memcpy(bytes, datacenter->address, length);
    memcpy(bytes + length, &datacenter->qcmp_port, sizeof datacenter->qcmp_port);
    if (datacenters->count == datacenters->capacity) {
        size_t capacity = datacenters->capacity > 0 ? datacenters->capacity * 2 : 4;
        struct datacenter *items =
            realloc(datacenters->items, capacity * sizeof *datacenters->items);

        if (items == NULL)
            return -ENOMEM;
        datacenters->items = items;
        datacenters->capacity = capacity;
    }
    void **place = lookup_place(datacenters->lookup, &key);
    if (place == NULL)
        return -ENOMEM;
    if (*place != NULL)
        return -EEXIST;
    datacenters->items[datacenters->count] = *datacenter;
    datacenters->count++;
    *place = (void *)(uintptr_t)datacenters->count;
    return 0;
}

struct datacenters *datacenters_copy(const struct datacenters *datacenters)
{
    struct datacenters *copy = datacenters_new();

    for (size_t i = 0; i < datacenters->count && copy != NULL; i++) {
        if (datacenters_add(copy, &datacenters->items[i]) != 0) {
            datacenters_free(copy);
            copy = NULL;
        }
    }
    return copy;
}

bool datacenters_equal(const struct datacenters *a, const struct datacenters *b)
{
    size_t count_a = a != NULL ? a->count : 0, count_b = b != NULL ? b->count : 0;

    for (size_t i = 0; i < count_a && count_a == count_b; i++) {
        if (strcmp(a->items[i].address, b->items[i].address) != 0 ||
            a->items[i].qcmp_port != b->items[i].qcmp_port ||
            strcmp(a->items[i].icao_code, b->items[i].icao_code) != 0)
            return false;
    }
    return count_a == count_b;
}

json_t *datacenters_show(const struct datacenters *datacenters)
{
    json_t *map = json_object();

    for (size_t i = 0; datacenters != NULL && i < datacenters->count && map != NULL; i++) {
        const struct datacenter *node = &datacenters->items[i];
        bool has_colon = strchr(node->address, ':') != NULL;
        char key[TARGET_HOST_BYTES + 16];

        snprintf(key, sizeof key, "%s", node->address);
        if (json_object_get(map, key) != NULL)
            snprintf(key, sizeof key, "%s%s%s:%u", has_colon ? "[" : "", node->address,
                     has_colon ? "]" : "", node->qcmp_port);
        if (json_object_set_new(map, key,
                                json_pack("{s:i, s:s}", "qcmp_port", node->qcmp_port, "icao_code",
                                          node->icao_code)) != 0) {
            json_decref(map);
            map = NULL;
        }
    }
    return map;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "catalog/lookup.h"
#include "xds/exchange.h"

#define RESOURCES_TAG 0x12 /* field 2 of a response, of which the rest is a message */
#define VARINT_BYTES 10

static void item_unref(struct snapshot_item *item)
{
    if (item == NULL || --item->references > 0)
        return;
    http_blob_unref(item->wire);
    free(item->name);
    free(item->version);
    free(item);
}

static struct snapshot_item *item_new(const char *name, const char *version,
                                      enum snapshot_kind kind)
{
    struct snapshot_item *item = calloc(1, sizeof *item);

    if (item == NULL)
        return NULL;
    *item = (struct snapshot_item){
        .references = 1, .kind = kind, .name = strdup(name), .version = strdup(version)};
    if (item->name == NULL || item->version == NULL) {
        item_unref(item);
        return NULL;
    }
    return item;
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    snapshot->references++;
    return snapshot;
}

void snapshot_unref(struct snapshot *snapshot)
{
    if (snapshot == NULL || --snapshot->references > 0)
        return;
    for (size_t i = 0; i < snapshot->count; i++)
        item_unref(snapshot->items[i]);
    free(snapshot->items);
    free(snapshot);
}

static struct snapshot *make(enum resource_type type, size_t room)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);

    if (snapshot == NULL)
        return NULL;
    snapshot->references = 1;
    snapshot->type = type;
    snapshot->items = calloc(room + 1, sizeof(struct snapshot_item *));
    if (snapshot->items == NULL) {
        free(snapshot);
        return NULL;
    }
    return snapshot;
}

static int compare_items(const void *a, const void *b)
{
    const struct snapshot_item *const *left = a, *const *right = b;

    return strcmp((*left)->name, (*right)->name);
}

static void sort(struct snapshot *snapshot)
{
    qsort(snapshot->items, snapshot->count, sizeof(struct snapshot_item *), compare_items);
}

static struct snapshot_item *find(const struct snapshot *snapshot, const char *name)
{
    struct snapshot_item key = {.name = (char *)(uintptr_t)name}, *sought = &key; /* only read */
    struct snapshot_item **place = snapshot != NULL
                                       ? bsearch(&sought, snapshot->items, snapshot->count,
                                                 sizeof(struct snapshot_item *), compare_items)
                                       : NULL;

    return place != NULL ? *place : NULL;
}

/* By contents alone, so that it is the same after a restart, and in another server. */
static void version_of(const struct http_blob *content, char version[24])
{
    static const struct siphash_key known = {{0x7061646f636b3039, 0x76657273696f6e73}};

    snprintf(version, 24, "%016" PRIx64,
             siphash(&known, (const uint8_t *)content->data, content->bytes));
}

static size_t put_varint(uint8_t *to, uint64_t value)
{
    size_t used = 0;

    while (value >= 128) {
        to[used++] = (uint8_t)(value | 128);
        value >>= 7;
    }
    to[used++] = (uint8_t)value;
    return used;
}

static int encode(struct snapshot_item *item, enum resource_type type,
                  const struct http_blob *content)
{
    Xds__Resource message;
    Xds__Any any;

    xds__resource__init(&message);
    xds__any__init(&any);
    any.type_url = (char *)(uintptr_t)resource_type_url(type); /* only read */
    any.value = (ProtobufCBinaryData){content->bytes, (uint8_t *)content->data};
    message.version = item->version;
    message.name = item->name;
    message.resource = &any;
    size_t bytes = xds__resource__get_packed_size(&message);
    uint8_t *data = malloc(bytes + 1 + VARINT_BYTES);
    if (data == NULL)
        return -1;
    data[0] = RESOURCES_TAG;
    size_t used = 1 + put_varint(data + 1, bytes);
    xds__resource__pack(&message, data + used);
    item->wire = http_blob_new((char *)data, used + bytes);
    return item->wire != NULL ? 0 : -1;
}

/* Adds a resource; one that is as before is that one. @param version NULL: by the contents.
 * @param content taken over. */
static int add(struct snapshot *snapshot, const struct snapshot *before, const char *name,
               const char *version, struct http_blob *content)
{
    char text[24];
    struct snapshot_item *item = find(before, name);

    if (content == NULL)
        return -1;
    if (version == NULL) {
        version_of(content, text);
        version = text;
    }
    if (item != NULL && strcmp(item->version, version) == 0) {
        item->references++;
    } else {
        item = item_new(name, version, SNAPSHOT_HELD);
        if (item != NULL && encode(item, snapshot->type, content) != 0) {
            item_unref(item);
            item = NULL;
        }
    }
    http_blob_unref(content);
    if (item == NULL)
        return -1;
    snapshot->items[snapshot->count++] = item;
    return 0;
}

static int add_clusters(struct snapshot *snapshot, const struct snapshot *before,
                        const struct clusters *clusters)
{
    int error = 0;

    for (size_t i = 0; i < clusters->count && error == 0; i++) {
        const struct clusters_item *from = &clusters->items[i];
        struct snapshot_item *item = find(before, from->cluster->locality);

        if (item != NULL && item->number == from->version) {
            item->references++;
            snapshot->items[snapshot->count++] = item;
            continue;
        }
        error = add(snapshot, before, from->cluster->locality, NULL,
                    resource_write_cluster(from->cluster));
        if (error == 0)
            snapshot->items[snapshot->count - 1]->number = from->version;
    }
    return error;
}

static bool is_address(const void *item, const struct lookup_key *key)
{
    return strcmp(item, key->data) == 0;
}

/* A resource is named by its address; further ones of that address by the port too. */
static int add_datacenters(struct snapshot *snapshot, const struct snapshot *before,
                           const struct datacenters *datacenters, const struct catalog_self *self)
{
    struct lookup *addresses = lookup_new(is_address);
    char name[TARGET_HOST_BYTES + 16], version[32];
    int error = addresses != NULL ? 0 : -1;

    for (size_t i = 0; datacenters != NULL && i < datacenters->count && error == 0; i++) {
        struct datacenter *node = &datacenters->items[i];
        const struct lookup_key key = {.data = node->address, .bytes = strlen(node->address)};
        void **place = lookup_place(addresses, &key);

        if (place == NULL) {
            error = -1;
            break;
        }
        bool is_first = *place == NULL;
        *place = node->address;
        snprintf(name, sizeof name, is_first ? "%s" : "%s-%u", node->address, node->qcmp_port);
        snprintf(version, sizeof version, "%s-%u", node->icao_code, node->qcmp_port);
        error = add(snapshot, before, name, version,
                    resource_write_datacenter(node->address, node->qcmp_port, node->icao_code));
    }
    lookup_free(addresses);
    if (error == 0 && self->qcmp_port != 0) {
        snprintf(version, sizeof version, "%s-%u", self->icao_code, self->qcmp_port);
        error = add(snapshot, before, self->id, version,
                    resource_write_datacenter("", self->qcmp_port, self->icao_code));
    }
    return error;
}

struct snapshot *snapshot_new(enum resource_type type, const struct catalog *catalog,
                              const struct snapshot *before)
{
    const struct catalog_version *version = catalog_read(catalog);
    size_t nodes = version->datacenters != NULL ? version->datacenters->count : 0;
    struct snapshot *snapshot = make(type, version->clusters->count + nodes + 1);
    int error = -1;

    if (snapshot == NULL)
        return NULL;
    switch (type) {
    case RESOURCE_CLUSTER:
        error = add_clusters(snapshot, before, version->clusters);
        break;
    case RESOURCE_DATACENTER:
        error = add_datacenters(snapshot, before, version->datacenters, catalog_self(catalog));
        break;
    case RESOURCE_FILTER_CHAIN:
        error =
            add(snapshot, before, "filter_chain", NULL, resource_write_filters(version->filters));
        break;
    case RESOURCE_TYPES:
        break;
    }
    if (error != 0) {
        snapshot_unref(snapshot);
        return NULL;
    }
    sort(snapshot);
    return snapshot;
}

struct snapshot *snapshot_claimed(enum resource_type type,
                                  const Xds__DeltaDiscoveryRequest *request)
{
    size_t count = request->n_initial_resource_versions, kept = 0;
    struct snapshot *snapshot = make(type, count);

    for (size_t i = 0; snapshot != NULL && i < count; i++) {
        const Xds__Pair *pair = request->initial_resource_versions[i];
        struct snapshot_item *item = item_new(pair->key, pair->value, SNAPSHOT_CLAIMED);

        if (item == NULL) {
            snapshot_unref(snapshot);
            return NULL;
        }
        snapshot->items[snapshot->count++] = item;
    }
    if (snapshot == NULL)
        return NULL;
    sort(snapshot);
    for (size_t i = 0; i < snapshot->count; i++) { /* a map has a key once */
        if (kept > 0 && strcmp(snapshot->items[kept - 1]->name, snapshot->items[i]->name) == 0)
            item_unref(snapshot->items[i]);
        else
            snapshot->items[kept++] = snapshot->items[i];
    }
    snapshot->count = kept;
    return snapshot;
}

static void share(struct snapshot *snapshot, struct snapshot_item *item)
{
    item->references++;
    snapshot->items[snapshot->count++] = item;
}

struct snapshot *snapshot_select(const struct snapshot *from, char *const *names, size_t count)
{
    struct snapshot *snapshot = make(from->type, count);

    for (size_t i = 0; snapshot != NULL && i < count; i++) {
        struct snapshot_item *item = find(from, names[i]);

        if (item != NULL)
            share(snapshot, item);
    }
    return snapshot;
}

/* Two sorted lists side by side: -1, 0 or 1 as the next name is in the first, both or the second.
 */
static int next_of(const struct snapshot *a, size_t i, const struct snapshot *b, size_t j)
{
    if (i == a->count)
        return 1;
    if (j == b->count)
        return -1;
    int order = strcmp(a->items[i]->name, b->items[j]->name);
    return (order > 0) - (order < 0);
}

static struct snapshot_item *empty_of(const char *name)
{
    struct snapshot_item *item = NULL;
    struct cluster *cluster = cluster_new(name);
    struct http_blob *content = cluster != NULL ? resource_write_cluster(cluster) : NULL;

    if (content != NULL)
        item = item_new(name, "0", SNAPSHOT_EMPTIED);
    if (item != NULL && encode(item, RESOURCE_CLUSTER, content) != 0) {
        item_unref(item);
        item = NULL;
    }
    http_blob_unref(content);
    cluster_free(cluster);
    return item;
}

struct snapshot *snapshot_step(struct snapshot *from, struct snapshot *to, bool empties,
                               bool keeps_claimed)
{
    struct snapshot *step;
    size_t gone = 0, i = 0, j = 0;

    empties = empties && to->type == RESOURCE_CLUSTER;
    while (i < from->count || j < to->count) {
        int order = next_of(from, i, to, j);

        gone += order < 0 && ((empties && from->items[i]->kind != SNAPSHOT_EMPTIED) ||
                              (keeps_claimed && from->items[i]->kind == SNAPSHOT_CLAIMED));
        i += order <= 0;
        j += order >= 0;
    }
    if (gone == 0)
        return snapshot_ref(to);

    step = make(to->type, to->count + gone);
    for (i = j = 0; step != NULL && (i < from->count || j < to->count);) {
        int order = next_of(from, i, to, j);

        if (order >= 0) {
            share(step, to->items[j]);
        } else if (keeps_claimed && from->items[i]->kind == SNAPSHOT_CLAIMED) {
            share(step, from->items[i]);
        } else if (empties && from->items[i]->kind != SNAPSHOT_EMPTIED) {
            struct snapshot_item *item = empty_of(from->items[i]->name);

            if (item == NULL) {
                snapshot_unref(step);
                return NULL;
            }
            step->items[step->count++] = item;
        }
        i += order <= 0;
        j += order >= 0;
    }
    return step;
}

uint64_t snapshot_digest(const struct snapshot *snapshot)
{
    uint64_t digest = 0;

    for (size_t i = 0; i < snapshot->count; i++)
        exchange_add_version(&digest, snapshot->items[i]->name, snapshot->items[i]->version);
    return digest;
}

static bool item_equal(const struct snapshot_item *a, const struct snapshot_item *b)
{
    return a == b || strcmp(a->version, b->version) == 0;
}

bool snapshot_equal(const struct snapshot *a, const struct snapshot *b)
{
    if (a == b)
        return true;
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i]->name, b->items[i]->name) != 0 ||
            !item_equal(a->items[i], b->items[i]))
            return false;
    }
    return true;
}

struct http_blob *snapshot_diff(const struct snapshot *from, const struct snapshot *to,
                                const char *identifier)
{
    Xds__DeltaDiscoveryResponse message;
    Xds__ControlPlane plane;
    size_t bytes = 0, i = 0, j = 0;

    xds__delta_discovery_response__init(&message);
    xds__control_plane__init(&plane);
    plane.identifier = (char *)(uintptr_t)identifier; /* only read, as what follows */
    message.control_plane = &plane;
    message.system_version_info = (char *)(uintptr_t)SNAPSHOT_SYSTEM_VERSION;
    message.type_url = (char *)(uintptr_t)resource_type_url(to->type);
    message.removed_resources = calloc(from->count + 1, sizeof(char *));
    if (message.removed_resources == NULL)
        return NULL;
    while (i < from->count || j < to->count) {
        int order = next_of(from, i, to, j);

        if (order < 0)
            message.removed_resources[message.n_removed_resources++] = from->items[i]->name;
        else if (order > 0 || !item_equal(from->items[i], to->items[j]))
            bytes += to->items[j]->wire->bytes;
        i += order <= 0;
        j += order >= 0;
    }
    size_t rest = xds__delta_discovery_response__get_packed_size(&message);
    uint8_t *data = malloc(bytes + rest), *at = data;
    for (i = j = 0; data != NULL && (i < from->count || j < to->count);) {
        int order = next_of(from, i, to, j);

        if (order > 0 || (order == 0 && !item_equal(from->items[i], to->items[j]))) {
            memcpy(at, to->items[j]->wire->data, to->items[j]->wire->bytes);
            at += to->items[j]->wire->bytes;
        }
        i += order <= 0;
        j += order >= 0;
    }
    if (data != NULL)
        xds__delta_discovery_response__pack(&message, at);
    free(message.removed_resources);
    return http_blob_new((char *)data, bytes + rest);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/learned.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/lookup.h"
#include "net/address.h"
#include "xds/exchange.h"

#define VERSION_BYTES 17

/* What all agents of a relay may have told in all, as bytes of messages; and the data centres of
 * one of them, each of which Phoenix of every proxy pings. */
#define AGENTS_MAX_BYTES ((size_t)64 << 20)
#define AGENT_MAX_NODES 1000

/* What is known of a resource besides what it says. */
struct item {
    char *name; /* of the resource */
    char *version;
    struct learned_owner *owner;
    size_t bytes;           /* of a cluster's message and name */
    struct datacenter node; /* of a data centre */
};

struct items {
    struct item *items;
    size_t count;
};

struct learned {
    struct catalog *catalog;
    enum catalog_source source;
    struct learned_owner *owners;
    struct clusters *clusters; /* NULL: none were told */
    json_t *filters;
    struct items sets[RESOURCE_TYPES]; /* those of clusters in the order of the list */
    bool has_nodes;
};

/* What a response makes of one type. */
struct draft {
    struct items next;
    struct clusters *clusters;
    json_t *filters;
    struct lookup *removed; /* names */
    struct lookup *names;   /* the items of data centres that the response has */
};

static void items_fini(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->items[i].name);
        free(items->items[i].version);
    }
    free(items->items);
    *items = (struct items){0};
}

static int items_init(struct items *items, size_t room)
{
    items->items = calloc(room + 1, sizeof *items->items);
    return items->items != NULL ? 0 : -ENOMEM;
}

static int add_item(struct items *items, const char *name, const char *version,
                    struct learned_owner *owner, size_t bytes)
{
    struct item *item = &items->items[items->count];

    *item = (struct item){
        .name = strdup(name), .version = strdup(version), .owner = owner, .bytes = bytes};
    items->count++; /* so that it is freed, whatever it has */
    return item->name != NULL && item->version != NULL ? 0 : -ENOMEM;
}

static void draft_fini(struct draft *draft)
{
    items_fini(&draft->next);
    clusters_free(draft->clusters);
    json_decref(draft->filters);
    lookup_free(draft->removed);
    lookup_free(draft->names);
}

int learned_new(struct learned **learned, struct catalog *catalog, enum catalog_source source)
{
    struct learned *made = calloc(1, sizeof *made);

    if (made == NULL)
        return -ENOMEM;
    made->catalog = catalog;
    made->source = source;
    *learned = made;
    return 0;
}

void learned_free(struct learned *learned)
{
    if (learned == NULL)
        return;
    for (unsigned i = 0; i < RESOURCE_TYPES; i++)
        items_fini(&learned->sets[i]);
    clusters_free(learned->clusters);
    json_decref(learned->filters);
    while (learned->owners != NULL) {
        struct learned_owner *owner = learned->owners;

        learned->owners = owner->next;
        free(owner);
    }
    free(learned);
}

static bool has_name(const void *item, const struct lookup_key *key)
{
    return strlen(item) == key->bytes && memcmp(item, key->data, key->bytes) == 0;
}

static struct lookup_key key_of(const char *name)
{
    return (struct lookup_key){.data = name, .bytes = strlen(name)};
}

static int note_removed(struct draft *draft, const Xds__DeltaDiscoveryResponse *response)
{
    draft->removed = lookup_new(has_name);
    for (size_t i = 0; draft->removed != NULL && i < response->n_removed_resources; i++) {
        struct lookup_key key = key_of(response->removed_resources[i]);
        void **place = lookup_place(draft->removed, &key);

        if (place == NULL)
            return -ENOMEM;
        *place = response->removed_resources[i];
    }
    return draft->removed != NULL ? 0 : -ENOMEM;
}

/* Only who owns a resource, or nobody any more, may change it. */
static bool may_change(const struct item *item, const struct learned_owner *owner)
{
    return item->owner == owner || item->owner == NULL || item->owner->streams == 0;
}

static bool is_removed(const struct draft *draft, const struct item *item,
                       const struct learned_owner *owner)
{
    struct lookup_key key = key_of(item->name);

    return lookup_find(draft->removed, &key) != NULL && may_change(item, owner);
}

/* The version of a cluster is hexadecimal in the reference, whose proxies and relays take no other.
 */
static bool is_hexadecimal(const char *version)
{
    size_t length = strlen(version);

    return length > 0 && length < VERSION_BYTES &&
           strspn(version, "0123456789abcdefABCDEF") == length;
}

static int no_memory(struct error *error)
{
    return error_set(error, -ENOMEM, "out of memory");
}

static const ProtobufCBinaryData *content(const Xds__Resource *resource, enum resource_type type,
                                          struct error *error)
{
    if (resource->resource == NULL ||
        strcmp(resource->resource->type_url, resource_type_url(type)) != 0) {
        error_set(error, -EINVAL, "resource '%.80s' is of another type", resource->name);
        return NULL;
    }
    return &resource->resource->value;
}

static int check_bytes(const struct items *items, struct error *error)
{
    size_t bytes = 0;

    for (size_t i = 0; i < items->count; i++)
        bytes += items->items[i].bytes;
    return bytes <= AGENTS_MAX_BYTES
               ? 0
               : error_set(error, -E2BIG, "agents have told this relay more than %zu bytes",
                           AGENTS_MAX_BYTES);
}

/* New clusters first, then those that stay, so that a list shows whose locality comes twice. */
static int draft_clusters(struct draft *draft, const struct learned *learned,
                          const Xds__DeltaDiscoveryResponse *response, struct learned_owner *owner,
                          struct arena *arena, struct error *error)
{
    const struct items *before = &learned->sets[RESOURCE_CLUSTER];

    if (items_init(&draft->next, before->count + response->n_resources) != 0 ||
        (draft->clusters = clusters_new()) == NULL)
        return no_memory(error);
    for (size_t i = 0; i < response->n_resources; i++) {
        const Xds__Resource *resource = response->resources[i];
        const ProtobufCBinaryData *message = content(resource, RESOURCE_CLUSTER, error);
        const struct clusters_item *there = NULL;
        struct cluster *cluster;

        if (message == NULL)
            return -EINVAL;
        if (!is_hexadecimal(resource->version))
            return error_set(error, -EINVAL,
                             "cluster '%.80s': its version is not 1 to 16 hexadecimal digits",
                             resource->name);
        if (resource_read_cluster(message, arena, &cluster, error) != 0)
            return -EINVAL;
        if (learned->clusters != NULL)
            there = clusters_find(learned->clusters, cluster->locality);
        if (there != NULL && !may_change(&before->items[there - learned->clusters->items], owner)) {
            error_set(error, -EPERM, "locality '%.80s' is another agent's", cluster->locality);
            cluster_free(cluster);
            return -EPERM;
        }
        if (clusters_find(draft->clusters, cluster->locality) != NULL) {
            error_set(error, -EINVAL, "locality '%.80s' comes twice", cluster->locality);
            cluster_free(cluster);
            return -EINVAL;
        }
        if (clusters_add(draft->clusters, cluster) != 0 ||
            add_item(&draft->next, resource->name, resource->version, owner,
                     message->len + strlen(resource->name)) != 0)
            return no_memory(error);
    }
    for (size_t i = 0; learned->clusters != NULL && i < before->count; i++) {
        const struct cluster *cluster = learned->clusters->items[i].cluster;
        const struct item *item = &before->items[i];

        if (is_removed(draft, item, owner) ||
            clusters_find(draft->clusters, cluster->locality) != NULL)
            continue;
        if (clusters_share(draft->clusters, cluster, 0) != 0 ||
            add_item(&draft->next, item->name, item->version, item->owner, item->bytes) != 0)
            return no_memory(error);
    }
    return owner == NULL ? 0 : check_bytes(&draft->next, error);
}

static bool item_has_name(const void *item, const struct lookup_key *key)
{
    return has_name(((const struct item *)item)->name, key);
}

static struct lookup *list_names(const struct items *items)
{
    struct lookup *names = lookup_new(item_has_name);

    for (size_t i = 0; names != NULL && i < items->count; i++) {
        struct lookup_key key = key_of(items->items[i].name);
        void **place = lookup_place(names, &key);

        if (place == NULL) {
            lookup_free(names);
            return NULL;
        }
        *place = &items->items[i];
    }
    return names;
}

static int add_node(struct draft *draft, const Xds__Resource *resource,
                    const struct datacenter *node, struct learned_owner *owner, struct error *error)
{
    struct lookup_key key = key_of(resource->name);
    void **place = lookup_place(draft->names, &key);

    if (place == NULL)
        return no_memory(error);
    if (*place != NULL)
        return error_set(error, -EINVAL, "data centre '%.80s' comes twice", resource->name);
    *place = &draft->next.items[draft->next.count];
    if (add_item(&draft->next, resource->name, resource->version, owner, 0) != 0)
        return no_memory(error);
    draft->next.items[draft->next.count - 1].node = *node;
    return 0;
}

/* Takes over the data centres that the response says nothing of; not those that others said to be
 * at the address of an agent that has come since. */
static int keep_nodes(struct draft *draft, const struct items *before, struct learned_owner *owner,
                      struct error *error)
{
    char own[INET6_ADDRSTRLEN] = "";

    if (owner != NULL)
        address_format_host(&owner->address, own);
    for (size_t i = 0; i < before->count; i++) {
        const struct item *item = &before->items[i];
        struct lookup_key key = key_of(item->name);
        const struct item *newer = lookup_find(draft->names, &key);

        if (is_removed(draft, item, owner) || (newer != NULL && newer->owner == item->owner) ||
            (item->owner != owner && strcmp(item->node.address, own) == 0))
            continue;
        if (add_item(&draft->next, item->name, item->version, item->owner, 0) != 0)
            return no_memory(error);
        draft->next.items[draft->next.count - 1].node = item->node;
    }
    size_t owned = 0;
    for (size_t i = 0; owner != NULL && i < draft->next.count; i++)
        owned += draft->next.items[i].owner == owner;
    return owned <= AGENT_MAX_NODES
               ? 0
               : error_set(error, -E2BIG, "more than %d data centres", AGENT_MAX_NODES);
}

/* A relay knows an agent's own data centre by the agent's address; from a server it is nobody's. */
static int read_nodes(struct draft *draft, const struct lookup *before,
                      const Xds__DeltaDiscoveryResponse *response, struct learned_owner *owner,
                      struct arena *arena, struct error *error)
{
    for (size_t i = 0; i < response->n_resources; i++) {
        const Xds__Resource *resource = response->resources[i];
        const ProtobufCBinaryData *message = content(resource, RESOURCE_DATACENTER, error);
        struct lookup_key key = key_of(resource->name);
        const struct item *there = lookup_find(before, &key);
        struct datacenter node;
        bool is_address;

        if (message == NULL ||
            resource_read_datacenter(message, arena, &node, &is_address, error) != 0)
            return -EINVAL;
        if (!is_address && (owner == NULL || node.address[0] != '\0'))
            continue;
        if (!is_address)
            address_format_host(&owner->address, node.address);
        if (there != NULL && !may_change(there, owner) && is_address)
            return error_set(error, -EPERM, "data centre '%.80s' is another agent's",
                             resource->name);
        int code = add_node(draft, resource, &node, owner, error);
        if (code != 0)
            return code;
    }
    return 0;
}

/* An agent's own address is nobody else's, as long as it is there. */
static int check_claims(const struct items *told, const struct learned *learned,
                        const struct learned_owner *owner, struct error *error)
{
    const struct learned_owner *other = owner != NULL ? learned->owners : NULL;
    char address[INET6_ADDRSTRLEN];

    for (; other != NULL; other = other->next) {
        if (other == owner || other->streams == 0)
            continue;
        address_format_host(&other->address, address);
        for (size_t i = 0; i < told->count; i++) {
            if (strcmp(told->items[i].node.address, address) == 0)
                return error_set(error, -EPERM, "data centre '%.80s' is another agent's", address);
        }
    }
    return 0;
}

static int draft_datacenters(struct draft *draft, const struct learned *learned,
                             const Xds__DeltaDiscoveryResponse *response,
                             struct learned_owner *owner, struct arena *arena, struct error *error)
{
    const struct items *before = &learned->sets[RESOURCE_DATACENTER];
    struct lookup *names;

    if (response->n_resources > UINT16_MAX)
        return error_set(error, -E2BIG, "more than %d data centres", UINT16_MAX);
    if (items_init(&draft->next, before->count + response->n_resources) != 0 ||
        (draft->names = lookup_new(item_has_name)) == NULL || (names = list_names(before)) == NULL)
        return no_memory(error);
    int code = read_nodes(draft, names, response, owner, arena, error);
    lookup_free(names);
    if (code == 0)
        code = check_claims(&draft->next, learned, owner, error);
    return code == 0 ? keep_nodes(draft, before, owner, error) : code;
}

static int draft_filters(struct draft *draft, const struct learned *learned,
                         const Xds__DeltaDiscoveryResponse *response, struct arena *arena,
                         struct error *error)
{
    const struct items *before = &learned->sets[RESOURCE_FILTER_CHAIN];

    if (response->n_resources == 0 && response->n_removed_resources > 0) {
        draft->filters = json_incref(learned->filters);
        if (items_init(&draft->next, before->count) != 0 ||
            (before->count > 0 &&
             add_item(&draft->next, before->items[0].name, before->items[0].version, NULL, 0) != 0))
            return no_memory(error);
        return 0;
    }
    if (response->n_resources != 1)
        return error_set(error, -EINVAL, "%zu filter chains, not one", response->n_resources);
    const Xds__Resource *resource = response->resources[0];
    const ProtobufCBinaryData *message = content(resource, RESOURCE_FILTER_CHAIN, error);
    if (message == NULL || resource_read_filters(message, arena, &draft->filters, error) != 0)
        return -EINVAL;
    if (items_init(&draft->next, 1) != 0 ||
        add_item(&draft->next, resource->name, resource->version, NULL, 0) != 0)
        return no_memory(error);
    return 0;
}

static struct datacenters *list_nodes(const struct items *items)
{
    struct datacenters *list = datacenters_new();

    for (size_t i = 0; list != NULL && i < items->count; i++) {
        if (datacenters_add(list, &items->items[i].node) == -ENOMEM) {
            datacenters_free(list);
            list = NULL;
        }
    }
    return list;
}

/* Tells the catalog what there is with a draft of one type in place of what there was of it. */
static int tell(struct learned *learned, enum resource_type type, const struct draft *draft)
{
    const struct clusters *clusters =
        type == RESOURCE_CLUSTER ? draft->clusters : learned->clusters;
    const struct items *nodes =
        type == RESOURCE_DATACENTER ? &draft->next : &learned->sets[RESOURCE_DATACENTER];
    struct catalog_change change = {
        .filters = json_incref(type == RESOURCE_FILTER_CHAIN ? draft->filters : learned->filters)};
    int error = 0;

    if (clusters != NULL && (change.clusters = clusters_copy(clusters)) == NULL)
        error = -ENOMEM;
    if ((learned->has_nodes || type == RESOURCE_DATACENTER) && error == 0 &&
        (change.datacenters = list_nodes(nodes)) == NULL)
        error = -ENOMEM;
    if (error == 0)
        return catalog_update(learned->catalog, learned->source, &change);
    catalog_change_fini(&change);
    return error;
}

/* Takes over what a draft has; draft_fini() releases what was there. */
static void adopt(struct learned *learned, enum resource_type type, struct draft *draft)
{
    struct items items = learned->sets[type];
    struct clusters *clusters = learned->clusters;
    json_t *filters = learned->filters;

    learned->sets[type] = draft->next;
    draft->next = items;
    if (type == RESOURCE_CLUSTER) {
        learned->clusters = draft->clusters;
        draft->clusters = clusters;
    } else if (type == RESOURCE_FILTER_CHAIN) {
        learned->filters = draft->filters;
        draft->filters = filters;
    } else {
        learned->has_nodes = true;
    }
}

int learned_take(struct learned *learned, enum resource_type type,
                 const Xds__DeltaDiscoveryResponse *response, struct learned_owner *owner,
                 struct arena *arena, struct error *error)
{
    struct draft draft = {.clusters = NULL};
    int code = note_removed(&draft, response);

    if (code != 0)
        no_memory(error);
    else if (type == RESOURCE_CLUSTER)
        code = draft_clusters(&draft, learned, response, owner, arena, error);
    else if (type == RESOURCE_DATACENTER)
        code = draft_datacenters(&draft, learned, response, owner, arena, error);
    else
        code = draft_filters(&draft, learned, response, arena, error);
    if (code == 0 && (code = tell(learned, type, &draft)) != 0)
        no_memory(error);
    if (code == 0)
        adopt(learned, type, &draft);
    draft_fini(&draft);
    return code;
}

int learned_versions(const struct learned *learned, enum resource_type type,
                     const struct learned_owner *owner, struct arena *arena,
                     Xds__DeltaDiscoveryRequest *request)
{
    const struct items *set = &learned->sets[type];
    Xds__Pair *pairs = arena_take(arena, (set->count + 1) * sizeof *pairs);
    Xds__Pair **list = arena_take(arena, (set->count + 1) * sizeof *list);
    size_t count = 0;

    if (pairs == NULL || list == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++) {
        if (owner != NULL && set->items[i].owner != owner)
            continue;
        xds__pair__init(&pairs[count]);
        pairs[count].key = set->items[i].name;
        pairs[count].value = set->items[i].version;
        list[count] = &pairs[count];
        count++;
    }
    request->initial_resource_versions = list;
    request->n_initial_resource_versions = count;
    return 0;
}

struct learned_owner *learned_join(struct learned *learned, const struct in6_addr *address)
{
    struct learned_owner *owner = learned->owners;

    while (owner != NULL && memcmp(&owner->address, address, sizeof *address) != 0)
        owner = owner->next;
    if (owner == NULL) {
        owner = calloc(1, sizeof *owner);
        if (owner == NULL)
            return NULL;
        *owner = (struct learned_owner){.address = *address, .next = learned->owners};
        learned->owners = owner;
    }
    owner->streams++;
    return owner;
}

/* Without memory they stay until the agent comes back and goes. */
static void forget_nodes(struct learned *learned, const struct learned_owner *owner)
{
    const struct items *before = &learned->sets[RESOURCE_DATACENTER];
    struct draft draft = {.clusters = NULL};
    int error = items_init(&draft.next, before->count);

    for (size_t i = 0; i < before->count && error == 0; i++) {
        const struct item *item = &before->items[i];

        if (item->owner == owner)
            continue;
        error = add_item(&draft.next, item->name, item->version, item->owner, 0);
        draft.next.items[draft.next.count - 1].node = item->node;
    }
    if (error == 0 && draft.next.count < before->count &&
        tell(learned, RESOURCE_DATACENTER, &draft) == 0)
        adopt(learned, RESOURCE_DATACENTER, &draft);
    draft_fini(&draft);
}

static bool owns_something(const struct learned *learned, const struct learned_owner *owner)
{
    for (unsigned type = 0; type < RESOURCE_TYPES; type++) {
        for (size_t i = 0; i < learned->sets[type].count; i++) {
            if (learned->sets[type].items[i].owner == owner)
                return true;
        }
    }
    return false;
}

void learned_leave(struct learned *learned, struct learned_owner *owner)
{
    struct learned_owner **place = &learned->owners;

    if (--owner->streams > 0)
        return;
    forget_nodes(learned, owner);
    if (owns_something(learned, owner))
        return;
    while (*place != owner)
        place = &(*place)->next;
    *place = owner->next;
    free(owner);
}

size_t learned_count(const struct learned *learned, enum resource_type type,
                     const struct learned_owner *owner, uint64_t *digest)
{
    const struct items *set = &learned->sets[type];
    size_t count = 0;

    *digest = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (owner != NULL && set->items[i].owner != owner)
            continue;
        exchange_add_version(digest, set->items[i].name, set->items[i].version);
        count++;
    }
    return count;
}

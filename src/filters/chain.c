/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/chain.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One filter of a chain. */
struct link {
    const struct filter_ops *ops;
    char *label;
    void *filter;
    bool is_open;
    unsigned first_reason; /* the number of the first reason of its kind */
    size_t mine;           /* where its part is in a worker's memory */
};

struct chain {
    atomic_uint references;
    size_t count;
    struct filter_names names;
    size_t worker_bytes;
    struct link links[CHAIN_MAX_FILTERS];
};

struct chain_worker {
    struct chain *chain;
    alignas(64) char mine[];
};

/* A filter as a file has it. */
struct item {
    const struct yaml_node *name, *label, *config;
};

static int take_node(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    (void)walk;
    memcpy(value, &node, sizeof node);
    return 0;
}

static const struct field_tree node_tree = {.take = take_node};

#define NODE(key_, member, flags_)                                                                 \
    {                                                                                              \
        .key = (key_), .kind = FIELD_TREE, .tree = &node_tree, .flags = (flags_),                  \
        FIELD_AT(struct item, member)                                                              \
    }

static const struct field item_fields[] = {
    NODE("name", name, FIELD_REQUIRED), NODE("label", label, 0), NODE("config", config, 0), {0}};

int filter_name(struct filter_names *names, const char *name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0)
            return (int)i;
    }
    if (names->count == FILTER_MAX_NAMES || strlen(name) >= FILTER_NAME_BYTES)
        return -ENOSPC;
    snprintf(names->names[names->count], FILTER_NAME_BYTES, "%s", name);
    return (int)names->count++;
}

static const struct filter_ops *find_kind(const char *id, unsigned *first_reason)
{
    *first_reason = 0;
    for (size_t i = 0; filter_list[i] != NULL; i++) {
        if (strcmp(filter_list[i]->id, id) == 0)
            return filter_list[i];
        for (size_t j = 0; filter_list[i]->reasons != NULL && filter_list[i]->reasons[j] != NULL;
             j++)
            (*first_reason)++;
    }
    return NULL;
}

const char *chain_reason(unsigned number)
{
    for (size_t i = 0; filter_list[i] != NULL; i++) {
        for (size_t j = 0; filter_list[i]->reasons != NULL && filter_list[i]->reasons[j] != NULL;
             j++) {
            if (number-- == 0)
                return filter_list[i]->reasons[j];
        }
    }
    return NULL;
}

static bool is_there(const struct yaml_node *node)
{
    return node != NULL && node->type != YAML_NULL;
}

static size_t enter(struct field_walk *walk, const char *key)
{
    size_t length = strlen(walk->path);
    snprintf(walk->path + length, sizeof walk->path - length, ".%s", key);
    return length;
}

/* Reads one filter into the next link. */
static int take_link(struct chain *chain, const struct yaml_node *node, struct field_walk *walk)
{
    struct link *link = &chain->links[chain->count];
    struct item item = {0};
    struct error reason;
    int error = field_take_map(walk, item_fields, node, &item);
    if (error != 0)
        return error;

    size_t length = enter(walk, "name");
    link->ops =
        item.name->type == YAML_TEXT ? find_kind(item.name->text, &link->first_reason) : NULL;
    if (link->ops == NULL)
        return field_fail(walk, item.name, "the id of a filter", true);
    field_leave(walk, length);
    length = enter(walk, "label");
    if (is_there(item.label) && item.label->type != YAML_TEXT)
        return field_fail(walk, item.label, "a text", true);
    field_leave(walk, length);

    chain->count++;
    link->label = is_there(item.label) ? strdup(item.label->text) : NULL;
    link->filter = calloc(1, link->ops->filter_bytes + 1);
    if (link->filter == NULL || (is_there(item.label) && link->label == NULL))
        return error_set(walk->error, -ENOMEM, "out of memory");
    length = enter(walk, "config");
    const struct yaml_node *config = is_there(item.config) ? item.config : NULL;
    if (link->ops->fields == NULL && config != NULL)
        return field_fail(walk, config, "no configuration", false);
    if (link->ops->needs_config && item.config == NULL) {
        field_leave(walk, length);
        return error_set(walk->error, -EINVAL,
                         "%u:%u: %s: expected the key 'config', found a map without it", node->line,
                         node->column, walk->path);
    }
    if (link->ops->needs_config && config == NULL)
        return field_fail(walk, item.config, "a map", false);
    if (link->ops->fields != NULL)
        field_defaults(link->ops->fields, link->filter);
    if (config != NULL)
        error = field_take_map(walk, link->ops->fields, config, link->filter);
    if (error == 0 && link->ops->open != NULL) {
        error = link->ops->open(link->filter, &chain->names, &reason);
        link->is_open = error == 0;
        if (error != 0) {
            const struct yaml_node *at = config != NULL ? config : node;
            error_set(walk->error, error, "%u:%u: %s: %s", at->line, at->column, walk->path,
                      reason.text);
        }
    }
    if (error != 0)
        return error;
    field_leave(walk, length);
    link->mine = chain->worker_bytes;
    chain->worker_bytes += (link->ops->worker_bytes + 63) / 64 * 64;
    return 0;
}

int chain_take(struct chain **chain, const struct yaml_node *list, struct field_walk *walk)
{
    size_t index = 0;
    int error = 0;
    if (list->type != YAML_LIST)
        return field_fail(walk, list, "a list of filters", false);
    struct chain *made = calloc(1, sizeof *made);
    if (made == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");

    atomic_init(&made->references, 1);
    for (const struct yaml_node *item = list->first; item != NULL && error == 0;
         item = item->next) {
        size_t length = field_enter(walk, index++);
        error = made->count < CHAIN_MAX_FILTERS
                    ? take_link(made, item, walk)
                    : field_fail(walk, item, "at most 64 filters", false);
        if (error == 0)
            field_leave(walk, length);
    }
    if (error != 0) {
        chain_unref(made);
        return error;
    }
    *chain = made;
    return 0;
}

int chain_from_json(struct chain **chain, json_t *list, struct error *error)
{
    char *text = list != NULL ? json_dumps(list, JSON_COMPACT) : strdup("[]");
    struct yaml_document document = {0};
    struct field_walk walk = {.error = error, .path = "filters"};
    if (text == NULL)
        return error_set(error, -ENOMEM, "out of memory");
    int code = yaml_parse(text, strlen(text), &document, error);
    if (code == 0)
        code = chain_take(chain, document.root, &walk);
    yaml_fini(&document);
    free(text);
    return code;
}

struct chain *chain_ref(struct chain *chain)
{
    atomic_fetch_add_explicit(&chain->references, 1, memory_order_relaxed);
    return chain;
}

void chain_unref(struct chain *chain)
{
    if (chain == NULL ||
        atomic_fetch_sub_explicit(&chain->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < chain->count; i++) {
        struct link *link = &chain->links[i];
        if (link->is_open && link->ops->close != NULL)
            link->ops->close(link->filter);
        if (link->ops->fields != NULL && link->filter != NULL)
            field_fini(link->ops->fields, link->filter);
        free(link->filter);
        free(link->label);
    }
    free(chain);
}

json_t *chain_show(const struct chain *chain)
{
    json_t *list = json_array();
    for (size_t i = 0; chain != NULL && i < chain->count && list != NULL; i++) {
        const struct link *link = &chain->links[i];
        json_t *config = link->ops->fields != NULL ? json_object() : json_null();
        int error = config == NULL ? -1 : 0;
        if (error == 0 && link->ops->fields != NULL)
            error = field_show(link->ops->fields, link->filter, config, true, true);
        json_t *item = json_pack("{s:s, s:s?, s:o}", "name", link->ops->id, "label", link->label,
                                 "config", config);
        if (error != 0 || json_array_append_new(list, item) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

struct chain_worker *chain_worker_new(struct chain *chain, unsigned worker)
{
    size_t bytes = sizeof(struct chain_worker) + chain->worker_bytes;
    struct chain_worker *made = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (made == NULL)
        return NULL;
    memset(made, 0, bytes);
    made->chain = chain_ref(chain);
    for (size_t i = 0; i < chain->count; i++) {
        const struct link *link = &chain->links[i];
        if (link->ops->start != NULL)
            link->ops->start(link->filter, made->mine + link->mine, worker);
    }
    return made;
}

void chain_worker_free(struct chain_worker *worker)
{
    if (worker == NULL)
        return;
    chain_unref(worker->chain);
    free(worker);
}

enum filter_result chain_read(struct chain_worker *worker, struct filter_call *call,
                              unsigned *reason)
{
    const struct chain *chain = worker->chain;
    for (size_t i = 0; i < chain->names.count; i++)
        call->metadata[i].kind = METADATA_NONE;
    for (size_t i = 0; i < chain->count; i++) {
        const struct link *link = &chain->links[i];
        if (link->ops->read != NULL &&
            link->ops->read(link->filter, worker->mine + link->mine, call) == FILTER_DROP) {
            *reason = link->first_reason + call->reason;
            return FILTER_DROP;
        }
    }
    return FILTER_NEXT;
}

enum filter_result chain_write(struct chain_worker *worker, struct filter_call *call,
                               unsigned *reason)
{
    const struct chain *chain = worker->chain;
    for (size_t i = 0; i < chain->names.count; i++)
        call->metadata[i].kind = METADATA_NONE;
    for (size_t i = chain->count; i-- > 0;) {
        const struct link *link = &chain->links[i];
        if (link->ops->write != NULL &&
            link->ops->write(link->filter, worker->mine + link->mine, call) == FILTER_DROP) {
            *reason = link->first_reason + call->reason;
            return FILTER_DROP;
        }
    }
    return FILTER_NEXT;
}

const char *chain_filter_name(const struct chain *chain, size_t index)
{
    return index < chain->count ? chain->links[index].ops->id : NULL;
}

json_t *chain_filter_schema(const char *id)
{
    unsigned first;
    const struct filter_ops *ops = find_kind(id, &first);
    if (ops == NULL)
        return NULL;
    if (ops->fields == NULL)
        return json_pack("{s:s}", "type", "null");
    json_t *schema =
        json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);
    json_t *rules = ops->rules != NULL ? json_loads(ops->rules, 0, NULL) : json_object();
    if (field_schema(ops->fields, schema) != 0 || json_object_update(schema, rules) != 0) {
        json_decref(schema);
        schema = NULL;
    }
    json_decref(rules);
    return schema;
}

json_t *chain_schema(void)
{
    json_t *kinds = json_array();
    for (size_t i = 0; filter_list[i] != NULL && kinds != NULL; i++) {
        const struct filter_ops *ops = filter_list[i];
        json_t *config = chain_filter_schema(ops->id);
        json_t *kind = json_pack(
            "{s:s, s:{s:{s:s}, s:{s:[s, s]}, s:o}, s:[s, s*], s:b}", "type", "object", "properties",
            "name", "const", ops->id, "label", "type", "string", "null", "config",
            ops->needs_config ? config
                              : json_pack("{s:[o, {s:s}]}", "anyOf", config, "type", "null"),
            "required", "name", ops->needs_config ? "config" : NULL, "additionalProperties", 0);
        if (json_array_append_new(kinds, kind) != 0) {
            json_decref(kinds);
            kinds = NULL;
        }
    }
    return json_pack("{s:s, s:i, s:{s:o}}", "type", "array", "maxItems", CHAIN_MAX_FILTERS, "items",
                     "anyOf", kinds);
}

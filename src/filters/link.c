/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int take_node(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    (void)walk;
    memcpy(value, &node, sizeof node);
    return 0;
}

const struct field_tree link_node_tree = {.take = take_node};

bool link_is_there(const struct yaml_node *node)
{
    return node != NULL && node->type != YAML_NULL;
}

size_t link_enter(struct field_walk *walk, const char *key)
{
    size_t length = strlen(walk->path);
    snprintf(walk->path + length, sizeof walk->path - length, ".%s", key);
    return length;
}

static unsigned reasons_of(const struct filter_ops *ops)
{
    unsigned count = 0;
    while (ops->reasons != NULL && ops->reasons[count] != NULL)
        count++;
    return count;
}

const struct filter_ops *link_kind(const char *id, unsigned *first_reason)
{
    *first_reason = 0;
    for (size_t i = 0; filter_list[i] != NULL; i++) {
        if (strcmp(filter_list[i]->id, id) == 0)
            return filter_list[i];
        *first_reason += reasons_of(filter_list[i]);
    }
    return NULL;
}

const char *link_reason(unsigned number)
{
    for (size_t i = 0; filter_list[i] != NULL; i++) {
        unsigned count = reasons_of(filter_list[i]);
        if (number < count)
            return filter_list[i]->reasons[number];
        number -= count;
    }
    return NULL;
}

int link_take(struct link *link, const struct link_nodes *nodes, struct field_walk *walk)
{
    struct filter_names *names = walk->user;
    const struct yaml_node *config = link_is_there(nodes->config) ? nodes->config : NULL;
    struct error reason;
    int error = 0;

    size_t length = link_enter(walk, "name");
    const struct filter_ops *ops =
        nodes->name->type == YAML_TEXT ? link_kind(nodes->name->text, &link->first_reason) : NULL;
    if (ops == NULL)
        return field_fail(walk, nodes->name, "the id of a filter", true);
    field_leave(walk, length);

    link->ops = ops;
    link->filter = calloc(1, ops->filter_bytes + 1);
    if (link->filter == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");
    length = link_enter(walk, "config");
    if (ops->fields == NULL && config != NULL)
        return field_fail(walk, config, "no configuration", false);
    if (ops->needs_config && nodes->config == NULL) {
        field_leave(walk, length);
        return error_set(walk->error, -EINVAL,
                         "%u:%u: %s: expected the key 'config', found a map without it",
                         nodes->at->line, nodes->at->column, walk->path);
    }
    if (ops->needs_config && config == NULL)
        return field_fail(walk, nodes->config, "a map", false);
    if (ops->fields != NULL)
        field_defaults(ops->fields, link->filter);
    if (config != NULL)
        error = field_take_map(walk, ops->fields, config, link->filter);
    if (error != 0)
        return error;

    error = ops->open != NULL ? ops->open(link->filter, names, &reason) : 0;
    if (error != 0) {
        const struct yaml_node *at = config != NULL ? config : nodes->at;
        return error_set(walk->error, error, "%u:%u: %s: %s", at->line, at->column, walk->path,
                         reason.text);
    }
    link->is_open = true;
    field_leave(walk, length);
    return 0;
}

void link_fini(struct link *link)
{
    if (link->is_open && link->ops->close != NULL)
        link->ops->close(link->filter);
    if (link->filter != NULL && link->ops->fields != NULL)
        field_fini(link->ops->fields, link->filter);
    free(link->filter);
    *link = (struct link){0};
}

json_t *link_show(const struct link *link)
{
    if (link->ops->fields == NULL)
        return json_null();
    json_t *config = json_object();
    if (config != NULL && field_show(link->ops->fields, link->filter, config, true, true) == 0)
        return config;
    json_decref(config);
    return NULL;
}

size_t link_worker_bytes(const struct link *link)
{
    return (link->ops->worker_bytes + 63) / 64 * 64;
}

int link_start(const struct link *link, void *mine, unsigned worker)
{
    return link->ops->start != NULL ? link->ops->start(link->filter, mine, worker) : 0;
}

void link_stop(const struct link *link, void *mine)
{
    if (link->ops->stop != NULL)
        link->ops->stop(link->filter, mine);
}

bool filter_always_repeats(const void *filter, struct filter_repeat *repeat)
{
    (void)filter;
    (void)repeat;
    return true;
}

bool link_repeats(const struct link *link, struct filter_repeat *repeat)
{
    return link->ops->repeats != NULL && link->ops->repeats(link->filter, repeat);
}

void link_collect(const struct link *link, const void *mine, struct filter_totals *totals)
{
    if (link->ops->collect != NULL)
        link->ops->collect(link->filter, mine, totals);
}

void link_report(const struct link *link, void *mine, struct log *log)
{
    if (link->ops->report != NULL)
        link->ops->report(link->filter, mine, log);
}

json_t *link_schema(const struct filter_ops *ops)
{
    if (ops->fields == NULL)
        return json_pack("{s:s}", "type", "null");
    json_t *schema =
        json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);
    json_t *more = ops->rules != NULL ? json_loads(ops->rules, 0, NULL) : json_object();
    if (schema == NULL || field_schema(ops->fields, schema) != 0 ||
        json_object_update(schema, more) != 0) {
        json_decref(schema);
        schema = NULL;
    }
    json_decref(more);
    if (schema != NULL && ops->schema_ref != NULL) {
        json_t *within = json_pack("{s:o}", "anyOf", link_schemas(false));
        json_object_set_new(schema, "$id", json_string(ops->schema_ref));
        json_object_set_new(json_object_get(schema, "$defs"), "filter", within);
    }
    return schema;
}

json_t *link_schemas(bool with_label)
{
    json_t *kinds = json_array();
    for (size_t i = 0; filter_list[i] != NULL && kinds != NULL; i++) {
        const struct filter_ops *ops = filter_list[i];
        json_t *config = ops->schema_ref != NULL && !with_label
                             ? json_pack("{s:s}", "$ref", ops->schema_ref)
                             : link_schema(ops);
        if (!ops->needs_config)
            config = json_pack("{s:[o, {s:s}]}", "anyOf", config, "type", "null");
        json_t *kind = json_pack("{s:s, s:{s:{s:s}, s:o}, s:[s]}", "type", "object", "properties",
                                 "name", "const", ops->id, "config", config, "required", "name");
        if (ops->needs_config)
            json_array_append_new(json_object_get(kind, "required"), json_string("config"));
        if (with_label) {
            json_object_set_new(json_object_get(kind, "properties"), "label",
                                json_pack("{s:[s, s]}", "type", "string", "null"));
            json_object_set_new(kind, "additionalProperties", json_false());
        }
        if (json_array_append_new(kinds, kind) != 0) {
            json_decref(kinds);
            kinds = NULL;
        }
    }
    return kinds;
}

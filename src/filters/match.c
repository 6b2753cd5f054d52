/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "filters/link.h"
#include "filters/list.h"

#define DROP_ID "quilkin.filters.drop.v1alpha1.Drop"
#define SCHEMA_ID "https://paddock.invalid/schemas/match.json"

/* What a branch is chosen by. */
struct value {
    enum metadata_kind kind;
    uint64_t number;
    char *text; /* of bytes; on the heap */
    size_t bytes;
    bool is_list; /* the file has the bytes as a list of numbers */
};

struct branch {
    struct value value;
    struct link link;
    size_t mine; /* where its part of a worker's memory is */
};

/* One direction; not there without a name. */
struct side {
    char name[FILTER_NAME_BYTES];
    int metadata; /* its index */
    struct branch *branches;
    size_t count;
    struct branch fallthrough;
    bool has_fallthrough; /* the file has one */
};

struct match {
    struct side sides[2]; /* on_read, on_write */
    size_t worker_bytes;  /* of all filters within */
};

struct match_worker {
    char *mine; /* of the filters within */
    struct counter matched[2], fallen[2];
};

enum {
    NO_METADATA
};
static const char *const reasons[] = {[NO_METADATA] = "filter::match::no metadata", NULL};

/* A side and a branch as a file has them. */
struct members {
    const struct yaml_node *key, *branches, *fallthrough; /* of a side */
    const struct yaml_node *value, *name, *config;        /* of a branch */
};

static const struct field side_fields[] = {
    LINK_NODE(struct members, "metadataKey", key, FIELD_REQUIRED),
    LINK_NODE(struct members, "branches", branches, FIELD_REQUIRED),
    LINK_NODE(struct members, "fallthrough", fallthrough, 0),
    {0},
};
static const struct field branch_fields[] = {
    LINK_NODE(struct members, "value", value, FIELD_REQUIRED),
    LINK_NODE(struct members, "name", name, FIELD_REQUIRED),
    LINK_NODE(struct members, "config", config, 0),
    {0},
};
static const struct field fallthrough_fields[] = {
    LINK_NODE(struct members, "name", name, FIELD_REQUIRED),
    LINK_NODE(struct members, "config", config, 0),
    {0},
};

static int take_octets(struct value *value, const struct yaml_node *list, struct field_walk *walk)
{
    size_t count = 0;
    uint64_t octet;
    for (const struct yaml_node *item = list->first; item != NULL; item = item->next)
        count++;
    value->text = malloc(count + 1);
    if (value->text == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");
    for (const struct yaml_node *item = list->first; item != NULL; item = item->next) {
        size_t length = field_enter(walk, value->bytes);
        if (item->type != YAML_INTEGER || number_parse(item->text, 0, UINT8_MAX, &octet) != 0)
            return field_fail(walk, item, "a byte, 0 to 255", false);
        field_leave(walk, length);
        value->text[value->bytes++] = (char)octet;
    }
    value->is_list = true;
    return 0;
}

static int take_value(struct value *value, const struct yaml_node *node, struct field_walk *walk)
{
    static const char expected[] = "a text, a whole number from 0, true, false or a list of bytes";
    *value = (struct value){.kind = METADATA_BYTES};
    switch (node->type) {
    case YAML_TEXT:
        value->bytes = strlen(node->text);
        value->text = strdup(node->text);
        return value->text != NULL ? 0 : error_set(walk->error, -ENOMEM, "out of memory");
    case YAML_LIST:
        return take_octets(value, node, walk);
    case YAML_BOOLEAN:
        *value = (struct value){.kind = METADATA_BOOL, .number = node->text[0] == 't'};
        return 0;
    case YAML_INTEGER:
        value->kind = METADATA_NUMBER;
        if (number_parse(node->text, 0, UINT64_MAX, &value->number) == 0)
            return 0;
        break;
    case YAML_NULL:
    case YAML_FLOAT:
    case YAML_MAP:
        break;
    }
    return field_fail(walk, node, expected, false);
}

static void branch_fini(struct branch *branch)
{
    free(branch->value.text);
    link_fini(&branch->link);
}

static void forget_side(void *of)
{
    struct side *side = of;
    for (size_t i = 0; i < side->count; i++)
        branch_fini(&side->branches[i]);
    free(side->branches);
    branch_fini(&side->fallthrough);
    *side = (struct side){0};
}

static int take_branch(struct branch *branch, const struct yaml_node *node, struct field_walk *walk)
{
    struct members members = {0};
    int error = field_take_map(walk, branch_fields, node, &members);
    if (error != 0)
        return error;
    size_t length = link_enter(walk, "value");
    error = take_value(&branch->value, members.value, walk);
    if (error != 0)
        return error;
    field_leave(walk, length);
    const struct link_nodes nodes = {node, members.name, members.config};
    return link_take(&branch->link, &nodes, walk);
}

static int take_fallthrough(struct side *side, const struct yaml_node *node,
                            struct field_walk *walk)
{
    struct members members = {0};
    side->has_fallthrough = link_is_there(node);
    if (!side->has_fallthrough) {
        side->fallthrough.link.ops = link_kind(DROP_ID, &side->fallthrough.link.first_reason);
        return 0;
    }
    size_t length = link_enter(walk, "fallthrough");
    int error = field_take_map(walk, fallthrough_fields, node, &members);
    const struct link_nodes nodes = {node, members.name, members.config};
    if (error == 0)
        error = link_take(&side->fallthrough.link, &nodes, walk);
    if (error == 0)
        field_leave(walk, length);
    return error;
}

static int take_side(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    struct side *side = value;
    struct members members = {0};
    int error = 0;

    if (!link_is_there(node))
        return 0;
    error = field_take_map(walk, side_fields, node, &members);
    if (error != 0)
        return error;
    size_t length = link_enter(walk, "metadataKey");
    if (members.key->type != YAML_TEXT || members.key->text[0] == '\0' ||
        strlen(members.key->text) >= sizeof side->name)
        return field_fail(walk, members.key, "a text of 1 to 127 bytes", true);
    snprintf(side->name, sizeof side->name, "%s", members.key->text);
    side->metadata = filter_name(walk->user, side->name);
    if (side->metadata < 0)
        return field_fail(walk, members.key, "at most 64 names of metadata", true);
    field_leave(walk, length);

    length = link_enter(walk, "branches");
    if (members.branches->type != YAML_LIST)
        return field_fail(walk, members.branches, "a list of branches", false);
    size_t count = 0;
    for (const struct yaml_node *item = members.branches->first; item != NULL; item = item->next)
        count++;
    side->branches = calloc(count + 1, sizeof *side->branches);
    if (side->branches == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");
    for (const struct yaml_node *item = members.branches->first; item != NULL; item = item->next) {
        size_t inner = field_enter(walk, side->count);
        error = take_branch(&side->branches[side->count++], item, walk);
        if (error != 0)
            return error;
        field_leave(walk, inner);
    }
    field_leave(walk, length);
    return take_fallthrough(side, members.fallthrough, walk);
}

static json_t *show_link(const struct link *link)
{
    return json_pack("{s:s, s:o}", "name", link->ops->id, "config", link_show(link));
}

static json_t *show_value(const struct value *value)
{
    if (value->kind == METADATA_BOOL)
        return json_boolean(value->number != 0);
    if (value->kind == METADATA_NUMBER)
        return json_integer((json_int_t)value->number);
    if (!value->is_list)
        return json_string(value->text);
    json_t *list = json_array();
    for (size_t i = 0; i < value->bytes; i++)
        json_array_append_new(list, json_integer((uint8_t)value->text[i]));
    return list;
}

static json_t *show_side(const void *value, bool with_private)
{
    const struct side *side = value;
    json_t *branches = json_array();
    (void)with_private;
    if (side->name[0] == '\0') {
        json_decref(branches);
        return json_null();
    }
    for (size_t i = 0; i < side->count; i++) {
        json_t *branch = show_link(&side->branches[i].link);
        json_object_set_new(branch, "value", show_value(&side->branches[i].value));
        json_array_append_new(branches, branch);
    }
    return json_pack("{s:s, s:o, s:o}", "metadataKey", side->name, "branches", branches,
                     "fallthrough", show_link(&side->fallthrough.link));
}

/* The filters within are described once, in the schema of the kind. */
static json_t *side_schema(void)
{
    return json_pack("{s:s}", "$ref", SCHEMA_ID "#/$defs/side");
}

static const struct field_tree side_tree = {
    .take = take_side, .show = show_side, .schema = side_schema, .fini = forget_side};

static const struct field fields[] = {
    {.key = "on_read",
     .help = "for players' datagrams",
     .kind = FIELD_TREE,
     .tree = &side_tree,
     FIELD_AT(struct match, sides[0])},
    {.key = "on_write",
     .help = "for servers' datagrams",
     .kind = FIELD_TREE,
     .tree = &side_tree,
     FIELD_AT(struct match, sides[1])},
    {0},
};

#define SCHEMA                                                                                     \
    "{\"anyOf\":[{\"required\":[\"on_read\"],\"properties\":{\"on_read\":{\"type\":\"object\"}}}," \
    "{\"required\":[\"on_write\"],\"properties\":{\"on_write\":{\"type\":\"object\"}}}],"          \
    "\"$defs\":{\"side\":{\"type\":[\"object\",\"null\"],\"additionalProperties\":false,"          \
    "\"required\":[\"metadataKey\",\"branches\"],\"properties\":{"                                 \
    "\"metadataKey\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":127},"                     \
    "\"branches\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":"    \
    "false,"                                                                                       \
    "\"required\":[\"value\"],\"allOf\":[{\"$ref\":\"#/$defs/filter\"}],\"properties\":{"          \
    "\"value\":{\"anyOf\":[{\"type\":[\"string\",\"boolean\"]},"                                   \
    "{\"type\":\"integer\",\"minimum\":0},"                                                        \
    "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":255}}]},"       \
    "\"name\":true,\"config\":true}}},"                                                            \
    "\"fallthrough\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"object\","                        \
    "\"additionalProperties\":false,\"allOf\":[{\"$ref\":\"#/$defs/filter\"}],"                    \
    "\"properties\":{\"name\":true,\"config\":true}}]}}}}}"

static void place(struct match *match, struct branch *branch)
{
    branch->mine = match->worker_bytes;
    match->worker_bytes += link_worker_bytes(&branch->link);
}

static int open_match(void *filter, struct filter_names *names, struct error *error)
{
    struct match *match = filter;
    (void)names;
    if (match->sides[0].name[0] == '\0' && match->sides[1].name[0] == '\0')
        return error_set(error, -EINVAL, "expected one of on_read, on_write");
    for (struct side *side = match->sides; side < match->sides + 2; side++) {
        for (size_t i = 0; i < side->count; i++)
            place(match, &side->branches[i]);
        if (side->name[0] != '\0')
            place(match, &side->fallthrough);
    }
    return 0;
}

/* A walk over all filters within. */
static const struct branch *next_branch(const struct match *match, size_t *index)
{
    size_t i = (*index)++;
    for (const struct side *side = match->sides; side < match->sides + 2; side++) {
        size_t count = side->count + (side->name[0] != '\0');
        if (i < count)
            return i < side->count ? &side->branches[i] : &side->fallthrough;
        i -= count;
    }
    return NULL;
}

static int start(const void *filter, void *mine, unsigned worker)
{
    const struct match *match = filter;
    struct match_worker *own = mine;
    const struct branch *branch;
    int error = 0;
    own->mine = aligned_alloc(64, match->worker_bytes + 64);
    if (own->mine == NULL)
        return -ENOMEM;
    memset(own->mine, 0, match->worker_bytes + 64);
    for (size_t i = 0; (branch = next_branch(match, &i)) != NULL && error == 0;)
        error = link_start(&branch->link, own->mine + branch->mine, worker);
    return error;
}

static void stop(const void *filter, void *mine)
{
    struct match_worker *own = mine;
    const struct branch *branch;
    for (size_t i = 0; own->mine != NULL && (branch = next_branch(filter, &i)) != NULL;)
        link_stop(&branch->link, own->mine + branch->mine);
    free(own->mine);
}

static bool is_equal(const struct value *value, const struct metadata *metadata)
{
    switch (metadata->kind) {
    case METADATA_BOOL:
        return value->kind == METADATA_BOOL && value->number == metadata->number;
    case METADATA_NUMBER:
        return (value->kind == METADATA_NUMBER && value->number == metadata->number) ||
               (value->kind == METADATA_BYTES && value->bytes == 1 &&
                (uint8_t)value->text[0] == metadata->number);
    case METADATA_BYTES:
        return (value->kind == METADATA_BYTES && value->bytes == metadata->bytes &&
                memcmp(value->text, metadata->data, value->bytes) == 0) ||
               (value->kind == METADATA_NUMBER && metadata->bytes == 1 &&
                value->number == metadata->data[0]);
    case METADATA_LIST:
    case METADATA_NONE:
        break;
    }
    return false;
}

static enum filter_result run(const struct match *match, struct match_worker *own, bool is_write,
                              struct filter_call *call)
{
    const struct side *side = &match->sides[is_write];
    const struct metadata *metadata = &call->metadata[side->metadata];
    size_t i = 0;

    if (side->name[0] == '\0')
        return FILTER_NEXT;
    if (metadata->kind == METADATA_NONE) {
        call->reason = NO_METADATA;
        return FILTER_DROP;
    }
    while (i < side->count && !is_equal(&side->branches[i].value, metadata))
        i++;
    const struct branch *branch = i < side->count ? &side->branches[i] : &side->fallthrough;
    counter_add(i < side->count ? &own->matched[is_write] : &own->fallen[is_write], 1);
    return is_write ? link_write(&branch->link, own->mine + branch->mine, call)
                    : link_read(&branch->link, own->mine + branch->mine, call);
}

static enum filter_result read_match(const void *filter, void *mine, struct filter_call *call)
{
    return run(filter, mine, false, call);
}

static enum filter_result write_match(const void *filter, void *mine, struct filter_call *call)
{
    return run(filter, mine, true, call);
}

static void collect(const void *filter, const void *mine, struct filter_totals *totals)
{
    const struct match_worker *own = mine;
    const struct branch *branch;
    for (unsigned i = 0; i < 2; i++) {
        totals->matched[i] += counter_read(&own->matched[i]);
        totals->fallen[i] += counter_read(&own->fallen[i]);
    }
    for (size_t i = 0; (branch = next_branch(filter, &i)) != NULL;)
        link_collect(&branch->link, own->mine + branch->mine, totals);
}

static void report(const void *filter, void *mine, struct log *log)
{
    struct match_worker *own = mine;
    const struct branch *branch;
    for (size_t i = 0; (branch = next_branch(filter, &i)) != NULL;)
        link_report(&branch->link, own->mine + branch->mine, log);
}

const struct filter_ops filter_match = {.id = "quilkin.filters.match.v1alpha1.Match",
                                        .fields = fields,
                                        .needs_config = true,
                                        .reasons = reasons,
                                        .filter_bytes = sizeof(struct match),
                                        .worker_bytes = sizeof(struct match_worker),
                                        .open = open_match,
                                        .start = start,
                                        .stop = stop,
                                        .read = read_match,
                                        .write = write_match,
                                        .collect = collect,
                                        .report = report,
                                        .rules = SCHEMA,
                                        .schema_ref = SCHEMA_ID};

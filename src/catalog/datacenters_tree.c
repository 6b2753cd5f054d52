/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/trees.h"

#include <errno.h>
#include <string.h>

#include "catalog/clusters.h"
#include "catalog/datacenters.h"
#include "config/types.h"

struct members {
    const struct yaml_node *map;
};

static const struct field map_rows[] = {
    TREES_MEMBER(struct members, "map", map, FIELD_REQUIRED),
    {.key = "version", .kind = FIELD_NUMBER, .max = INT64_MAX},
    {0},
};

static int parse_host(const char *text, void *value)
{
    struct server_address address;

    if (strlen(text) >= TARGET_HOST_BYTES || server_host_parse(text, &address) != 0)
        return -1;
    memcpy(value, text, strlen(text) + 1);
    return 0;
}

static json_t *show_host(const void *value)
{
    return json_string(value);
}

#define HOST_PATTERN "^[0-9A-Za-z_.:%-]{1,255}$"

static const struct field_type host_type = {
    .parse = parse_host,
    .show = show_host,
    .expected = "an address or a name, without a port",
    .schema = "{\"type\":\"string\",\"pattern\":\"" HOST_PATTERN "\"}"};

/* In a map the address is the key. */
static const struct field datacenter_rows[] = {
    {.key = "address",
     .kind = FIELD_CUSTOM,
     .type = &host_type,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct datacenter, address)},
    {.key = "qcmp_port",
     .kind = FIELD_NUMBER,
     .default_text = "7600",
     .min = 1,
     .max = UINT16_MAX,
     FIELD_AT(struct datacenter, qcmp_port)},
    {.key = "icao_code",
     .kind = FIELD_CUSTOM,
     .type = &type_icao,
     .default_text = "XXXX",
     FIELD_AT(struct datacenter, icao_code)},
    {0},
};

static int take_datacenter(struct datacenters *datacenters, const struct yaml_node *node,
                           bool is_in_map, struct field_walk *walk)
{
    const struct field *rows = is_in_map ? datacenter_rows + 1 : datacenter_rows;
    struct datacenter datacenter = {0};

    field_defaults(rows, &datacenter);
    if (is_in_map && parse_host(node->key->text, datacenter.address) != 0)
        return field_fail(walk, node->key, host_type.expected, false);
    int error = field_take_map(walk, rows, node, &datacenter);
    if (error == 0)
        error = datacenters_add(datacenters, &datacenter);
    if (error == -EEXIST)
        return field_fail(walk, node, "an address and a port that none before has", false);
    return error == -ENOMEM ? trees_fail_memory(walk) : error;
}

static int take_datacenters(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    struct datacenters **datacenters = value, *made;
    bool is_map = node->type == YAML_MAP;
    struct members members = {0};
    size_t length = strlen(walk->path), index = 0;
    int error = is_map ? field_take_map(walk, map_rows, node, &members) : 0;

    if (error != 0)
        return error;
    if (!is_map && node->type != YAML_LIST && node->type != YAML_NULL)
        return field_fail(walk, node, "a list or a map", false);
    if (is_map) {
        trees_enter(walk, "map");
        node = members.map;
        if (node->type != YAML_MAP)
            return field_fail(walk, node, "a map", false);
    }
    made = datacenters_new();
    if (made == NULL)
        return trees_fail_memory(walk);
    for (const struct yaml_node *item = node->first; item != NULL && error == 0;
         item = item->next) {
        size_t inner = is_map ? strlen(walk->path) : field_enter(walk, index++);

        error = take_datacenter(made, item, is_map, walk);
        field_leave(walk, inner);
    }
    field_leave(walk, length);
    if (error != 0) {
        datacenters_free(made);
        return error;
    }
    datacenters_free(*datacenters);
    *datacenters = made;
    return 0;
}

/* The list, as a map cannot have an address twice. */
static json_t *show_datacenters(const void *value, bool with_private)
{
    struct datacenters *const *datacenters = value;
    json_t *list = *datacenters != NULL ? json_array() : json_null();

    for (size_t i = 0; *datacenters != NULL && i < (*datacenters)->count && list != NULL; i++) {
        json_t *json = json_object();

        if (field_show(datacenter_rows, &(*datacenters)->items[i], json, true, with_private) != 0 ||
            json_array_append(list, json) != 0) {
            json_decref(list);
            list = NULL;
        }
        json_decref(json);
    }
    return list;
}

static void forget_datacenters(void *value)
{
    struct datacenters **datacenters = value;

    datacenters_free(*datacenters);
    *datacenters = NULL;
}

static json_t *datacenter_schema(const struct field *rows)
{
    json_t *json =
        json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);

    if (json != NULL && field_schema(rows, json) == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *datacenters_schema(void)
{
    return json_pack(
        "{s:[{s:s}, {s:s, s:o}, {s:s, s:[s], s:b, s:{s:{s:s, s:i}, s:{s:s, s:{s:s}, s:o}}}]}",
        "anyOf", "type", "null", "type", "array", "items", datacenter_schema(datacenter_rows),
        "type", "object", "required", "map", "additionalProperties", 0, "properties", "version",
        "type", "integer", "minimum", 0, "map", "type", "object", "propertyNames", "pattern",
        HOST_PATTERN, "additionalProperties", datacenter_schema(datacenter_rows + 1));
}

const struct field_tree datacenters_tree = {.take = take_datacenters,
                                            .show = show_datacenters,
                                            .schema = datacenters_schema,
                                            .fini = forget_datacenters};

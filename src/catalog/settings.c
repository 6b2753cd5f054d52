/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/settings.h"

#include <errno.h>
#include <netinet/in.h>

#include "config/types.h"
#include "net/target.h"

/* What stands in one item of `datacenters`; only checked. */
struct datacenter {
    char address[TARGET_HOST_BYTES];
    char icao_code[5];
};

static const struct field datacenter_fields[] = {
    {.key = "address",
     .kind = FIELD_CUSTOM,
     .type = &type_host,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct datacenter, address)},
    {.key = "qcmp_port", .kind = FIELD_NUMBER, .min = 1, .max = UINT16_MAX},
    {.key = "icao_code",
     .kind = FIELD_CUSTOM,
     .type = &type_icao,
     FIELD_AT(struct datacenter, icao_code)},
    {0},
};

/* In a map the address is the key. */
static const struct field *const value_fields = datacenter_fields + 1;

static int keep(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    json_t **kept = value;

    json_decref(*kept);
    *kept = yaml_to_json(node);
    return *kept != NULL ? 0 : error_set(walk->error, -ENOMEM, "out of memory");
}

static int take_maps(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    size_t index = 0;

    if (node->type != YAML_LIST)
        return field_fail(walk, node, "a list of maps", false);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        size_t length = field_enter(walk, index++);
        if (item->type != YAML_MAP)
            return field_fail(walk, item, "a map", false);
        field_leave(walk, length);
    }
    return keep(value, node, walk);
}

static int check_datacenters(const struct yaml_node *node, const struct field *fields,
                             struct field_walk *walk)
{
    size_t index = 0;

    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        struct datacenter unused;
        struct in6_addr address;
        size_t length = field_enter(walk, index++);
        if (node->type == YAML_MAP && type_address.parse(item->key->text, &address) != 0) {
            field_leave(walk, length);
            return field_fail(walk, item->key, type_address.expected, false);
        }
        int error = field_take_map(walk, fields, item, &unused);
        field_leave(walk, length);
        if (error != 0)
            return error;
    }
    return 0;
}

static int take_datacenter_map(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    (void)value;
    if (node->type != YAML_MAP)
        return field_fail(walk, node, "a map", false);
    return check_datacenters(node, value_fields, walk);
}

static json_t *show(const void *value, bool with_private)
{
    json_t *const *kept = value;

    (void)with_private;
    return *kept != NULL ? json_incref(*kept) : json_null();
}

static json_t *maps_schema(void)
{
    return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "object");
}

static void forget(void *value)
{
    json_t **kept = value;

    json_decref(*kept);
    *kept = NULL;
}

static json_t *datacenter_schema(const struct field *fields)
{
    json_t *json =
        json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);

    if (json != NULL)
        (void)field_schema(fields, json);
    return json;
}

static json_t *datacenter_map_schema(void)
{
    return json_pack("{s:s, s:{s:[{s:s}, {s:s}]}, s:o}", "type", "object", "propertyNames", "anyOf",
                     "format", "ipv4", "format", "ipv6", "additionalProperties",
                     datacenter_schema(value_fields));
}

static const struct field_tree datacenter_map = {.take = take_datacenter_map,
                                                 .schema = datacenter_map_schema};
static const struct field datacenters_fields[] = {
    {.key = "map", .kind = FIELD_TREE, .tree = &datacenter_map, .flags = FIELD_REQUIRED},
    {0},
};

static int take_datacenters(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    int error = 0;

    if (node->type == YAML_LIST)
        error = check_datacenters(node, datacenter_fields, walk);
    else if (node->type == YAML_MAP)
        error = field_take_map(walk, datacenters_fields, node, value);
    else
        return field_fail(walk, node, "a list or a map", false);
    return error == 0 ? keep(value, node, walk) : error;
}

static json_t *datacenters_schema(void)
{
    return json_pack("{s:[{s:s, s:o}, o]}", "anyOf", "type", "array", "items",
                     datacenter_schema(datacenter_fields), datacenter_schema(datacenters_fields));
}

static const struct field_tree maps = {
    .take = take_maps, .show = show, .schema = maps_schema, .fini = forget};
static const struct field_tree datacenters = {
    .take = take_datacenters, .show = show, .schema = datacenters_schema, .fini = forget};

#define KEPT(name, tree_)                                                                          \
    {                                                                                              \
        .key = #name, .help = "kept and shown, not used", .kind = FIELD_TREE, .tree = (tree_),     \
        FIELD_AT(struct catalog_settings, name)                                                    \
    }

static const struct field fields[] = {
    KEPT(filters, &maps),
    KEPT(clusters, &maps),
    KEPT(datacenters, &datacenters),
    {0},
};

const struct config_section catalog_section = {
    .name = "catalog", .fields = fields, .bytes = sizeof(struct catalog_settings)};

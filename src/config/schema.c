#include <string.h>

#include "config/config.h"
#include "config/keys.h"

#define DURATION_PATTERN "^[0-9]+(\\.[0-9]+)?([nNuUmM]?[sS]|[mMhHdD])?$"

static json_t *setting_schema(const struct setting *setting)
{
    switch (setting->kind) {
    case SETTING_BOOLEAN:
        return json_pack("{s:s}", "type", "boolean");
    case SETTING_NUMBER:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)setting->min,
                         "maximum", (json_int_t)setting->max);
    case SETTING_DURATION:
        return json_pack("{s:[s, s], s:i, s:s}", "type", "number", "string", "minimum", 0,
                         "pattern", DURATION_PATTERN);
    case SETTING_ADDRESS:
        return json_pack("{s:s, s:[{s:s}, {s:s}]}", "type", "string", "anyOf", "format", "ipv4",
                         "format", "ipv6");
    case SETTING_TEXT:
        break;
    }
    json_t *json = json_pack("{s:s, s:s}", "type", "string", "pattern", setting->pattern);
    if (setting->max > 0)
        json_object_set_new(json, "maxLength", json_integer((json_int_t)setting->max));
    return json;
}

static json_t *key_schema(const struct key *key);

static json_t *map_schema(const struct key *map)
{
    json_t *properties = json_object();
    json_t *required = json_array();

    for (size_t i = 0; i < map->count; i++) {
        const struct key *member = &map->members[i];
        json_t *schema = key_schema(member);
        if (member->help != NULL)
            json_object_set_new(schema, "description", json_string(member->help));
        if (json_object_set_new(properties, member->name, schema) != 0) {
            json_decref(properties);
            properties = NULL;
        }
        if (member->required)
            json_array_append_new(required, json_string(member->name));
    }
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required",
                     required, "additionalProperties", 0);
}

static json_t *list_schema(const struct key *list)
{
    json_t *json =
        json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items", key_schema(list->members),
                  "minItems", (json_int_t)list->min, "maxItems", (json_int_t)list->max);

    if (list->start != NULL)
        json_object_set_new(json, "uniqueItems", json_true());
    return json;
}

/* Recursion as deep as the table of keys. */
static json_t *key_schema(const struct key *key)
{
    switch (key->kind) {
    case KEY_VALUE:
        return setting_schema(key->setting);
    case KEY_MAP:
        return map_schema(key);
    case KEY_TABLE:
        return json_pack("{s:s, s:o, s:o}", "type", "object", "propertyNames",
                         setting_schema(key->setting), "additionalProperties",
                         key_schema(key->members));
    case KEY_LIST:
        return list_schema(key);
    case KEY_EITHER:
        return json_pack("{s:[o, o]}", "anyOf", key_schema(&key->members[0]),
                         key_schema(&key->members[1]));
    case KEY_ANYTHING:
        break;
    }
    return json_pack("{s:s}", "type", "object");
}

json_t *config_schema(void)
{
    json_t *json = key_schema(&keys_root);

    if (json_object_set_new(json, "$schema",
                            json_string("https://json-schema.org/draft/2020-12/schema")) != 0 ||
        json_object_set_new(json, "title", json_string("Configuration file of paddock")) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}

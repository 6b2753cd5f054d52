/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/rows.h"

#define DURATION_PATTERN "^[0-9]+(\\.[0-9]+)?([nNuUmM]?[sS]|[mMhHdD])?$"

/* Text without controls and quotes, as text_is_plain() has it. */
#define PLAIN_PATTERN                                                                              \
    "^[^\\u0000-\\u001f\"\\\\\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]+" \
    "$"

#define COMPONENT_BYTES 64

json_t *rows_descend(json_t *object, const char **key, const char *in)
{
    char component[COMPONENT_BYTES];

    for (const char *dot; object != NULL && (dot = strchr(*key, '.')) != NULL; *key = dot + 1) {
        snprintf(component, sizeof component, "%.*s", (int)(dot - *key), *key);
        json_t *level = in != NULL ? json_object_get(object, in) : object;
        json_t *next = json_object_get(level, component);
        if (next == NULL) {
            next = in != NULL ? json_pack("{s:s, s:{}, s:b}", "type", "object", in,
                                          "additionalProperties", 0)
                              : json_object();
            if (json_object_set_new(level, component, next) != 0)
                next = NULL;
        }
        object = next;
    }
    return object;
}

static json_t *words_schema(const char *const *words)
{
    json_t *list = json_array();

    for (const char *const *word = words; *word != NULL; word++) {
        json_array_append_new(list, json_string(*word));
        if (strcmp(*word, "on") == 0 || strcmp(*word, "off") == 0)
            json_array_append_new(list, json_boolean(strcmp(*word, "on") == 0));
    }
    return json_pack("{s:o}", "enum", list);
}

static json_t *map_schema(const struct field *fields)
{
    json_t *json =
        json_pack("{s:s, s:{}, s:b}", "type", "object", "properties", "additionalProperties", 0);

    if (json != NULL && field_schema(fields, json) == 0)
        return json;
    json_decref(json);
    return NULL;
}

/* Recursion as deep as the tables. */
static json_t *row_schema(const struct field *field)
{
    json_t *json = NULL;

    switch (field->kind) {
    case FIELD_BOOLEAN:
    case FIELD_MARK:
        return json_pack("{s:s}", "type", "boolean");
    case FIELD_NUMBER:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)field->min,
                         "maximum", (json_int_t)field->max);
    case FIELD_DURATION:
        return json_pack("{s:[s, s], s:i, s:s}", "type", "number", "string", "minimum", 0,
                         "pattern", DURATION_PATTERN);
    case FIELD_WORD:
        return words_schema(field->words);
    case FIELD_TEXT:
        return json_pack("{s:s, s:s, s:I}", "type", "string", "pattern", PLAIN_PATTERN, "maxLength",
                         (json_int_t)(field->bytes - 1));
    case FIELD_CUSTOM:
        return field->type->schema != NULL ? json_loads(field->type->schema, 0, NULL)
                                           : json_pack("{s:s}", "type", "string");
    case FIELD_ARRAY:
    case FIELD_LIST:
        json = rows_is_scalar(field) ? row_schema(field->members) : map_schema(field->members);
        return json_pack("{s:s, s:o, s:I, s:I, s:b}", "type", "array", "items", json, "minItems",
                         (json_int_t)field->min, "maxItems", (json_int_t)field->max, "uniqueItems",
                         (field->flags & FIELD_UNIQUE) != 0);
    case FIELD_MAP:
        return map_schema(field->members);
    case FIELD_TREE:
        return field->tree->schema();
    }
    return NULL;
}

int field_schema(const struct field *fields, json_t *schema)
{
    for (const struct field *field = fields; rows_is_row(field); field++) {
        const char *name = field->key;
        const char *fixed = (field->flags & FIELD_FIXED) != 0 ? " (not at run time)" : "";

        if (name == NULL)
            continue;
        json_t *map = rows_descend(schema, &name, "properties");
        json_t *json = row_schema(field);
        if (field->help != NULL)
            json_object_set_new(json, "description", json_sprintf("%s%s", field->help, fixed));
        if (json_object_set_new(json_object_get(map, "properties"), name, json) != 0)
            return -ENOMEM;
        if ((field->flags & FIELD_REQUIRED) == 0)
            continue;
        json_t *required = json_object_get(map, "required");
        if (required == NULL) {
            required = json_array();
            json_object_set_new(map, "required", required);
        }
        if (json_array_append_new(required, json_string(name)) != 0)
            return -ENOMEM;
    }
    return 0;
}

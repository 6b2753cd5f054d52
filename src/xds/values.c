/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "xds/resources.h"

/* A double has all integers up to here. */
#define EXACT 9007199254740992.0

static json_t *fail(struct error *error, const char *text)
{
    error_set(error, -EINVAL, "metadata: %s", text);
    return NULL;
}

static json_t *read_list(const ProtobufCBinaryData *message, struct arena *arena, unsigned depth,
                         struct error *error);
static json_t *read_map(const ProtobufCBinaryData *message, struct arena *arena, unsigned depth,
                        struct error *error);

static json_t *read_number(double number, struct error *error)
{
    if (!isfinite(number))
        return fail(error, "a number that is none");
    if (number == floor(number) && fabs(number) <= EXACT)
        return json_integer((json_int_t)number);
    return json_real(number);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as RESOURCE_MAX_DEPTH */
static json_t *read_value(const ProtobufCBinaryData *message, struct arena *arena, unsigned depth,
                          struct error *error)
{
    const Xds__Value *value =
        depth < RESOURCE_MAX_DEPTH
            ? xds__value__unpack(&arena->allocator, message->len, message->data)
            : NULL;
    json_t *text;

    if (value == NULL)
        return fail(error, depth < RESOURCE_MAX_DEPTH ? "broken" : "it nests too deeply");
    switch (value->kind_case) {
    case XDS__VALUE__KIND_NUMBER_VALUE:
        return read_number(value->number_value, error);
    case XDS__VALUE__KIND_STRING_VALUE:
        text = json_string(value->string_value);
        return text != NULL ? text : fail(error, "a text that is no UTF-8");
    case XDS__VALUE__KIND_BOOL_VALUE:
        return json_boolean(value->bool_value);
    case XDS__VALUE__KIND_STRUCT_VALUE:
        return read_map(&value->struct_value, arena, depth + 1, error);
    case XDS__VALUE__KIND_LIST_VALUE:
        return read_list(&value->list_value, arena, depth + 1, error);
    case XDS__VALUE__KIND_NULL_VALUE:
    case XDS__VALUE__KIND__NOT_SET:
    case _XDS__VALUE__KIND__CASE_IS_INT_SIZE:
        break;
    }
    return json_null();
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as RESOURCE_MAX_DEPTH */
static json_t *read_list(const ProtobufCBinaryData *message, struct arena *arena, unsigned depth,
                         struct error *error)
{
    const Xds__List *list = xds__list__unpack(&arena->allocator, message->len, message->data);
    json_t *json = json_array();

    if (list == NULL || json == NULL) {
        json_decref(json);
        return fail(error, "broken");
    }
    for (size_t i = 0; i < list->n_values; i++) {
        json_t *value = read_value(&list->values[i], arena, depth, error);

        if (value == NULL || json_array_append_new(json, value) != 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as RESOURCE_MAX_DEPTH */
static json_t *read_map(const ProtobufCBinaryData *message, struct arena *arena, unsigned depth,
                        struct error *error)
{
    const Xds__Struct *map = xds__struct__unpack(&arena->allocator, message->len, message->data);
    json_t *json = json_object();

    if (map == NULL || json == NULL) {
        json_decref(json);
        return fail(error, "broken");
    }
    for (size_t i = 0; i < map->n_fields; i++) {
        json_t *value = read_value(&map->fields[i]->value, arena, depth, error);

        if (value == NULL || json_object_set_new(json, map->fields[i]->key, value) != 0) {
            json_decref(json);
            return value == NULL ? NULL : fail(error, "a key that is no UTF-8");
        }
    }
    return json;
}

json_t *resource_read_struct(const ProtobufCBinaryData *message, struct arena *arena,
                             struct error *error)
{
    return read_map(message, arena, 0, error);
}

static int pack(const ProtobufCMessage *message, struct arena *arena, ProtobufCBinaryData *bytes)
{
    bytes->len = protobuf_c_message_get_packed_size(message);
    bytes->data = arena_take(arena, bytes->len > 0 ? bytes->len : 1);
    if (bytes->data == NULL)
        return -ENOMEM;
    protobuf_c_message_pack(message, bytes->data);
    return 0;
}

static int write_list(json_t *list, struct arena *arena, unsigned depth,
                      ProtobufCBinaryData *bytes);
static int write_map(json_t *map, struct arena *arena, unsigned depth, ProtobufCBinaryData *bytes);

/* NOLINTNEXTLINE(misc-no-recursion): as deep as RESOURCE_MAX_DEPTH */
static int write_value(json_t *json, struct arena *arena, unsigned depth,
                       ProtobufCBinaryData *bytes)
{
    Xds__Value value;
    int error = depth < RESOURCE_MAX_DEPTH ? 0 : -ENOMEM;

    xds__value__init(&value);
    if (json_is_object(json) && error == 0) {
        value.kind_case = XDS__VALUE__KIND_STRUCT_VALUE;
        error = write_map(json, arena, depth + 1, &value.struct_value);
    } else if (json_is_array(json) && error == 0) {
        value.kind_case = XDS__VALUE__KIND_LIST_VALUE;
        error = write_list(json, arena, depth + 1, &value.list_value);
    } else if (json_is_string(json)) {
        value.kind_case = XDS__VALUE__KIND_STRING_VALUE;
        value.string_value = (char *)(uintptr_t)json_string_value(json); /* only read */
    } else if (json_is_number(json)) {
        value.kind_case = XDS__VALUE__KIND_NUMBER_VALUE;
        value.number_value = json_number_value(json);
    } else if (json_is_boolean(json)) {
        value.kind_case = XDS__VALUE__KIND_BOOL_VALUE;
        value.bool_value = json_is_true(json);
    } else {
        value.kind_case = XDS__VALUE__KIND_NULL_VALUE;
    }
    return error == 0 ? pack(&value.base, arena, bytes) : error;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as RESOURCE_MAX_DEPTH */
static int write_list(json_t *list, struct arena *arena, unsigned depth, ProtobufCBinaryData *bytes)
{
    Xds__List message;
    int error = 0;

    xds__list__init(&message);
    message.n_values = json_array_size(list);
    message.values = arena_take(arena, (message.n_values + 1) * sizeof *message.values);
    if (message.values == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < message.n_values && error == 0; i++)
        error = write_value(json_array_get(list, i), arena, depth, &message.values[i]);
    return error == 0 ? pack(&message.base, arena, bytes) : error;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as RESOURCE_MAX_DEPTH */
static int write_map(json_t *map, struct arena *arena, unsigned depth, ProtobufCBinaryData *bytes)
{
    Xds__Struct message;
    size_t count = json_object_size(map);
    Xds__StructEntry *entries = arena_take(arena, (count + 1) * sizeof *entries);
    const char *key;
    json_t *value;

    xds__struct__init(&message);
    message.fields = arena_take(arena, (count + 1) * sizeof *message.fields);
    if (entries == NULL || message.fields == NULL)
        return -ENOMEM;
    json_object_foreach(map, key, value)
    {
        Xds__StructEntry *entry = &entries[message.n_fields];

        xds__struct_entry__init(entry);
        entry->key = (char *)(uintptr_t)key; /* only read */
        if (write_value(value, arena, depth, &entry->value) != 0)
            return -ENOMEM;
        message.fields[message.n_fields++] = entry;
    }
    return pack(&message.base, arena, bytes);
}

int resource_write_struct(json_t *object, struct arena *arena, ProtobufCBinaryData *message)
{
    return write_map(object, arena, 0, message);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "config/field.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/text.h"
#include "config/rows.h"

/* Exactly, as duration_parse() reads it back; duration_format() is for people, and rounds. */
static void print_duration(int64_t ns, char text[DURATION_TEXT_BYTES], const char *names)
{
    static const struct {
        char letter;
        const char *name;
        int64_t ns;
    } units[] = {{'d', "d", INT64_C(86400000000000)},
                 {'s', "s", 1000000000},
                 {'m', "ms", 1000000},
                 {'u', "us", 1000},
                 {'n', "ns", 1}};
    size_t i = 0;

    while (strchr(names, units[i].letter) == NULL || ns % units[i].ns != 0)
        i++;
    snprintf(text, DURATION_TEXT_BYTES, "%" PRId64 "%s", ns / units[i].ns, units[i].name);
}

static void store(void *to, size_t bytes, uint64_t number)
{
    const uint8_t narrow = (uint8_t)number;
    const uint16_t half = (uint16_t)number;
    const uint32_t word = (uint32_t)number;

    memcpy(to,
           bytes == 1   ? (const void *)&narrow
           : bytes == 2 ? (const void *)&half
           : bytes == 4 ? (const void *)&word
                        : (const void *)&number,
           bytes);
}

static uint64_t read_number(const void *from, size_t bytes)
{
    uint8_t narrow = 0;
    uint16_t half = 0;
    uint32_t word = 0;
    uint64_t number = 0;

    memcpy(bytes == 1   ? (void *)&narrow
           : bytes == 2 ? (void *)&half
           : bytes == 4 ? (void *)&word
                        : (void *)&number,
           from, bytes);
    return number + word + half + narrow;
}

int field_parse_text(const struct field *field, const char *text, void *settings)
{
    char *value = (char *)settings + field->offset;
    uint64_t number = 0;
    int64_t ns;
    bool truth;

    switch (field->kind) {
    case FIELD_BOOLEAN:
    case FIELD_MARK:
        if (boolean_parse(text, &truth) != 0 ||
            (field->words != NULL && strcmp(text, field->words[0]) != 0))
            return -1;
        store(value, field->bytes, truth);
        break;
    case FIELD_NUMBER:
        if (number_parse(text, (uint64_t)field->min, (uint64_t)field->max, &number) != 0)
            return -1;
        store(value, field->bytes, number);
        break;
    case FIELD_DURATION:
        if (duration_parse(text, &ns) != 0 || ns < field->min || ns > field->max)
            return -1;
        store(value, field->bytes, (uint64_t)ns);
        break;
    case FIELD_WORD:
        while (field->words[number] != NULL && strcmp(field->words[number], text) != 0)
            number++;
        if (field->words[number] == NULL)
            return -1;
        store(value, field->bytes, number);
        break;
    case FIELD_TEXT:
        if (*text == '\0' || strlen(text) >= field->bytes || !text_is_plain(text))
            return -1;
        memcpy(value, text, strlen(text) + 1);
        break;
    case FIELD_CUSTOM:
        if (field->type->parse(text, value) != 0)
            return -1;
        break;
    case FIELD_ARRAY:
    case FIELD_LIST:
    case FIELD_MAP:
        return -1;
    case FIELD_TREE:
        if (field->tree->parse == NULL || field->tree->parse(value, text) != 0)
            return -1;
        break;
    }
    if (field->given > 0)
        *((bool *)settings + field->given - 1) = true;
    return 0;
}

void field_defaults(const struct field *fields, void *settings)
{
    for (const struct field *field = fields; rows_is_row(field); field++) {
        if (field->default_text == NULL || field->bytes == 0)
            continue;
        struct field quiet = *field;
        quiet.given = 0;
        (void)field_parse_text(&quiet, field->default_text, settings);
    }
}

const char *field_expected(const struct field *field, char *text)
{
    char least[DURATION_TEXT_BYTES], most[DURATION_TEXT_BYTES];
    size_t length = 0;

    if (field->expected != NULL)
        return field->expected;
    switch (field->kind) {
    case FIELD_BOOLEAN:
    case FIELD_MARK:
        return "true or false";
    case FIELD_NUMBER:
        snprintf(text, FIELD_EXPECTED_BYTES, "a number from %" PRId64 " to %" PRId64, field->min,
                 field->max);
        return text;
    case FIELD_DURATION:
        print_duration(field->max, most, "dsmun");
        print_duration(field->min, least, "dsmun");
        if (field->min > 1)
            snprintf(text, FIELD_EXPECTED_BYTES, "a duration from %s to %s", least, most);
        else
            snprintf(text, FIELD_EXPECTED_BYTES, "a duration %s most %s",
                     field->min > 0 ? "above 0, at" : "of at", most);
        return text;
    case FIELD_WORD:
        for (const char *const *word = field->words; *word != NULL && length < FIELD_EXPECTED_BYTES;
             word++)
            length += (size_t)snprintf(text + length, FIELD_EXPECTED_BYTES - length, "%s%s",
                                       word == field->words ? ""
                                       : word[1] == NULL    ? " or "
                                                            : ", ",
                                       *word);
        return text;
    case FIELD_TEXT:
        snprintf(text, FIELD_EXPECTED_BYTES, "1 to %zu bytes of text without controls and quotes",
                 field->bytes - 1);
        return text;
    case FIELD_CUSTOM:
        return field->type->expected;
    case FIELD_ARRAY:
    case FIELD_LIST:
        snprintf(text, FIELD_EXPECTED_BYTES, "a list of %" PRId64 " to %" PRId64 " items",
                 field->min, field->max);
        return text;
    case FIELD_MAP:
    case FIELD_TREE:
        break;
    }
    return "a map";
}

struct rows_items rows_items(const struct field *field, const void *settings)
{
    const char *value = (const char *)settings + field->offset;
    struct rows_items items = {.items = value};
    struct field_items list;

    if (field->kind == FIELD_ARRAY) {
        memcpy(&items.count, (const char *)settings + field->count_offset, sizeof items.count);
        return items;
    }
    memcpy(&list, value, sizeof list);
    return (struct rows_items){.items = list.items, .count = list.count};
}

static json_t *show_list(const struct field *field, const void *settings, bool with_private)
{
    struct rows_items items = rows_items(field, settings);
    json_t *list = json_array();

    for (size_t i = 0; i < items.count && list != NULL; i++) {
        const char *item = items.items + i * field->item_bytes;
        bool is_scalar = rows_is_scalar(field);
        json_t *value = is_scalar ? rows_show(field->members, item, with_private) : json_object();
        int error = json_array_append_new(list, value);
        if (error == 0 && !is_scalar)
            error = field_show(field->members, item, value, true, with_private);
        if (error != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* A new reference, null where nothing is set, or NULL without memory. */
json_t *rows_show(const struct field *field, const void *settings, bool with_private)
{
    const char *value = (const char *)settings + field->offset;
    uint64_t number =
        field->kind <= FIELD_WORD && field->bytes > 0 ? read_number(value, field->bytes) : 0;
    char text[DURATION_TEXT_BYTES];
    json_t *json;

    switch (field->kind) {
    case FIELD_BOOLEAN:
    case FIELD_MARK:
        return field->bytes > 0 ? json_boolean(number != 0) : json_null();
    case FIELD_NUMBER:
        if (field->bytes == 0 || number < (uint64_t)field->min || number > (uint64_t)field->max)
            return json_null();
        return json_integer((json_int_t)number);
    case FIELD_DURATION:
        print_duration((int64_t)number, text, "smun");
        return json_string(text);
    case FIELD_WORD:
        return json_string(field->words[number]);
    case FIELD_TEXT:
        return *value != '\0' ? json_string(value) : json_null();
    case FIELD_CUSTOM:
        return field->type->show != NULL ? field->type->show(value) : json_null();
    case FIELD_ARRAY:
    case FIELD_LIST:
        return show_list(field, settings, with_private);
    case FIELD_MAP:
        if (field->given > 0 && !*((const bool *)settings + field->given - 1))
            return json_null();
        json = json_object();
        if (field_show(field->members, value, json, true, with_private) == 0)
            return json;
        json_decref(json);
        return NULL;
    case FIELD_TREE:
        return field->tree->show(value, with_private);
    }
    return NULL;
}

int field_show(const struct field *fields, const void *settings, json_t *object, bool keys,
               bool with_private)
{
    for (const struct field *field = fields; rows_is_row(field); field++) {
        const char *name = keys ? field->key : field->flag;
        json_t *place = object;

        if (name == NULL || (!keys && field->key != NULL) || field->kind == FIELD_MARK ||
            (field->flags & FIELD_UNSUPPORTED) != 0 || field->alias != NULL ||
            ((field->flags & FIELD_PRIVATE) != 0 && !with_private))
            continue;
        json_t *value = rows_show(field, settings, with_private);
        if (json_is_null(value))
            continue;
        if (keys)
            place = rows_descend(object, &name, NULL);
        if (json_object_set_new(place, name, value) != 0)
            return -ENOMEM;
    }
    return 0;
}

bool field_differs(const struct field *field, const void *a, const void *b)
{
    json_t *shown_a = rows_show(field, a, true), *shown_b = rows_show(field, b, true);
    bool differs = !json_equal(shown_a, shown_b);

    json_decref(shown_a);
    json_decref(shown_b);
    return differs;
}

void field_fini(const struct field *fields, void *settings)
{
    for (const struct field *field = fields; rows_is_row(field); field++) {
        char *value = (char *)settings + field->offset;
        struct field_items list = {.items = value};

        switch (field->kind) {
        case FIELD_LIST:
            memcpy(&list, value, sizeof list);
            for (size_t i = 0; i < list.count; i++)
                field_fini(field->members, (char *)list.items + i * field->item_bytes);
            free(list.items);
            memset(value, 0, sizeof list);
            break;
        case FIELD_ARRAY:
            list.count = rows_items(field, settings).count;
            for (size_t i = 0; i < list.count; i++)
                field_fini(field->members, value + i * field->item_bytes);
            break;
        case FIELD_MAP:
            field_fini(field->members, value);
            break;
        case FIELD_TREE:
            field->tree->fini(value);
            break;
        case FIELD_BOOLEAN:
        case FIELD_MARK:
        case FIELD_NUMBER:
        case FIELD_DURATION:
        case FIELD_WORD:
        case FIELD_TEXT:
        case FIELD_CUSTOM:
            break;
        }
    }
}

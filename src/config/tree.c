/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/rows.h"

#define SHOWN_BYTES 96
#define KNOWN_BYTES 512

/* Where a key of a file leads. */
struct match {
    const struct field *field; /* one of those below, where the map is implied */
    void *settings;
    bool is_implied;
};

/* A map under way. */
struct map {
    const struct field_table *tables;
    size_t count;
    struct field_walk *walk;
};

__attribute__((format(printf, 3, 4))) static int
fail(struct field_walk *walk, const struct yaml_node *node, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES - FIELD_PATH_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return error_set(walk->error, -EINVAL, "%u:%u: %s%s%s", node->line, node->column, walk->path,
                     walk->path[0] != '\0' ? ": " : "", text);
}

int field_fail(struct field_walk *walk, const struct yaml_node *node, const char *expected,
               bool expects_text)
{
    char shown[SHOWN_BYTES - 32];
    const char *before = "", *behind = "";

    text_escape(node->text, shown, sizeof shown);
    switch (node->type) {
    case YAML_LIST:
        return fail(walk, node, "expected %s, found a list", expected);
    case YAML_MAP:
        return fail(walk, node, "expected %s, found a map", expected);
    case YAML_NULL:
        return fail(walk, node, "expected %s, found nothing", expected);
    case YAML_TEXT:
        before = node->is_quoted && !expects_text ? "the text " : "";
        break;
    case YAML_BOOLEAN:
    case YAML_INTEGER:
    case YAML_FLOAT:
        behind = expects_text ? " without quotes" : "";
        break;
    }
    return fail(walk, node, "expected %s, found %s'%s'%s", expected, before, shown, behind);
}

size_t field_enter(struct field_walk *walk, size_t index)
{
    size_t length = strlen(walk->path);

    snprintf(walk->path + length, sizeof walk->path - length, "[%zu]", index);
    return length;
}

void field_leave(struct field_walk *walk, size_t length)
{
    walk->path[length] = '\0';
}

static bool is_text_kind(enum field_kind kind)
{
    return kind == FIELD_WORD || kind == FIELD_TEXT || kind == FIELD_CUSTOM;
}

/* YAML 1.1 takes `off` for false, and its tools write the one for the other. */
static const char *word_of(const struct field *field, const struct yaml_node *node)
{
    const char *word = strcmp(node->text, "true") == 0    ? "on"
                       : strcmp(node->text, "false") == 0 ? "off"
                                                          : "";
    const char *const *words = field->words;

    while (*words != NULL && strcmp(*words, word) != 0)
        words++;
    return *words;
}

/* The text that a scalar means for a row, or NULL. */
static const char *scalar_of(const struct field *field, const struct yaml_node *node)
{
    bool is_octal = node->type == YAML_INTEGER && node->text[0] == '0' && node->text[1] != '\0';
    bool fits = false;

    switch (field->kind) {
    case FIELD_BOOLEAN:
    case FIELD_MARK:
        fits = node->type == YAML_BOOLEAN;
        break;
    case FIELD_NUMBER:
        fits = node->type == YAML_INTEGER && !is_octal;
        break;
    case FIELD_DURATION:
        fits = (node->type == YAML_INTEGER && !is_octal) || node->type == YAML_FLOAT ||
               node->type == YAML_TEXT;
        break;
    case FIELD_WORD:
        if (node->type == YAML_BOOLEAN)
            return word_of(field, node);
        fits = node->type == YAML_TEXT;
        break;
    case FIELD_TEXT:
        fits = node->type == YAML_TEXT;
        break;
    case FIELD_CUSTOM:
        fits = node->type == YAML_TEXT ||
               (field->type->takes_numbers && node->type == YAML_INTEGER && !is_octal);
        break;
    case FIELD_ARRAY:
    case FIELD_LIST:
    case FIELD_MAP:
    case FIELD_TREE:
        break;
    }
    return fits ? node->text : NULL;
}

static int take_scalar(struct field_walk *walk, const struct field *field,
                       const struct yaml_node *node, void *settings)
{
    char expected[FIELD_EXPECTED_BYTES];
    const char *text = scalar_of(field, node);

    if (text != NULL && field_parse_text(field, text, settings) == 0)
        return 0;
    return field_fail(walk, node, field_expected(field, expected), is_text_kind(field->kind));
}

/* Whether the last item has the same bytes as one before it. */
static bool is_repeated(const struct field *field, const char *items, size_t count)
{
    const char *last = items + (count - 1) * field->item_bytes;
    size_t i = 0;

    while (i < count - 1 && memcmp(items + i * field->item_bytes, last, field->item_bytes) != 0)
        i++;
    return i < count - 1;
}

static int take_item(struct field_walk *walk, const struct field *list,
                     const struct yaml_node *node, char *items, size_t count)
{
    char *item = items + (count - 1) * list->item_bytes;
    char expected[FIELD_EXPECTED_BYTES];
    size_t length = field_enter(walk, count - 1);
    int error;

    if (rows_is_scalar(list))
        error = take_scalar(walk, list->members, node, item);
    else {
        field_defaults(list->members, item);
        error = field_take_map(walk, list->members, node, item);
    }
    if (error == 0 && (list->flags & FIELD_UNIQUE) != 0 && is_repeated(list, items, count))
        error = field_fail(walk, node, field_expected(list->members, expected), true);
    if (error == 0 && list->check_items != NULL && list->check_items(items, count) != 0)
        error = fail(walk, node, "expected %s", list->check_expected);
    field_leave(walk, length);
    return error;
}

static int take_list(struct field_walk *walk, const struct field *field,
                     const struct yaml_node *node, void *settings)
{
    char expected[FIELD_EXPECTED_BYTES];
    char *value = (char *)settings + field->offset;
    struct field_items list = {.items = field->kind == FIELD_ARRAY ? value : NULL};
    const struct field row[2] = {*field};
    size_t count = 0;
    int error = 0;

    if (node->type != YAML_LIST)
        return field_fail(walk, node, field_expected(field, expected), false);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next)
        count++;
    if (count < (size_t)field->min || count > (size_t)field->max)
        return fail(walk, node, "expected %s, found %zu", field_expected(field, expected), count);

    field_fini(row, settings);
    if (field->kind == FIELD_ARRAY)
        memset(value, 0, field->bytes);
    else if (count > 0 && (list.items = calloc(count, field->item_bytes)) == NULL)
        return error_set(walk->error, -ENOMEM, "out of memory");
    list.capacity = count;
    count = 0;
    for (const struct yaml_node *item = node->first; item != NULL && error == 0;
         item = item->next) {
        count++;
        error = take_item(walk, field, item, list.items, count);
    }
    if (field->kind == FIELD_ARRAY) {
        memcpy((char *)settings + field->count_offset, &count, sizeof count);
    } else {
        list.count = count;
        memcpy(value, &list, sizeof list);
    }
    return error;
}

static int take_row(struct field_walk *walk, const struct match *match,
                    const struct yaml_node *node)
{
    const struct field *field = match->field;
    void *value = (char *)match->settings + field->offset;
    int error = 0;

    switch (field->kind) {
    case FIELD_ARRAY:
    case FIELD_LIST:
        error = take_list(walk, field, node, match->settings);
        break;
    case FIELD_MAP:
        error = field_take_map(walk, field->members, node, value);
        if (error == 0 && field->check != NULL && field->check(value) != 0)
            error = fail(walk, node, "expected %s", field->check_expected);
        break;
    case FIELD_TREE:
        error = field->tree->take(value, node, walk);
        break;
    case FIELD_BOOLEAN:
    case FIELD_MARK:
    case FIELD_NUMBER:
    case FIELD_DURATION:
    case FIELD_WORD:
    case FIELD_TEXT:
    case FIELD_CUSTOM:
        return take_scalar(walk, field, node, match->settings);
    }
    if (error == 0 && field->given > 0)
        *((bool *)match->settings + field->given - 1) = true;
    return error;
}

/* What is left of a row's key below the map under way, or NULL. */
static const char *below(const struct field_walk *walk, const struct field *field)
{
    const char *map = strlen(walk->path) > walk->root ? walk->path + walk->root : "";
    size_t length = strlen(map);

    if (field->key == NULL || length == 0)
        return field->key;
    return strncmp(field->key, map, length) == 0 && field->key[length] == '.'
               ? field->key + length + 1
               : NULL;
}

static bool find(const struct map *map, const char *name, struct match *match)
{
    for (size_t i = 0; i < map->count; i++) {
        for (const struct field *field = map->tables[i].fields; rows_is_row(field); field++) {
            const char *rest = below(map->walk, field);
            size_t length = rest != NULL ? strcspn(rest, ".") : 0;
            if (rest == NULL || strncmp(rest, name, length) != 0 || name[length] != '\0')
                continue;
            *match = (struct match){field, map->tables[i].settings, rest[length] == '.'};
            return true;
        }
    }
    return false;
}

static bool is_listed(const char *list, const char *name, size_t length)
{
    for (const char *word = list; *word != '\0'; word += strspn(word, ", ")) {
        size_t word_length = strcspn(word, ",");
        if (word_length == length && strncmp(word, name, length) == 0)
            return true;
        word += word_length;
    }
    return false;
}

static int fail_unknown(const struct map *map, const struct yaml_node *key)
{
    char known[KNOWN_BYTES] = "", shown[SHOWN_BYTES];
    size_t used = 0;

    for (size_t i = 0; i < map->count; i++) {
        for (const struct field *field = map->tables[i].fields; rows_is_row(field); field++) {
            const char *rest = below(map->walk, field);
            size_t length = rest != NULL ? strcspn(rest, ".") : 0;
            if (rest == NULL || used >= sizeof known || is_listed(known, rest, length))
                continue;
            used += (size_t)snprintf(known + used, sizeof known - used, "%s%.*s",
                                     used > 0 ? ", " : "", (int)length, rest);
        }
    }
    text_escape(key->text, shown, sizeof shown);
    return fail(map->walk, key, "unknown key '%s', expected one of %s", shown, known);
}

/* Those below an implied map that is there have been checked with it. */
static int check_required(const struct map *map, const struct yaml_node *node)
{
    for (size_t i = 0; i < map->count; i++) {
        for (const struct field *field = map->tables[i].fields; rows_is_row(field); field++) {
            const char *rest = below(map->walk, field);
            char name[YAML_MAX_KEY_BYTES + 1];
            if (rest == NULL || (field->flags & FIELD_REQUIRED) == 0)
                continue;
            snprintf(name, sizeof name, "%.*s", (int)strcspn(rest, "."), rest);
            if (yaml_find(node, name) == NULL)
                return fail(map->walk, node, "expected the key '%s', found a map without it", rest);
        }
    }
    return 0;
}

/* Recursion as deep as the tables. */
static int take_map(const struct map *map, const struct yaml_node *node)
{
    struct field_walk *walk = map->walk;

    if (node->type != YAML_MAP)
        return field_fail(walk, node, "a map", false);
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        size_t length = strlen(walk->path);
        struct match match;
        if (!find(map, item->key->text, &match))
            return fail_unknown(map, item->key);
        snprintf(walk->path + length, sizeof walk->path - length, "%s%s", length > 0 ? "." : "",
                 item->key->text);
        int error = match.is_implied ? take_map(map, item) : take_row(walk, &match, item);
        field_leave(walk, length);
        if (error != 0)
            return error;
    }
    return check_required(map, node);
}

int field_take_map(struct field_walk *walk, const struct field *fields,
                   const struct yaml_node *node, void *settings)
{
    const struct field_table table = {fields, settings};
    const struct map map = {.tables = &table, .count = 1, .walk = walk};
    size_t before = walk->root;

    walk->root = strlen(walk->path) + (walk->path[0] != '\0');
    int error = take_map(&map, node);
    walk->root = before;
    return error;
}

int field_parse_trees(const struct field_table *tables, size_t count, const struct yaml_node *node,
                      struct error *error)
{
    struct field_walk walk = {.error = error};
    const struct map map = {.tables = tables, .count = count, .walk = &walk};

    return take_map(&map, node);
}

int field_parse_tree(const struct field *fields, const struct yaml_node *node, void *settings,
                     struct error *error)
{
    const struct field_table table = {fields, settings};

    return field_parse_trees(&table, 1, node, error);
}

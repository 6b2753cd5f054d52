/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml_reader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define SHOWN_BYTES 80

int reader_fail(struct reader *reader, const char *text)
{
    return error_set(reader->error, -EINVAL, "%u:%u: %s", reader->line, reader->column, text);
}

/* Whether all of a text is decimal digits, with a sign, a fraction or an exponent. */
static enum yaml_type decimal_type(const char *text)
{
    const char *digits = text + (*text == '-' || *text == '+');
    size_t whole = strspn(digits, "0123456789");
    const char *rest = digits + whole;
    size_t fraction = 0;

    if (whole > 0 && *rest == '\0')
        return YAML_INTEGER;
    if (*rest == '.') {
        fraction = strspn(rest + 1, "0123456789");
        rest += 1 + fraction;
    }
    if (whole + fraction == 0)
        return YAML_TEXT;
    if (*rest == 'e' || *rest == 'E') {
        rest += 1 + (rest[1] == '-' || rest[1] == '+');
        if (*rest == '\0')
            return YAML_TEXT;
        rest += strspn(rest, "0123456789");
    }
    return *rest == '\0' && isfinite(strtod(text, NULL)) ? YAML_FLOAT : YAML_TEXT;
}

static enum yaml_type number_type(const char *text)
{
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o') && text[2] != '\0') {
        const char *digits = text[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567";
        return text[2 + strspn(text + 2, digits)] == '\0' ? YAML_INTEGER : YAML_TEXT;
    }
    return decimal_type(text);
}

enum yaml_type reader_plain_type(const char *text)
{
    static const struct {
        const char *word;
        enum yaml_type type;
    } words[] = {
        {"", YAML_NULL},         {"~", YAML_NULL},        {"null", YAML_NULL},
        {"Null", YAML_NULL},     {"NULL", YAML_NULL},     {"true", YAML_BOOLEAN},
        {"True", YAML_BOOLEAN},  {"TRUE", YAML_BOOLEAN},  {"false", YAML_BOOLEAN},
        {"False", YAML_BOOLEAN}, {"FALSE", YAML_BOOLEAN},
    };

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i].word) == 0)
            return words[i].type;
    }
    return number_type(text);
}

/* NULL with an error in the reader. */
struct yaml_node *reader_node_new(struct reader *reader, const char *text, size_t bytes)
{
    struct yaml_node *node = NULL;

    if (reader->nodes == YAML_MAX_NODES)
        reader_fail(reader, "more than 300000 values");
    else if ((node = calloc(1, sizeof *node + bytes + 1)) == NULL)
        reader_fail(reader, "out of memory");
    if (node == NULL)
        return NULL;
    reader->nodes++;
    if (bytes > 0)
        memcpy(node->text, text, bytes);
    node->line = reader->line;
    node->column = reader->column;
    node->older = reader->document.newest;
    reader->document.newest = node;
    return node;
}

static int take_key(struct reader *reader, struct frame *frame, struct yaml_node *node)
{
    if (node->type == YAML_LIST || node->type == YAML_MAP)
        return reader_fail(reader, "expected a key, found a list or map");
    if (node->text[0] == '\0' || strlen(node->text) > YAML_MAX_KEY_BYTES ||
        !text_is_plain(node->text))
        return reader_fail(reader, "expected a key of 1 to 255 bytes without controls and quotes");
    if (!node->is_quoted && strcmp(node->text, "<<") == 0)
        return reader_fail(reader, "merge keys (<<) are not supported");
    frame->key = node;
    return 0;
}

/* Puts a node where the next one belongs. */
int reader_place(struct reader *reader, struct yaml_node *node)
{
    if (reader->depth == 0) {
        reader->document.root = node;
        return 0;
    }
    struct frame *frame = &reader->frames[reader->depth - 1];
    bool is_map = frame->container->type == YAML_MAP;
    if (is_map && frame->key == NULL)
        return take_key(reader, frame, node);
    node->key = frame->key;
    frame->key = NULL;
    if (frame->last != NULL)
        frame->last->next = node;
    else
        frame->container->first = node;
    frame->last = node;
    frame->count++;
    return 0;
}

void reader_complete_anchor(struct reader *reader, size_t anchor, const struct yaml_node *node)
{
    if (anchor == 0)
        return;
    reader->anchors[anchor - 1].node = node;
    reader->anchors[anchor - 1].is_complete = true;
}

int reader_open(struct reader *reader, enum yaml_type type, size_t anchor)
{
    struct yaml_node *node = reader_node_new(reader, NULL, 0);

    if (node == NULL)
        return -EINVAL;
    node->type = type;
    if (reader->depth == YAML_MAX_DEPTH)
        return reader_fail(reader, "more than 32 levels of lists and maps");
    if (reader_place(reader, node) < 0)
        return -EINVAL;
    reader->frames[reader->depth++] = (struct frame){.container = node, .anchor = anchor};
    return 0;
}

struct key_entry {
    const struct yaml_node *key;
};

/* By name, then by place, so that of two alike the later stands behind. */
static int compare_keys(const void *a, const void *b)
{
    const struct yaml_node *left = ((const struct key_entry *)a)->key;
    const struct yaml_node *right = ((const struct key_entry *)b)->key;
    int order = strcmp(left->text, right->text);

    if (order != 0)
        return order;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return (left->column > right->column) - (left->column < right->column);
}

static int check_keys(struct reader *reader, const struct frame *frame)
{
    assert(frame->container != NULL);
    if (frame->container->type != YAML_MAP || frame->count < 2)
        return 0;
    struct key_entry *keys = calloc(frame->count, sizeof *keys);
    size_t count = 0;
    int result = 0;
    if (keys == NULL)
        return reader_fail(reader, "out of memory");
    for (const struct yaml_node *node = frame->container->first; node != NULL; node = node->next)
        keys[count++].key = node->key;
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 1; i < count && result == 0; i++) {
        char shown[SHOWN_BYTES];
        if (strcmp(keys[i - 1].key->text, keys[i].key->text) != 0)
            continue;
        text_escape(keys[i].key->text, shown, sizeof shown);
        result =
            error_set(reader->error, -EINVAL, "%u:%u: %s: duplicate key, the first is in line %u",
                      keys[i].key->line, keys[i].key->column, shown, keys[i - 1].key->line);
    }
    free(keys);
    return result;
}

int reader_close(struct reader *reader)
{
    if (reader->depth == 0)
        return reader_fail(reader, "not YAML: an end without a start");
    const struct frame *frame = &reader->frames[--reader->depth];
    reader_complete_anchor(reader, frame->anchor, frame->container);
    return check_keys(reader, frame);
}

void yaml_fini(struct yaml_document *document)
{
    while (document->newest != NULL) {
        struct yaml_node *older = document->newest->older;
        free(document->newest);
        document->newest = older;
    }
    document->root = NULL;
}

const struct yaml_node *yaml_find(const struct yaml_node *map, const char *name)
{
    const struct yaml_node *node = map->first;

    while (node != NULL && strcmp(node->key->text, name) != 0)
        node = node->next;
    return node;
}

static json_t *integer_to_json(const char *text)
{
    bool is_based = text[0] == '0' && (text[1] == 'x' || text[1] == 'o');
    int base = text[0] == '0' && text[1] == 'o' ? 8 : 16;

    errno = 0;
    long long value = is_based ? strtoll(text + 2, NULL, base) : strtoll(text, NULL, 10);
    if (errno == 0)
        return json_integer(value);
    double wide = strtod(text, NULL);
    return isfinite(wide) && !is_based ? json_real(wide) : json_string(text);
}

static json_t *scalar_to_json(const struct yaml_node *node)
{
    switch (node->type) {
    case YAML_NULL:
        return json_null();
    case YAML_BOOLEAN:
        return json_boolean(node->text[0] == 't' || node->text[0] == 'T');
    case YAML_INTEGER:
        return integer_to_json(node->text);
    case YAML_FLOAT:
        return json_real(strtod(node->text, NULL));
    case YAML_TEXT:
    case YAML_LIST:
    case YAML_MAP:
        break;
    }
    return json_string(node->text);
}

/* Recursion as deep as YAML_MAX_DEPTH. */
json_t *yaml_to_json(const struct yaml_node *node)
{
    if (node->type != YAML_LIST && node->type != YAML_MAP)
        return scalar_to_json(node);
    bool is_map = node->type == YAML_MAP;
    json_t *json = is_map ? json_object() : json_array();
    for (const struct yaml_node *item = node->first; item != NULL && json != NULL;
         item = item->next) {
        json_t *value = yaml_to_json(item);
        int error = is_map ? json_object_set_new(json, item->key->text, value)
                           : json_array_append_new(json, value);
        if (error != 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

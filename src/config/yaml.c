/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libfyaml.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/yaml_scan.h"

#define SHOWN_BYTES 80
#define MAX_ANCHORS 256
#define TEXT_BYTES 512

/* A list or map that is not complete yet. */
struct frame {
    struct yaml_node *container;
    struct yaml_node *last;
    struct yaml_node *key; /* waits for its value */
    size_t count;
    size_t anchor; /* its number, plus 1; 0: it has none */
};

/* What aliases may stand for. */
struct anchor {
    char *name;
    const struct yaml_node *node;
    bool is_complete;
};

struct reader {
    struct yaml_document document;
    struct error *error;
    struct frame frames[YAML_MAX_DEPTH];
    unsigned depth;
    unsigned documents;
    size_t nodes;
    size_t copied_bytes; /* of text, for aliases */
    struct anchor anchors[MAX_ANCHORS];
    size_t anchors_count;
    struct yaml_scan scan;
    unsigned lines;        /* of the whole text */
    unsigned line, column; /* of the event under way; of the one before where it has no token */
};

static int fail(struct reader *reader, const char *text)
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

static enum yaml_type plain_type(const char *text)
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
static struct yaml_node *node_new(struct reader *reader, const char *text, size_t bytes)
{
    struct yaml_node *node = NULL;

    if (reader->nodes == YAML_MAX_NODES)
        fail(reader, "more than 300000 values");
    else if ((node = calloc(1, sizeof *node + bytes + 1)) == NULL)
        fail(reader, "out of memory");
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
        return fail(reader, "expected a key, found a list or map");
    if (node->text[0] == '\0' || strlen(node->text) > YAML_MAX_KEY_BYTES ||
        !text_is_plain(node->text))
        return fail(reader, "expected a key of 1 to 255 bytes without controls and quotes");
    if (!node->is_quoted && strcmp(node->text, "<<") == 0)
        return fail(reader, "merge keys (<<) are not supported");
    frame->key = node;
    return 0;
}

/* Puts a node where the next one belongs. */
static int place(struct reader *reader, struct yaml_node *node)
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

/* 0, the number of the anchor plus 1, or a negative value. */
static int add_anchor(struct reader *reader, struct fy_token *token)
{
    size_t bytes = 0;
    const char *text = token != NULL ? fy_token_get_text(token, &bytes) : NULL;

    if (token == NULL)
        return 0;
    if (reader->anchors_count == MAX_ANCHORS)
        return fail(reader, "more than 256 anchors");
    char *name = text != NULL ? strndup(text, bytes) : NULL;
    if (name == NULL)
        return fail(reader, "out of memory");
    reader->anchors[reader->anchors_count++] = (struct anchor){.name = name};
    return (int)reader->anchors_count;
}

static void complete_anchor(struct reader *reader, size_t anchor, const struct yaml_node *node)
{
    if (anchor == 0)
        return;
    reader->anchors[anchor - 1].node = node;
    reader->anchors[anchor - 1].is_complete = true;
}

/* A copy of a node and all below it. Recursion as deep as YAML_MAX_DEPTH. NULL with an error. */
static struct yaml_node *copy_node(struct reader *reader, const struct yaml_node *node,
                                   unsigned depth)
{
    struct yaml_node *last = NULL;
    size_t bytes = strlen(node->text);
    bool is_container = node->type == YAML_LIST || node->type == YAML_MAP;

    if (is_container && depth == YAML_MAX_DEPTH) {
        fail(reader, "more than 32 levels of lists and maps");
        return NULL;
    }
    reader->copied_bytes += bytes;
    if (reader->copied_bytes > YAML_MAX_BYTES) {
        fail(reader, "aliases for more than 16 MiB");
        return NULL;
    }
    struct yaml_node *copy = node_new(reader, node->text, bytes);
    if (copy == NULL)
        return NULL;
    copy->type = node->type;
    copy->is_quoted = node->is_quoted;
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        struct yaml_node *below = copy_node(reader, item, depth + 1);
        if (below == NULL)
            return NULL;
        below->key = item->key; /* nobody changes a key */
        if (last != NULL)
            last->next = below;
        else
            copy->first = below;
        last = below;
    }
    return copy;
}

static int take_alias(struct reader *reader, struct fy_token *token)
{
    size_t bytes = 0;
    const char *name = token != NULL ? fy_token_get_text(token, &bytes) : NULL;
    size_t i = reader->anchors_count;

    while (name != NULL && i > 0 &&
           (strlen(reader->anchors[i - 1].name) != bytes ||
            memcmp(reader->anchors[i - 1].name, name, bytes) != 0))
        i--;
    if (name == NULL || i == 0)
        return fail(reader, "an alias without an anchor before it");
    if (!reader->anchors[i - 1].is_complete)
        return fail(reader, "an alias inside what it stands for");
    struct yaml_node *copy = copy_node(reader, reader->anchors[i - 1].node, reader->depth);
    return copy != NULL ? place(reader, copy) : -EINVAL;
}

static int take_scalar(struct reader *reader, struct fy_token *token, size_t anchor)
{
    size_t bytes = 0;
    const char *text = token != NULL ? fy_token_get_text(token, &bytes) : "";

    if (text == NULL)
        return fail(reader, "out of memory");
    if (memchr(text, 0, bytes) != NULL)
        return fail(reader, "a text with a NUL in it");
    struct yaml_node *node = node_new(reader, text, bytes);
    if (node == NULL)
        return -EINVAL;
    for (const char *rest = node->text; *rest != '\0';) {
        uint32_t code_point;
        rest += text_decode(rest, &code_point);
        if (code_point == TEXT_INVALID)
            return fail(reader, "a text that is not valid UTF-8");
    }
    node->is_quoted = token != NULL && fy_token_scalar_style(token) != FYSS_PLAIN;
    node->type = node->is_quoted ? YAML_TEXT : plain_type(node->text);
    complete_anchor(reader, anchor, node);
    return place(reader, node);
}

static int open_container(struct reader *reader, enum yaml_type type, size_t anchor)
{
    struct yaml_node *node = node_new(reader, NULL, 0);

    if (node == NULL)
        return -EINVAL;
    node->type = type;
    if (reader->depth == YAML_MAX_DEPTH)
        return fail(reader, "more than 32 levels of lists and maps");
    if (place(reader, node) < 0)
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
        return fail(reader, "out of memory");
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

static int close_container(struct reader *reader)
{
    if (reader->depth == 0)
        return fail(reader, "not YAML: an end without a start");
    const struct frame *frame = &reader->frames[--reader->depth];
    complete_anchor(reader, frame->anchor, frame->container);
    return check_keys(reader, frame);
}

/* As add_anchor(), of a node that must not have a tag. */
static int take_properties(struct reader *reader, struct fy_token *anchor,
                           const struct fy_token *tag)
{
    return tag != NULL ? fail(reader, "tags are not supported") : add_anchor(reader, anchor);
}

static int take_event(struct reader *reader, struct fy_event *event)
{
    int anchor;

    switch (event->type) {
    case FYET_DOCUMENT_START:
        return ++reader->documents > 1 ? fail(reader, "expected one document, found another") : 0;
    case FYET_ALIAS:
        return take_alias(reader, event->alias.anchor);
    case FYET_SCALAR:
        anchor = take_properties(reader, event->scalar.anchor, event->scalar.tag);
        return anchor < 0 ? anchor : take_scalar(reader, event->scalar.value, (size_t)anchor);
    case FYET_SEQUENCE_START:
        anchor = take_properties(reader, event->sequence_start.anchor, event->sequence_start.tag);
        return anchor < 0 ? anchor : open_container(reader, YAML_LIST, (size_t)anchor);
    case FYET_MAPPING_START:
        anchor = take_properties(reader, event->mapping_start.anchor, event->mapping_start.tag);
        return anchor < 0 ? anchor : open_container(reader, YAML_MAP, (size_t)anchor);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        return close_container(reader);
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
        return 0;
    }
    return 0;
}

static bool has_quotes(struct fy_token *token)
{
    enum fy_scalar_style style = fy_token_scalar_style(token);

    return style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
}

static void note_place(struct reader *reader, struct fy_event *event)
{
    struct fy_token *token = fy_event_get_token(event);
    const struct fy_mark *mark = token != NULL ? fy_token_start_mark(token) : NULL;

    if (mark == NULL || mark->line < 0 || mark->column < 0)
        return;
    reader->line = (unsigned)mark->line + 1;
    reader->column = (unsigned)mark->column + 1;
    /* libfyaml means the first character inside the quotes, or behind the star. */
    bool is_inside = event->type == FYET_ALIAS || (event->type == FYET_SCALAR && has_quotes(token));
    if (is_inside && reader->column > 1)
        reader->column--;
}

/* What libfyaml says about a text that is no YAML; it counts from 1 here. */
static int fail_syntax(struct reader *reader, struct fy_diag *diag)
{
    void *iterator = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(diag, &iterator);
    char shown[TEXT_BYTES - SHOWN_BYTES], text[TEXT_BYTES];

    if (first == NULL || first->msg == NULL)
        return fail(reader, "not YAML");
    if (first->line > 0 && first->column > 0) {
        /* Behind the end of a last line without a newline it is one too far. */
        bool is_beyond = (unsigned)first->line > reader->lines;
        reader->line = is_beyond ? reader->lines : (unsigned)first->line;
        reader->column = is_beyond ? 1 : (unsigned)first->column;
    }
    text_escape(first->msg, shown, sizeof shown);
    snprintf(text, sizeof text, "not YAML: %s", shown);
    return fail(reader, text);
}

/* The line and the column of a byte. */
static void find_place(struct reader *reader, size_t at)
{
    const char *text = reader->scan.text;

    reader->line = 1;
    reader->column = 1;
    for (size_t i = 0; i < at; i++) {
        bool is_end = text[i] == '\n' || (text[i] == '\r' && (i + 1 == at || text[i + 1] != '\n'));
        reader->line += is_end;
        if (is_end)
            reader->column = 1;
        else
            reader->column += ((unsigned char)text[i] & 0xc0) != 0x80; /* not inside a character */
    }
}

/* Looks ahead from an event; NULL: from the start. */
static int scan(struct reader *reader, struct fy_event *event)
{
    struct fy_token *token = event != NULL ? fy_event_get_token(event) : NULL;
    const struct fy_mark *end = token != NULL ? fy_token_end_mark(token) : NULL;
    const char *why = "";
    int column =
        reader->depth > 0 ? (int)reader->frames[reader->depth - 1].container->column - 1 : -1;

    if (event != NULL && end == NULL)
        return 0;
    size_t from = end != NULL ? end->input_pos : 0;
    /* libfyaml means the last character inside the quotes. */
    if (event != NULL && event->type == FYET_SCALAR && has_quotes(token) &&
        from < reader->scan.bytes && strchr("\"'", reader->scan.text[from]) != NULL)
        from++;
    switch (yaml_scan_next(&reader->scan, from, column, YAML_MAX_DEPTH - reader->depth)) {
    case YAML_SCAN_FINE:
        return 0;
    case YAML_SCAN_DEPTH:
        why = "more than 32 levels of lists and maps";
        break;
    case YAML_SCAN_TOKENS:
        why = "more than 262144 parts in brackets that are no key's value";
        break;
    case YAML_SCAN_ESCAPES:
        why = "more than 262144 escapes in a text";
        break;
    case YAML_SCAN_BLANKS:
        why = "too many blanks in a row";
        break;
    case YAML_SCAN_PROPERTIES:
        why = "not YAML: more in a row than a value with an anchor and a tag";
        break;
    }
    find_place(reader, reader->scan.at);
    return fail(reader, why);
}

static int read_events(struct reader *reader, struct fy_parser *parser, struct fy_diag *diag)
{
    struct fy_event *event;
    int result = scan(reader, NULL);

    while (result == 0 && (event = fy_parser_parse(parser)) != NULL) {
        note_place(reader, event);
        result = take_event(reader, event);
        if (result == 0)
            result = scan(reader, event);
        fy_parser_event_free(parser, event);
    }
    if (result == 0 && (fy_parser_get_stream_error(parser) || fy_diag_got_error(diag)))
        return fail_syntax(reader, diag);
    return result;
}

static void print_nothing(struct fy_diag *diag, void *user, const char *buffer, size_t bytes)
{
    (void)diag;
    (void)user;
    (void)buffer;
    (void)bytes;
}

static int read_text(struct reader *reader, const char *text, size_t bytes)
{
    struct fy_diag_cfg diag_config = {
        .output_fn = print_nothing, .level = FYET_ERROR, .module_mask = (1U << FYEM_MAX) - 1};
    struct fy_diag *diag = fy_diag_create(&diag_config);
    struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_JSON_NONE, .diag = diag};
    struct fy_parser *parser = NULL;
    int result = -EINVAL;

    if (diag != NULL) {
        fy_diag_set_collect_errors(diag, true);
        parser = fy_parser_create(&config);
    }
    if (parser == NULL || fy_parser_set_string(parser, text, bytes) != 0)
        fail(reader, "out of memory");
    else
        result = read_events(reader, parser, diag);
    fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    return result;
}

/* libfyaml lets much of this pass. */
static int check_bytes(struct reader *reader, const char *text, size_t bytes)
{
    char character[5] = "";
    unsigned blank_lines = 0; /* libfyaml takes quadratic time over those in a text */
    bool is_blank = true;

    for (size_t i = 0, length; i < bytes; i += length) {
        uint32_t code_point = TEXT_INVALID;
        size_t left = bytes - i < 4 ? bytes - i : 4;
        memcpy(character, text + i, left);
        character[left] = '\0';
        length = text_decode(character, &code_point);
        if (length == 0 || code_point == TEXT_INVALID)
            return fail(reader, "expected UTF-8 text, found a byte that is none");
        if ((code_point < 0x20 && code_point != '\t' && code_point != '\n' && code_point != '\r') ||
            code_point == 0x7f)
            return fail(reader, "a control character");
        is_blank = is_blank && strchr(" \t\r\n", character[0]) != NULL;
        reader->column++;
        /* A lone carriage return ends a line too. */
        if (code_point != '\n' && (code_point != '\r' || character[1] == '\n'))
            continue;
        blank_lines = is_blank ? blank_lines + 1 : 0;
        if (blank_lines > YAML_MAX_BLANK_LINES)
            return fail(reader, "more than 256 blank lines in a row");
        is_blank = true;
        reader->line++;
        reader->column = 1;
    }
    reader->lines = reader->line;
    reader->line = 1;
    reader->column = 1;
    return 0;
}

int yaml_parse(const char *text, size_t bytes, struct yaml_document *document, struct error *error)
{
    struct reader reader = {.error = error, .line = 1, .column = 1};

    if (bytes > YAML_MAX_BYTES)
        return fail(&reader, "larger than 16 MiB");
    if (check_bytes(&reader, text, bytes) < 0)
        return -EINVAL;
    reader.scan = (struct yaml_scan){.text = text, .bytes = bytes};
    int result = bytes > 0 ? read_text(&reader, text, bytes) : 0;
    for (size_t i = 0; i < reader.anchors_count; i++)
        free(reader.anchors[i].name);
    if (result != 0)
        yaml_fini(&reader.document);
    else
        *document = reader.document;
    return result;
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

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
#include "config/yaml_reader.h"

#define SHOWN_BYTES 80
#define TEXT_BYTES 512

/* 0, the number of the anchor plus 1, or a negative value. */
static int add_anchor(struct reader *reader, struct fy_token *token)
{
    size_t bytes = 0;
    const char *text = token != NULL ? fy_token_get_text(token, &bytes) : NULL;

    if (token == NULL)
        return 0;
    if (reader->anchors_count == READER_MAX_ANCHORS)
        return reader_fail(reader, "more than 256 anchors");
    char *name = text != NULL ? strndup(text, bytes) : NULL;
    if (name == NULL)
        return reader_fail(reader, "out of memory");
    reader->anchors[reader->anchors_count++] = (struct anchor){.name = name};
    return (int)reader->anchors_count;
}

/* A copy of a node and all below it. Recursion as deep as YAML_MAX_DEPTH. NULL with an error. */
static struct yaml_node *copy_node(struct reader *reader, const struct yaml_node *node,
                                   unsigned depth)
{
    struct yaml_node *last = NULL;
    size_t bytes = strlen(node->text);
    bool is_container = node->type == YAML_LIST || node->type == YAML_MAP;

    if (is_container && depth == YAML_MAX_DEPTH) {
        reader_fail(reader, "more than 32 levels of lists and maps");
        return NULL;
    }
    reader->copied_bytes += bytes;
    if (reader->copied_bytes > YAML_MAX_BYTES) {
        reader_fail(reader, "aliases for more than 16 MiB");
        return NULL;
    }
    struct yaml_node *copy = reader_node_new(reader, node->text, bytes);
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
        return reader_fail(reader, "an alias without an anchor before it");
    if (!reader->anchors[i - 1].is_complete)
        return reader_fail(reader, "an alias inside what it stands for");
    struct yaml_node *copy = copy_node(reader, reader->anchors[i - 1].node, reader->depth);
    return copy != NULL ? reader_place(reader, copy) : -EINVAL;
}

static int take_scalar(struct reader *reader, struct fy_token *token, size_t anchor)
{
    size_t bytes = 0;
    const char *text = token != NULL ? fy_token_get_text(token, &bytes) : "";

    if (text == NULL)
        return reader_fail(reader, "out of memory");
    if (memchr(text, 0, bytes) != NULL)
        return reader_fail(reader, "a text with a NUL in it");
    struct yaml_node *node = reader_node_new(reader, text, bytes);
    if (node == NULL)
        return -EINVAL;
    for (const char *rest = node->text; *rest != '\0';) {
        uint32_t code_point;
        rest += text_decode(rest, &code_point);
        if (code_point == TEXT_INVALID)
            return reader_fail(reader, "a text that is not valid UTF-8");
    }
    node->is_quoted = token != NULL && fy_token_scalar_style(token) != FYSS_PLAIN;
    node->type = node->is_quoted ? YAML_TEXT : reader_plain_type(node->text);
    reader_complete_anchor(reader, anchor, node);
    return reader_place(reader, node);
}

/* As add_anchor(), of a node that must not have a tag. */
static int take_properties(struct reader *reader, struct fy_token *anchor,
                           const struct fy_token *tag)
{
    return tag != NULL ? reader_fail(reader, "tags are not supported") : add_anchor(reader, anchor);
}

static int take_event(struct reader *reader, struct fy_event *event)
{
    int anchor;

    switch (event->type) {
    case FYET_DOCUMENT_START:
        return ++reader->documents > 1 ? reader_fail(reader, "expected one document, found another")
                                       : 0;
    case FYET_ALIAS:
        return take_alias(reader, event->alias.anchor);
    case FYET_SCALAR:
        anchor = take_properties(reader, event->scalar.anchor, event->scalar.tag);
        return anchor < 0 ? anchor : take_scalar(reader, event->scalar.value, (size_t)anchor);
    case FYET_SEQUENCE_START:
        anchor = take_properties(reader, event->sequence_start.anchor, event->sequence_start.tag);
        return anchor < 0 ? anchor : reader_open(reader, YAML_LIST, (size_t)anchor);
    case FYET_MAPPING_START:
        anchor = take_properties(reader, event->mapping_start.anchor, event->mapping_start.tag);
        return anchor < 0 ? anchor : reader_open(reader, YAML_MAP, (size_t)anchor);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        return reader_close(reader);
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
        return reader_fail(reader, "not YAML");
    if (first->line > 0 && first->column > 0) {
        /* Behind the end of a last line without a newline it is one too far. */
        bool is_beyond = (unsigned)first->line > reader->lines;
        reader->line = is_beyond ? reader->lines : (unsigned)first->line;
        reader->column = is_beyond ? 1 : (unsigned)first->column;
    }
    text_escape(first->msg, shown, sizeof shown);
    snprintf(text, sizeof text, "not YAML: %s", shown);
    return reader_fail(reader, text);
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
    return reader_fail(reader, why);
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
        reader_fail(reader, "out of memory");
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
            return reader_fail(reader, "expected UTF-8 text, found a byte that is none");
        if ((code_point < 0x20 && code_point != '\t' && code_point != '\n' && code_point != '\r') ||
            code_point == 0x7f)
            return reader_fail(reader, "a control character");
        is_blank = is_blank && strchr(" \t\r\n", character[0]) != NULL;
        reader->column++;
        /* A lone carriage return ends a line too. */
        if (code_point != '\n' && (code_point != '\r' || character[1] == '\n'))
            continue;
        blank_lines = is_blank ? blank_lines + 1 : 0;
        if (blank_lines > YAML_MAX_BLANK_LINES)
            return reader_fail(reader, "more than 256 blank lines in a row");
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
        return reader_fail(&reader, "larger than 16 MiB");
    if (check_bytes(&reader, text, bytes) < 0)
        return -EINVAL;
    reader.scan = (struct yaml_scan){.text = text, .bytes = bytes};
    size_t start = 0;
    while (start < bytes && strchr(" \t\r\n", text[start]) != NULL)
        start++;
    int result = 1;
    if (start < bytes && (text[start] == '{' || text[start] == '['))
        result = yaml_json_read(&reader, text, bytes);
    if (result == 1) {
        yaml_fini(&reader.document);
        reader.nodes = 0;
        reader.depth = 0;
        reader.line = 1;
        reader.column = 1;
        result = bytes > 0 ? read_text(&reader, text, bytes) : 0;
    }
    for (size_t i = 0; i < reader.anchors_count; i++)
        free(reader.anchors[i].name);
    if (result != 0)
        yaml_fini(&reader.document);
    else
        *document = reader.document;
    return result;
}

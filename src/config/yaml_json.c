/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/yaml_reader.h"

/* What is no JSON is left to libfyaml. */
#define NO_JSON 1

struct json {
    struct reader *reader;
    const char *text;
    size_t bytes, at;
    size_t counted; /* line and column are those of this byte */
};

static char peek(const struct json *json)
{
    return (char)(json->at < json->bytes ? json->text[json->at] : '\0');
}

static void skip_blanks(struct json *json)
{
    while (peek(json) != '\0' && strchr(" \t\r\n", peek(json)) != NULL)
        json->at++;
}

/* The place of what comes next, for its node and its errors. */
static void note_place(struct json *json)
{
    struct reader *reader = json->reader;

    for (; json->counted < json->at; json->counted++) {
        char character = json->text[json->counted];
        char next = (char)(json->counted + 1 < json->bytes ? json->text[json->counted + 1] : '\0');
        bool is_end = character == '\n' || (character == '\r' && next != '\n');
        reader->line += is_end;
        reader->column = is_end ? 1 : reader->column + (((unsigned char)character & 0xc0) != 0x80);
    }
}

/* Four hexadecimal digits, or -1. */
static long read_hexadecimal(struct json *json)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    long value = 0;

    for (int i = 0; i < 4; i++, json->at++) {
        const char *digit = peek(json) != '\0' ? strchr(digits, peek(json)) : NULL;
        if (digit == NULL)
            return -1;
        value = value * 16 + (digit - digits) % 22 % 16;
    }
    return value;
}

/* Behind `\\u`. Returns the bytes of the character, 0 for none. */
static size_t read_code_point(struct json *json, char *out)
{
    long code = read_hexadecimal(json);

    if (code >= 0xd800 && code < 0xdc00 && json->bytes - json->at >= 6 &&
        memcmp(json->text + json->at, "\\u", 2) == 0) {
        json->at += 2;
        long low = read_hexadecimal(json);
        code =
            low >= 0xdc00 && low < 0xe000 ? 0x10000 + (code - 0xd800) * 0x400 + low - 0xdc00 : -1;
    }
    if (code <= 0 || (code >= 0xd800 && code < 0xe000))
        return 0;
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = bytes - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(first[bytes] | code);
    return bytes;
}

/* From behind the quote to behind its counterpart. */
static int read_text(struct json *json, char *out, size_t *length)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";

    *length = 0;
    for (; json->at < json->bytes; json->at++) {
        char character = peek(json);
        if (character == '"') {
            json->at++;
            return 0;
        }
        if ((unsigned char)character < 0x20)
            return NO_JSON;
        if (character != '\\') {
            out[(*length)++] = character;
            continue;
        }
        json->at++;
        const char *letter = peek(json) != '\0' ? strchr(letters, peek(json)) : NULL;
        if (letter != NULL) {
            out[(*length)++] = meant[letter - letters];
            continue;
        }
        if (peek(json) != 'u')
            return NO_JSON;
        json->at++;
        size_t bytes = read_code_point(json, out + *length);
        if (bytes == 0)
            return NO_JSON;
        *length += bytes;
        json->at--;
    }
    return NO_JSON;
}

static bool is_number(const char *text)
{
    const char *digits = text + (*text == '-');
    size_t whole = strspn(digits, "0123456789");
    enum yaml_type type = reader_plain_type(text);

    return (type == YAML_INTEGER || type == YAML_FLOAT) && whole > 0 &&
           (digits[0] != '0' || whole == 1) && digits[strlen(digits) - 1] != '.' &&
           strstr(digits, ".e") == NULL && strstr(digits, ".E") == NULL && digits[1] != 'x' &&
           digits[1] != 'o';
}

static int take_scalar(struct json *json)
{
    bool is_quoted = peek(json) == '"';
    size_t start = json->at + is_quoted, end = start, length;

    note_place(json);
    if (is_quoted) {
        while (end < json->bytes && json->text[end] != '"')
            end += json->text[end] == '\\' ? 2 : 1;
        end = end < json->bytes ? end : json->bytes;
    } else {
        while (end < json->bytes && strchr(" \t\r\n,:]}[{\"", json->text[end]) == NULL)
            end++;
    }
    struct yaml_node *node = reader_node_new(json->reader, json->text + start, end - start);
    if (node == NULL)
        return -EINVAL;
    node->type = YAML_TEXT;
    node->is_quoted = is_quoted;
    json->at = is_quoted ? start : end;
    if (is_quoted) {
        if (read_text(json, node->text, &length) != 0)
            return NO_JSON;
        node->text[length] = '\0';
    } else {
        node->type = reader_plain_type(node->text);
        if (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0 &&
            strcmp(node->text, "null") != 0 && !is_number(node->text))
            return NO_JSON;
    }
    return reader_place(json->reader, node);
}

/* One value, or the end of a list or a map; then what must stand behind it. */
int yaml_json_read(struct reader *reader, const char *text, size_t bytes)
{
    struct json json = {.reader = reader, .text = text, .bytes = bytes};
    bool may_close = false;
    int error = 0;

    do {
        bool took_key = false;
        skip_blanks(&json);
        char character = peek(&json);
        const struct yaml_node *container =
            reader->depth > 0 ? reader->frames[reader->depth - 1].container : NULL;
        bool is_map = container != NULL && container->type == YAML_MAP;
        bool is_key = is_map && reader->frames[reader->depth - 1].key == NULL;
        if (may_close && character == (is_map ? '}' : ']') && (!is_map || is_key)) {
            json.at++;
            error = reader_close(reader);
        } else if (!is_key && (character == '{' || character == '[')) {
            note_place(&json);
            json.at++;
            error = reader_open(reader, character == '{' ? YAML_MAP : YAML_LIST, 0);
            may_close = true;
            continue;
        } else if (is_key && character != '"') {
            error = NO_JSON;
        } else {
            took_key = is_key;
            error = take_scalar(&json);
        }
        if (error != 0)
            break;
        skip_blanks(&json);
        if (took_key) {
            error = peek(&json) == ':' ? 0 : NO_JSON;
            json.at++;
            may_close = false;
            continue;
        }
        may_close = true;
        if (reader->depth == 0)
            break;
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a frame has a container */
        bool in_map = reader->frames[reader->depth - 1].container->type == YAML_MAP;
        if (peek(&json) == ',') {
            json.at++;
            may_close = false;
        } else if (peek(&json) != (in_map ? '}' : ']')) {
            error = NO_JSON;
        }
    } while (error == 0);
    skip_blanks(&json);
    if (error == 0 && json.at < bytes)
        error = NO_JSON;
    return error;
}

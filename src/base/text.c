/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t text_decode(const char *text, uint32_t *code_point)
{
    unsigned char first = (unsigned char)text[0];
    size_t bytes = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t value = first & (0x7fU >> bytes);

    *code_point = first;
    if (first < 0x80)
        return first != 0;
    *code_point = TEXT_INVALID;
    if (first < 0xc2 || first > 0xf4)
        return 1;
    for (size_t i = 1; i < bytes; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xc0) != 0x80)
            return 1;
        value = value << 6 | (next & 0x3f);
    }
    if ((bytes == 3 && (value < 0x800 || (value >= 0xd800 && value <= 0xdfff))) ||
        (bytes == 4 && (value < 0x10000 || value > 0x10ffff)))
        return 1;
    *code_point = value;
    return bytes;
}

/* Controls (C0, DEL, C1), line and paragraph separator, and everything that reorders what stands
 * beside it. */
static bool is_deceptive(uint32_t code_point)
{
    return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) || code_point == 0x61c ||
           code_point == 0x200e || code_point == 0x200f ||
           (code_point >= 0x2028 && code_point <= 0x202e) ||
           (code_point >= 0x2066 && code_point <= 0x2069);
}

/* The letter of a two-character escape, or 0. */
static char short_escape(uint32_t code_point)
{
    switch (code_point) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\\':
    case '"':
        return (char)code_point;
    default:
        return 0;
    }
}

size_t text_escape_next(const char *text, char *piece)
{
    uint32_t code_point = 0;
    size_t bytes = text_decode(text, &code_point);
    char letter = short_escape(code_point);

    piece[0] = '\0';
    if (bytes == 0)
        return 0;
    if (code_point == TEXT_INVALID)
        snprintf(piece, TEXT_PIECE_BYTES, "\\x%02x", (unsigned)(unsigned char)text[0]);
    else if (letter != 0)
        snprintf(piece, TEXT_PIECE_BYTES, "\\%c", letter);
    else if (is_deceptive(code_point))
        snprintf(piece, TEXT_PIECE_BYTES, "\\u{%" PRIx32 "}", code_point);
    else
        snprintf(piece, TEXT_PIECE_BYTES, "%.*s", (int)bytes, text);
    return bytes;
}

void text_escape(const char *text, char *out, size_t capacity)
{
    static const char ellipsis[] = "...";
    char piece[TEXT_PIECE_BYTES];
    size_t used = 0;
    size_t whole = 0; /* how much may stay if the rest does not fit */

    assert(capacity >= sizeof ellipsis);
    for (size_t bytes; (bytes = text_escape_next(text, piece)) > 0; text += bytes) {
        size_t length = strlen(piece);
        if (used + length >= capacity) {
            memcpy(out + whole, ellipsis, sizeof ellipsis);
            return;
        }
        memcpy(out + used, piece, length);
        used += length;
        if (used + sizeof ellipsis <= capacity)
            whole = used;
    }
    out[used] = '\0';
}

char *text_repair(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char *clean = malloc(strlen(text) * (sizeof replacement - 1) + 1);
    size_t length = 0;
    uint32_t code_point;

    if (clean == NULL)
        return NULL;
    for (size_t bytes; (bytes = text_decode(text, &code_point)) > 0; text += bytes) {
        bool is_bad = code_point == TEXT_INVALID;
        size_t add = is_bad ? sizeof replacement - 1 : bytes;
        memcpy(clean + length, is_bad ? replacement : text, add);
        length += add;
    }
    clean[length] = '\0';
    return clean;
}

json_t *text_to_json(const char *text)
{
    char *clean = text_repair(text);
    json_t *json = json_string(clean);

    free(clean);
    return json;
}

bool text_is_plain(const char *text)
{
    uint32_t code_point;

    for (size_t bytes; (bytes = text_decode(text, &code_point)) > 0; text += bytes) {
        if (code_point == TEXT_INVALID || short_escape(code_point) != 0 || is_deceptive(code_point))
            return false;
    }
    return true;
}

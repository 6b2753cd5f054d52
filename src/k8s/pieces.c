/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n"

static int append(struct pieces_text *text, const char *data, size_t bytes, size_t most)
{
    size_t capacity = text->capacity > 0 ? text->capacity : 4096;

    if (bytes > most - text->bytes)
        return -E2BIG;
    while (capacity < text->bytes + bytes)
        capacity *= 2;
    if (capacity > text->capacity) {
        char *longer = realloc(text->data, capacity);

        if (longer == NULL)
            return -ENOMEM;
        text->data = longer;
        text->capacity = capacity;
    }
    if (bytes > 0)
        memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
    return 0;
}

static size_t trim(const char *data, size_t bytes)
{
    while (bytes > 0 && strchr(BLANKS, data[bytes - 1]) != NULL && data[bytes - 1] != '\0')
        bytes--;
    return bytes;
}

/* Whether what has come of the envelope ends with the key `items`, and not with a text of it. */
static bool ends_with_key(const struct pieces_text *envelope)
{
    static const char key[] = "\"items\"";
    const size_t key_bytes = sizeof key - 1;
    size_t bytes = trim(envelope->data, envelope->bytes);

    if (bytes == 0 || envelope->data[bytes - 1] != ':')
        return false;
    bytes = trim(envelope->data, bytes - 1);
    if (bytes < key_bytes || memcmp(envelope->data + bytes - key_bytes, key, key_bytes) != 0)
        return false;
    bytes = trim(envelope->data, bytes - key_bytes);
    return bytes > 0 && strchr("{,", envelope->data[bytes - 1]) != NULL;
}

static bool in_object(const struct pieces *pieces)
{
    return pieces->is_list ? pieces->in_items && pieces->depth >= 3 : pieces->depth >= 1;
}

/* The part of a text that goes to the object or to the envelope, whichever is under way. */
static int keep(struct pieces *pieces, const char *data, size_t bytes)
{
    if (in_object(pieces))
        return append(&pieces->object, data, bytes, PIECES_OBJECT_BYTES);
    if (pieces->is_list && !pieces->in_items)
        return append(&pieces->envelope, data, bytes, PIECES_ENVELOPE_BYTES);
    return 0;
}

static int hand_on(struct pieces *pieces, pieces_object_fn *object, void *user)
{
    json_t *json = json_loadb(pieces->object.data, pieces->object.bytes, JSON_ALLOW_NUL, NULL);
    int error = json_is_object(json) ? object(json, user) : -EINVAL;

    json_decref(json);
    pieces->object.bytes = 0;
    return error;
}

/* A bracket that opens. What went before it has been kept, it itself has not. */
static int open_bracket(struct pieces *pieces, char bracket)
{
    bool was_in_object = in_object(pieces);

    pieces->depth++;
    if (!was_in_object && in_object(pieces) && bracket != '{')
        return -EINVAL;
    if (pieces->is_list && !pieces->in_items && pieces->depth == 2 && bracket == '[' &&
        ends_with_key(&pieces->envelope)) {
        int error = keep(pieces, &bracket, 1);

        pieces->in_items = true;
        return error;
    }
    return keep(pieces, &bracket, 1);
}

static int close_bracket(struct pieces *pieces, char bracket, pieces_object_fn *object, void *user)
{
    bool was_in_object = in_object(pieces);
    int error;

    if (pieces->depth == 0)
        return -EINVAL;
    if (pieces->in_items && pieces->depth == 2)
        pieces->in_items = false; /* the bracket is the envelope's again */
    error = keep(pieces, &bracket, 1);
    pieces->depth--;
    if (error == 0 && was_in_object && !in_object(pieces))
        error = hand_on(pieces, object, user);
    return error;
}

/* What stands between objects. */
static bool is_between(const struct pieces *pieces)
{
    return !in_object(pieces) && (pieces->in_items || !pieces->is_list);
}

int pieces_take(struct pieces *pieces, const char *data, size_t bytes, pieces_object_fn *object,
                void *user)
{
    size_t kept = 0;
    int error = 0;

    for (size_t i = 0; i < bytes && error == 0; i++) {
        char c = data[i];

        if (pieces->in_text) {
            pieces->in_text = pieces->is_escaped || c != '"';
            pieces->is_escaped = !pieces->is_escaped && c == '\\';
            continue;
        }
        bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        if (is_between(pieces) && !opens && !closes &&
            (c == '\0' || strchr(pieces->in_items ? BLANKS "," : BLANKS, c) == NULL))
            return -EINVAL;
        pieces->in_text = c == '"';
        if (!opens && !closes)
            continue;
        error = keep(pieces, data + kept, i - kept);
        kept = i + 1;
        if (error == 0)
            error = opens ? open_bracket(pieces, c) : close_bracket(pieces, c, object, user);
    }
    return error != 0 ? error : keep(pieces, data + kept, bytes - kept);
}

json_t *pieces_end(const struct pieces *pieces)
{
    json_t *json =
        pieces->depth == 0 && pieces->envelope.bytes > 0
            ? json_loadb(pieces->envelope.data, pieces->envelope.bytes, JSON_ALLOW_NUL, NULL)
            : NULL;

    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

void pieces_fini(struct pieces *pieces)
{
    free(pieces->object.data);
    free(pieces->envelope.data);
    *pieces = (struct pieces){0};
}

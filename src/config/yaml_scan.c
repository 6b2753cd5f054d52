/* SPDX-License-Identifier: Apache-2.0 */
#include "config/yaml_scan.h"

#include <stdint.h>
#include <string.h>

#define MAX_LEVELS 64
#define MAX_PROPERTIES 2
#define MAX_BLANKS (UINT64_C(1) << 27) /* half a second of libfyaml's */
#define MAX_RUN 4 /* tokens without a comma or a colon between them: ? &anchor !tag value */

/* '\0' at the end. */
static char peek(const struct yaml_scan *scan, size_t ahead)
{
    return (char)(scan->at + ahead < scan->bytes ? scan->text[scan->at + ahead] : '\0');
}

static bool is_break(char character)
{
    return character == '\n' || character == '\r';
}

/* The end of the text as well. */
static bool is_space(char character)
{
    return character == ' ' || character == '\t' || character == '\0' || is_break(character);
}

static bool is_mark(char character)
{
    return character != '\0' && strchr(",[]{}", character) != NULL;
}

static bool is_behind_space(const struct yaml_scan *scan)
{
    return scan->at == 0 || is_space(scan->text[scan->at - 1]);
}

static bool starts_line(const struct yaml_scan *scan)
{
    return scan->at == 0 || is_break(scan->text[scan->at - 1]);
}

static int column_of(const struct yaml_scan *scan)
{
    size_t start = scan->at;

    while (start > 0 && !is_break(scan->text[start - 1]))
        start--;
    return (int)(scan->at - start);
}

/* `---`, or `...` */
static bool is_document_mark(const struct yaml_scan *scan, char character)
{
    return starts_line(scan) && peek(scan, 0) == character && peek(scan, 1) == character &&
           peek(scan, 2) == character && is_space(peek(scan, 3));
}

static void skip_line(struct yaml_scan *scan)
{
    while (scan->at < scan->bytes && !is_break(peek(scan, 0)))
        scan->at++;
}

/* Returns whether libfyaml can take the text: it keeps 64 bytes for each escape. */
static bool skip_quoted(struct yaml_scan *scan)
{
    char quote = peek(scan, 0);
    size_t before = scan->at, escapes = 0;

    for (scan->at++; scan->at < scan->bytes; scan->at++) {
        bool is_escape =
            quote == '"' ? peek(scan, 0) == '\\' : peek(scan, 0) == quote && peek(scan, 1) == quote;
        if (!is_escape && peek(scan, 0) == quote)
            break;
        scan->at += is_escape;
        escapes += is_escape;
    }
    if (escapes > YAML_MAX_ESCAPES) {
        scan->at = before;
        return false;
    }
    scan->at++;
    return true;
}

static void skip_word(struct yaml_scan *scan, bool in_brackets)
{
    while (!is_space(peek(scan, 0)) && !(in_brackets && is_mark(peek(scan, 0))))
        scan->at++;
}

/* A plain scalar goes on over spaces, and in brackets over lines. */
static void skip_plain(struct yaml_scan *scan, bool in_brackets)
{
    for (; scan->at < scan->bytes; scan->at++) {
        char character = peek(scan, 0), next = peek(scan, 1);
        if (character == ':' && (is_space(next) || (in_brackets && is_mark(next))))
            return;
        if ((character == '#' && is_behind_space(scan)) ||
            (in_brackets ? is_mark(character) : is_break(character)))
            return;
    }
}

/* From a bracket to behind its counterpart. What follows a colon is no key, so libfyaml need not
 * keep it. */
static enum yaml_scan_result skip_brackets(struct yaml_scan *scan, bool is_value, unsigned levels)
{
    unsigned depth = 0, kept_depth = 0; /* where what is kept began */
    unsigned runs[MAX_LEVELS + 1] = {0};
    size_t tokens = 0;
    bool is_adjacent = false; /* a colon right here belongs to what could be a key in quotes */

    while (scan->at < scan->bytes) {
        char character = peek(scan, 0);
        bool was_adjacent = is_adjacent;

        is_adjacent = false;
        if (is_space(character)) {
            scan->at++;
            continue;
        }
        if (character == '#' && is_behind_space(scan)) {
            skip_line(scan);
            continue;
        }
        tokens++;
        if (kept_depth > 0 && tokens > YAML_MAX_TOKENS)
            return YAML_SCAN_TOKENS;
        if (++runs[depth] > MAX_RUN && strchr(",:]}", character) == NULL)
            return YAML_SCAN_PROPERTIES;
        if (character == '[' || character == '{') {
            if (depth == levels || depth == MAX_LEVELS)
                return YAML_SCAN_DEPTH;
            depth++;
            runs[depth] = 0;
            if (kept_depth == 0 && !is_value) {
                kept_depth = depth;
                tokens = 0;
            }
            is_value = false;
            scan->at++;
        } else if (character == ']' || character == '}') {
            if (depth == kept_depth)
                kept_depth = 0;
            depth--;
            scan->at++;
            if (depth == 0)
                return YAML_SCAN_FINE;
            is_adjacent = true;
        } else if (character == ',') {
            runs[depth] = 0;
            is_value = false;
            scan->at++;
        } else if (character == ':' &&
                   (was_adjacent || is_space(peek(scan, 1)) || is_mark(peek(scan, 1)))) {
            runs[depth] = 0;
            is_value = true;
            scan->at++;
        } else if ((character == '-' || character == '?') && is_space(peek(scan, 1))) {
            is_value = false;
            scan->at++;
        } else if (character == '"' || character == '\'') {
            if (!skip_quoted(scan))
                return YAML_SCAN_ESCAPES;
            is_adjacent = true;
            is_value = false;
        } else if (strchr("&!*", character) != NULL) {
            skip_word(scan, true);
            is_value = is_value && character != '*';
        } else {
            size_t before = scan->at;
            skip_plain(scan, true);
            scan->at += scan->at == before;
            is_value = false;
        }
    }
    return YAML_SCAN_FINE;
}

/* A plain scalar goes on in lines that are further to the right than what it is in. */
static void skip_plain_lines(struct yaml_scan *scan, int column)
{
    skip_plain(scan, false);
    while (is_break(peek(scan, 0))) {
        size_t end = scan->at;
        while (is_space(peek(scan, 0)) && scan->at < scan->bytes)
            scan->at++;
        if (column_of(scan) <= column || peek(scan, 0) == '#' || is_document_mark(scan, '-') ||
            is_document_mark(scan, '.')) {
            scan->at = end;
            return;
        }
        skip_plain(scan, false);
    }
}

enum yaml_scan_result yaml_scan_next(struct yaml_scan *scan, size_t from, int column,
                                     unsigned levels)
{
    unsigned properties = 0, scalars = 0, indicators = 0;
    uint64_t run = 0; /* of blanks */
    bool is_value = false;

    if (from < scan->looked_at || scan->begun == from + 1)
        return YAML_SCAN_FINE;
    scan->begun = from + 1;
    scan->at = from;
    if (from == 0 && scan->bytes >= 3 && memcmp(scan->text, "\xef\xbb\xbf", 3) == 0)
        scan->at = 3; /* a byte order mark */
    while (scan->at < scan->bytes) {
        char character = peek(scan, 0);

        run = is_space(character) ? run + 1 : 0;
        scan->blanks += run;
        if (scan->blanks > MAX_BLANKS)
            return YAML_SCAN_BLANKS;
        if (is_space(character)) {
            if (is_break(character))
                run = 0;
            is_value = is_value && !is_break(character);
            scan->at++;
        } else if ((character == '#' && is_behind_space(scan)) ||
                   (character == '%' && starts_line(scan))) {
            skip_line(scan);
        } else if (is_document_mark(scan, '-')) {
            is_value = true;
            column = -1;
            scan->at += 3;
        } else if (character == ':' && (is_space(peek(scan, 1)) || scan->at == from)) {
            if (scalars > 0) /* the scalar was a key, and comes as an event first */
                return YAML_SCAN_FINE;
            is_value = true;
            properties = 0;
            scan->at++;
        } else if ((character == '-' || character == '?') && is_space(peek(scan, 1))) {
            if (++indicators > MAX_LEVELS) /* too many for the events */
                return YAML_SCAN_FINE;
            column = column_of(scan);
            is_value = false;
            properties = 0;
            scan->at++;
        } else if (strchr("&!*", character) != NULL) {
            if (++properties > MAX_PROPERTIES)
                return YAML_SCAN_PROPERTIES;
            skip_word(scan, false);
        } else if (character == '[' || character == '{') {
            enum yaml_scan_result result = skip_brackets(scan, is_value, levels);
            scan->looked_at = scan->at;
            return result;
        } else if (character == '|' || character == '>' || scalars++ > 0) {
            return YAML_SCAN_FINE;
        } else if (character == '"' || character == '\'') {
            if (!skip_quoted(scan))
                return YAML_SCAN_ESCAPES;
        } else {
            size_t before = scan->at;
            skip_plain_lines(scan, column);
            scan->at += scan->at == before;
        }
    }
    return YAML_SCAN_FINE;
}

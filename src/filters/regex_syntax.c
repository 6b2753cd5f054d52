/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/regex_syntax.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters/regex.h"

struct translation {
    const char *pattern; /* the whole of it */
    const char *at;      /* the rest */
    char *out;
    size_t used;
    bool is_unicode, is_verbose;            /* flags u and x */
    bool is_quantifiable;                   /* what stands before can be repeated */
    bool was_quantified;                    /* what stands before is a repetition */
    const char *names[REGEX_MAX_BYTES / 5]; /* where those of groups begin; each takes (?<a>) */
    size_t names_count;
    struct error *error;
};

static int fail(struct translation *t, const char *what)
{
    return error_set(t->error, -EINVAL, "expected a regular expression: %s at byte %zu", what,
                     (size_t)(t->at - t->pattern));
}

static void put(struct translation *t, const char *text, size_t bytes)
{
    if (t->used + bytes < REGEX_TRANSLATED_BYTES) {
        memcpy(t->out + t->used, text, bytes);
        t->used += bytes;
    }
    t->out[t->used] = '\0';
}

static void put_text(struct translation *t, const char *text)
{
    put(t, text, strlen(text));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* \x7F, \x{10FFFF}, \u007F, \u{...}, \U0000007F, \U{...}; `at` is on the letter. */
static int take_code(struct translation *t)
{
    char digits[16] = "", code[32];
    size_t count = *t->at == 'x' ? 2 : *t->at == 'u' ? 4 : 8, used = 0;
    const char *at = t->at + 1;
    bool is_braced = *at == '{';

    at += is_braced;
    while (used < (is_braced ? 8 : count) && is_hex(at[used]))
        used++;
    if (used == 0 || (is_braced ? at[used] != '}' : used != count))
        return fail(t, "a hexadecimal code that is not complete");
    memcpy(digits, at, used);
    unsigned long number = strtoul(digits, NULL, 16);
    if (number > (t->is_unicode ? 0x10ffffUL : 0xffUL) || (number >= 0xd800 && number <= 0xdfff))
        return fail(t, "a hexadecimal code that is no character");
    snprintf(code, sizeof code, "\\x{%lx}", number);
    put_text(t, code);
    t->at = at + used + is_braced;
    return 0;
}

/* \pL, \p{Greek}, \P{^Greek}: by name; Rust takes forms like \p{scx=Greek}, PCRE2 not all. */
static int take_property(struct translation *t)
{
    size_t length = 1;
    if (!t->is_unicode)
        return fail(t, "a Unicode class without Unicode");
    if (t->at[1] == '{')
        length = strcspn(t->at, "}");
    else if (!is_letter(t->at[1]))
        return fail(t, "a Unicode class without a name");
    if (t->at[length] == '\0')
        return fail(t, "a Unicode class that does not end");
    put_text(t, "\\");
    put(t, t->at, length + 1);
    t->at += length + 1;
    return 0;
}

/* An escape; `at` is behind the backslash. Words are by the letters, marks and digits of Unicode in
 * Rust, and fewer characters in this version of PCRE2. */
static int take_escape(struct translation *t, bool in_class)
{
    static const char word[] = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}";
    char c = *t->at;
    char simple[3] = {'\\', c, '\0'};

    t->is_quantifiable = true;
    switch (c) {
    case '\0':
        return fail(t, "a backslash at the end");
    case 'x':
    case 'u':
    case 'U':
        return take_code(t);
    case 'p':
    case 'P':
        return take_property(t);
    case 'v': /* one character; PCRE2 has a class here */
        put_text(t, "\\x0b");
        t->at++;
        return 0;
    case 'w':
    case 'W':
        if (t->is_unicode && c == 'W' && in_class)
            return fail(t, "\\W within a class, which is not supported,");
        if (t->is_unicode) {
            put_text(t, in_class ? "" : c == 'w' ? "[" : "[^");
            put_text(t, word);
            put_text(t, in_class ? "" : "]");
        } else {
            put_text(t, simple);
        }
        t->at++;
        return 0;
    case 'b':
    case 'B':
    case 'A':
    case 'z':
        if (in_class)
            return fail(t, "an escape that is none within a class");
        if (t->at[1] == '{')
            return fail(t, "\\b{...}, which is not supported,");
        put_text(t, simple);
        t->at++;
        return 0;
    case 'a':
    case 'f':
    case 'n':
    case 'r':
    case 't':
    case 'd':
    case 'D':
    case 's':
    case 'S':
        put_text(t, simple);
        t->at++;
        return 0;
    default:
        break;
    }
    if (is_digit(c))
        return fail(t, "a back-reference, which is not supported,");
    if (is_letter(c) || (unsigned char)c >= 0x80 || c == '<' || c == '>' || c < ' ')
        return fail(t, "an escape that is not supported");
    put_text(t, simple);
    t->at++;
    return 0;
}

static void put_range(struct translation *t, unsigned first, unsigned last)
{
    char text[32];
    snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", first, last);
    put_text(t, text);
}

/* [:alpha:] or [:^alpha:] within a class, which is about ASCII in Rust. */
static int take_posix(struct translation *t)
{
    static const struct {
        const char *name;
        uint8_t ranges[4]
                      [2]; /* ascending; unused ones are 0, as none begins with it but the first */
    } classes[] = {{"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
                   {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
                   {"ascii", {{0, 0x7f}}},
                   {"blank", {{'\t', '\t'}, {' ', ' '}}},
                   {"cntrl", {{0, 0x1f}, {0x7f, 0x7f}}},
                   {"digit", {{'0', '9'}}},
                   {"graph", {{'!', '~'}}},
                   {"lower", {{'a', 'z'}}},
                   {"print", {{' ', '~'}}},
                   {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
                   {"space", {{'\t', '\r'}, {' ', ' '}}},
                   {"upper", {{'A', 'Z'}}},
                   {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
                   {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}}};
    bool is_negative = t->at[2] == '^';
    const char *name = t->at + 2 + is_negative;
    size_t length = strcspn(name, ":"), i = 0, count = sizeof classes / sizeof classes[0];

    while (i < count &&
           (strlen(classes[i].name) != length || strncmp(classes[i].name, name, length) != 0))
        i++;
    if (i == count || strncmp(name + length, ":]", 2) != 0)
        return fail(t, "a class within a class, which is not supported,");
    unsigned next = 0;
    for (size_t n = 0; n < 4 && (n == 0 || classes[i].ranges[n][0] != 0); n++) {
        const uint8_t *range = classes[i].ranges[n];
        if (!is_negative)
            put_range(t, range[0], range[1]);
        else if (next < range[0])
            put_range(t, next, range[0] - 1U);
        next = range[1] + 1U;
    }
    if (is_negative)
        put_range(t, next, t->is_unicode ? 0x10ffff : 0xff);
    t->at = name + length + 2;
    return 0;
}

/* A class in brackets; `at` is on the first one. */
static int take_class(struct translation *t)
{
    put_text(t, "[");
    t->at++;
    if (*t->at == '^') {
        put_text(t, "^");
        t->at++;
    }
    for (bool is_first = true; *t->at != ']' || is_first; is_first = false) {
        int error = 0;
        char c = *t->at;
        if (c == '\0')
            return fail(t, "a class that does not end");
        if ((c == '&' && t->at[1] == '&') || (c == '-' && t->at[1] == '-') ||
            (c == '~' && t->at[1] == '~'))
            return fail(t, "an operation of classes, which is not supported,");
        if (!t->is_unicode && (unsigned char)c >= 0x80)
            return fail(t, "a character beyond ASCII in a class without Unicode");
        if (t->is_verbose && strchr(" \t\n\v\f\r#", c) != NULL)
            return fail(t, "a blank in a class with the flag x, which is not supported,");
        if (c == '[') {
            error = t->at[1] == ':' ? take_posix(t)
                                    : fail(t, "a class within a class, which is not supported,");
        } else if (c == '\\') {
            t->at++;
            error = take_escape(t, true);
        } else {
            put(t, t->at++, 1);
        }
        if (error != 0)
            return error;
    }
    put_text(t, "]");
    t->at++;
    t->is_quantifiable = true;
    return 0;
}

/* The name of a group, which no other has; at is on the bracket before it. */
static int take_name(struct translation *t, const char *at)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    const char *name = at + 1;
    size_t length = strspn(name, letters);
    if (length > 0)
        length += strspn(name + length, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
                                        "0123456789.[]");
    if (length == 0 || name[length] != '>')
        return fail(t, "a name of a group that is none");
    for (size_t i = 0; i < t->names_count; i++) {
        if (strncmp(t->names[i], name, length + 1) == 0)
            return fail(t, "a name of a group that another one has");
    }
    t->names[t->names_count++] = name;
    put_text(t, "("); /* nobody asks for groups, by name or number */
    t->at = name + length + 1;
    return 0;
}

/* What begins a group; `at` is on the parenthesis. */
static int take_group(struct translation *t)
{
    const char *at = t->at + 1;
    bool is_negative = false;

    t->is_quantifiable = false;
    if (*at == '*')
        return fail(t, "a repetition of nothing");
    if (*at != '?') {
        put_text(t, "(");
        t->at++;
        return 0;
    }
    at++;
    if (at[0] == '=' || at[0] == '!' || (at[0] == '<' && (at[1] == '=' || at[1] == '!')))
        return fail(t, "look-around, which is not supported,");
    if (*at == '<' || (at[0] == 'P' && at[1] == '<'))
        return take_name(t, at + (*at == 'P'));

    put_text(t, "(?");
    for (; *at != ':' && *at != ')'; at++) {
        switch (*at) {
        case '-':
            if (is_negative || at[1] == ':' || at[1] == ')')
                return fail(t, "flags of a group");
            is_negative = true;
            if (strspn(at + 1, "u") != strcspn(at + 1, ":)"))
                put_text(t, "-");
            break;
        case 'u':
            if (is_negative == t->is_unicode)
                return fail(t, "a change of the flag u, which is not supported but at the begin,");
            break;
        case 'x':
            t->is_verbose = t->is_verbose || !is_negative;
            put(t, at, 1);
            break;
        case 'i':
        case 'm':
        case 's':
        case 'U':
            put(t, at, 1);
            break;
        default:
            return fail(t, "a group of a kind that is not supported");
        }
    }
    put(t, at, 1);
    t->at = at + 1;
    return 0;
}

/* {2}, {2,}, {2,3}; `at` is on the brace. */
static int take_counts(struct translation *t)
{
    const char *at = t->at + 1;
    size_t first = strspn(at, "0123456789");
    size_t length = first;
    if (at[length] == ',')
        length += 1 + strspn(at + length + 1, "0123456789");
    if (first == 0 || at[length] != '}')
        return fail(t, "a repetition without a number");
    put(t, t->at, length + 2);
    t->at += length + 2;
    return 0;
}

static int take_repetition(struct translation *t)
{
    int error = 0;
    if (!t->is_quantifiable)
        return fail(t, "a repetition of nothing");
    if (t->was_quantified)
        return fail(t, "a repetition of a repetition, which is not supported but within a group,");
    if (*t->at == '{')
        error = take_counts(t);
    else
        put(t, t->at++, 1);
    if (error == 0 && *t->at == '?')
        put(t, t->at++, 1);
    t->was_quantified = true;
    return error;
}

int regex_translate(const char *pattern, char *translated, bool *is_unicode, struct error *error)
{
    struct translation t = {
        .pattern = pattern, .at = pattern, .out = translated, .is_unicode = true, .error = error};
    int code = 0;

    translated[0] = '\0';
    if (strncmp(pattern, "(?-u)", 5) == 0) {
        t.is_unicode = false;
        t.at += 5;
    } else if (strncmp(pattern, "(?s-u)", 6) == 0 || strncmp(pattern, "(?i-u)", 6) == 0) {
        t.is_unicode = false;
        put(&t, pattern, 3);
        put_text(&t, ")");
        t.at += 6;
    }
    while (*t.at != '\0' && code == 0) {
        bool repeats = strchr("*+?{", *t.at) != NULL;
        if (repeats) {
            code = take_repetition(&t);
            continue;
        }
        t.was_quantified = false;
        switch (*t.at) {
        case '\\':
            t.at++;
            code = take_escape(&t, false);
            break;
        case '[':
            code = take_class(&t);
            break;
        case '(':
            code = take_group(&t);
            break;
        case '|':
            t.is_quantifiable = false;
            put(&t, t.at++, 1);
            break;
        default:
            t.is_quantifiable = true;
            put(&t, t.at++, 1);
        }
    }
    if (code == 0 && t.used + 1 >= REGEX_TRANSLATED_BYTES)
        code = fail(&t, "it is too long");
    *is_unicode = t.is_unicode;
    return code;
}

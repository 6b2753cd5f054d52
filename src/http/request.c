/* SPDX-License-Identifier: Apache-2.0 */
#include "http/request.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define TOKEN_CHARACTERS                                                                           \
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

size_t http_request_end(const char *text, size_t bytes, size_t from)
{
    size_t first = 0;

    while (first < bytes && (text[first] == '\r' || text[first] == '\n'))
        first++;
    /* The empty line may have begun in what was searched before. */
    size_t i = from > first + 2 ? from - 2 : first;
    for (const char *lf; (lf = memchr(text + i, '\n', bytes - i)) != NULL;) {
        i = (size_t)(lf - text) + 1;
        if (i < bytes && text[i] == '\n')
            return i + 1;
        if (i + 1 < bytes && text[i] == '\r' && text[i + 1] == '\n')
            return i + 2;
    }
    return 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decodes percent-encoding in place. */
static void decode(char *text)
{
    char *out = text;

    for (; *text != '\0'; text++) {
        int high = text[0] == '%' ? hex(text[1]) : -1;
        int low = high >= 0 ? hex(text[2]) : -1;
        if (low >= 0 && high + low > 0) {
            *out++ = (char)(high * 16 + low);
            text += 2;
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

/* Appends a text with its terminator. Returns what comes behind. */
static char *append(char *out, const char *text)
{
    size_t bytes = strlen(text) + 1;

    memmove(out, text, bytes);
    return out + bytes;
}

/* Makes a list of a query in place: each key and its value ended by NUL, an empty key at the end,
 * which may stand one byte behind the text. */
static void split_query(char *query)
{
    char *out = query;

    for (char *key; (key = strsep(&query, "&")) != NULL;) {
        char *value = strchr(key, '=');
        if (value == NULL || value == key)
            continue;
        *value++ = '\0';
        decode(key);
        decode(value);
        out = append(append(out, key), value);
    }
    *out = '\0';
}

/* Makes such a list of header lines. Returns false when one is malformed. */
static bool split_headers(char *text)
{
    char *out = text;

    for (char *name; (name = strsep(&text, "\n")) != NULL;) {
        char *end = name + strlen(name);
        while (end > name && strchr(" \t\r", end[-1]) != NULL)
            *--end = '\0';
        if (end == name)
            break;
        char *value = name + strspn(name, TOKEN_CHARACTERS);
        if (value == name || *value != ':')
            return false;
        *value++ = '\0';
        out = append(append(out, name), value + strspn(value, " \t"));
    }
    *out = '\0';
    return true;
}

/* Skips the scheme and the host of an absolute-form. */
static char *skip_origin(char *target)
{
    if (strncasecmp(target, "http://", 7) != 0 && strncasecmp(target, "https://", 8) != 0)
        return target;
    target = strchr(target, '/') + 2;
    return target + strcspn(target, "/?");
}

unsigned http_request_parse(char *text, size_t bytes, struct http_request *request)
{
    text[bytes] = '\0';
    if (strlen(text) != bytes)
        return 400;

    char *rest = text + strspn(text, "\r\n");
    char *version = strsep(&rest, "\n");
    const char *method = strsep(&version, " ");
    char *target = strsep(&version, " ");
    if (rest == NULL || version == NULL || method[0] == '\0' || target[0] == '\0' ||
        method[strspn(method, TOKEN_CHARACTERS)] != '\0')
        return 400;
    version[strcspn(version, "\r")] = '\0';
    if (strncmp(version, "HTTP/", 5) != 0)
        return 400;
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return 505;

    char *query = skip_origin(target);
    char *path = strsep(&query, "?");
    decode(path);
    if (query != NULL)
        split_query(query);
    if (!split_headers(rest))
        return 400;
    *request = (struct http_request){.method = method,
                                     .path = path[0] != '\0' ? path : "/",
                                     .query = query != NULL ? query : "",
                                     .headers = rest};
    return 0;
}

typedef int compare_fn(const char *a, const char *b);

/* The value of a name in a list; NULL: there is none. */
static const char *find(const char *list, const char *name, compare_fn *compare)
{
    while (list[0] != '\0') {
        const char *value = list + strlen(list) + 1;
        if (compare(list, name) == 0)
            return value;
        list = value + strlen(value) + 1;
    }
    return NULL;
}

const char *http_request_header(const struct http_request *request, const char *name)
{
    return find(request->headers, name, strcasecmp);
}

const char *http_request_query(const struct http_request *request, const char *key)
{
    return find(request->query, key, strcmp);
}

const char *http_request_next(const struct http_request *request, const char *key,
                              const char **value)
{
    key = key != NULL ? *value + strlen(*value) + 1 : request->query;
    *value = key + strlen(key) + 1;
    return key[0] != '\0' ? key : NULL;
}

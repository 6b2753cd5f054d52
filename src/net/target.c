#include "net/target.h"

#include <stdbool.h>
#include <string.h>

#include "base/number.h"

/* What belongs to the host and what to the port, as parts of the text. */
struct parts {
    const char *host;
    size_t host_length;
    const char *port; /* NULL: none given */
};

static enum target_error split_bracketed(const char *text, struct parts *parts)
{
    const char *end = strchr(text, ']');

    if (end == NULL)
        return TARGET_ERROR_BRACKET;
    if (end[1] != '\0' && end[1] != ':')
        return TARGET_ERROR_AFTER_BRACKET;
    parts->host = text + 1;
    parts->host_length = (size_t)(end - parts->host);
    parts->port = end[1] == ':' ? end + 2 : NULL;
    return TARGET_OK;
}

static void split_bare(const char *text, struct parts *parts)
{
    const char *colon = strchr(text, ':');
    bool has_port = colon != NULL && strchr(colon + 1, ':') == NULL;

    parts->host = text;
    parts->host_length = has_port ? (size_t)(colon - text) : strlen(text);
    parts->port = has_port ? colon + 1 : NULL;
}

static enum target_error check_host(const struct parts *parts)
{
    if (parts->host_length == 0 || parts->host[0] == '%')
        return TARGET_ERROR_EMPTY_HOST;
    if (memchr(parts->host, '[', parts->host_length) != NULL ||
        memchr(parts->host, ']', parts->host_length) != NULL)
        return TARGET_ERROR_BRACKET;
    return parts->host_length < TARGET_HOST_BYTES ? TARGET_OK : TARGET_ERROR_HOST_TOO_LONG;
}

static enum target_error parse_port(const char *text, uint64_t *port)
{
    if (text == NULL)
        return TARGET_OK;
    if (*text == '\0')
        return TARGET_ERROR_EMPTY_PORT;
    return number_parse(text, 1, UINT16_MAX, port) == 0 ? TARGET_OK : TARGET_ERROR_PORT;
}

enum target_error target_parse(const char *text, uint16_t default_port, struct target *target)
{
    struct parts parts = {0};
    uint64_t port = default_port;
    enum target_error error = TARGET_OK;

    if (text[0] == '[')
        error = split_bracketed(text, &parts);
    else
        split_bare(text, &parts);
    if (error == TARGET_OK)
        error = check_host(&parts);
    if (error == TARGET_OK)
        error = parse_port(parts.port, &port);
    if (error != TARGET_OK)
        return error;

    memcpy(target->host, parts.host, parts.host_length);
    target->host[parts.host_length] = '\0';
    target->port = (uint16_t)port;
    return TARGET_OK;
}

const char *target_error_text(enum target_error error)
{
    switch (error) {
    case TARGET_OK:
        return "no error";
#define TARGET_ERROR_TEXT(name, text)                                                              \
    case TARGET_ERROR_##name:                                                                      \
        return text;
        TARGET_ERRORS(TARGET_ERROR_TEXT)
#undef TARGET_ERROR_TEXT
    }
    return "unknown error";
}

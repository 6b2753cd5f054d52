/* SPDX-License-Identifier: Apache-2.0 */
#include "net/target.h"

#include <string.h>

#include "base/number.h"

enum target_error target_parse(const char *text, uint16_t default_port, struct target *target)
{
    const char *host = text, *port_text = NULL, *colon = strchr(text, ':');
    size_t length = strlen(text);
    uint64_t port = default_port;

    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL)
            return TARGET_ERROR_BRACKET;
        if (end[1] != '\0' && end[1] != ':')
            return TARGET_ERROR_AFTER_BRACKET;
        host = text + 1;
        length = (size_t)(end - host);
        port_text = end[1] == ':' ? end + 2 : NULL;
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        length = (size_t)(colon - text);
        port_text = colon + 1;
    }
    if (length == 0 || host[0] == '%')
        return TARGET_ERROR_EMPTY_HOST;
    if (memchr(host, '[', length) != NULL || memchr(host, ']', length) != NULL)
        return TARGET_ERROR_BRACKET;
    if (length >= TARGET_HOST_BYTES)
        return TARGET_ERROR_HOST_TOO_LONG;
    if (port_text != NULL && *port_text == '\0')
        return TARGET_ERROR_EMPTY_PORT;
    if (port_text != NULL && number_parse(port_text, 1, UINT16_MAX, &port) != 0)
        return TARGET_ERROR_PORT;

    memcpy(target->host, host, length);
    target->host[length] = '\0';
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

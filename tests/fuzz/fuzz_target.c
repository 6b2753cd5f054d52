/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Target names. Oracle: an independent statement of which texts are targets, and what their host
 * and port are, by looking at the text as a whole.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "net/target.h"
#include "support/check.h"

#define DEFAULT_PORT 7600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What stands behind the last colon as a port; 0: it is none. */
static unsigned model_port(const char *text)
{
    unsigned port = 0;
    if (*text == '\0')
        return 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        port = port * 10 + (unsigned)(*text - '0');
        if (port > 65535)
            return 0;
    }
    return port;
}

static size_t count(const char *text, char wanted)
{
    size_t found = 0;
    for (; *text != '\0'; text++)
        found += *text == wanted;
    return found;
}

/* Whether the text is a target; sets host (as a part of a copy, which is the caller's) and port. */
static bool model(char *copy, const char **host, unsigned *port)
{
    char *end = copy + strlen(copy);
    *host = copy;
    *port = DEFAULT_PORT;
    if (*copy == '[') {
        end = strchr(copy, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        if (end[1] == ':')
            *port = model_port(end + 2);
        *host = copy + 1;
    } else if (count(copy, ':') == 1) {
        end = strchr(copy, ':');
        *port = model_port(end + 1);
    }
    *end = '\0';
    return *port != 0 && **host != '\0' && **host != '%' && count(*host, '[') == 0 &&
           count(*host, ']') == 0 && strlen(*host) < TARGET_HOST_BYTES;
}

/* What was read and written again reads the same. */
static void check_again(const struct target *target)
{
    char text[TARGET_HOST_BYTES + 16];
    struct target again;

    snprintf(text, sizeof text, "[%s]:%u", target->host, target->port);
    CHECK(target_parse(text, 1, &again) == TARGET_OK);
    CHECK(strcmp(again.host, target->host) == 0 && again.port == target->port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct target target, untouched;
    char *text = strndup(size > 0 ? (const char *)data : "", size);
    char *copy = text != NULL ? strdup(text) : NULL;
    const char *host;
    unsigned port;

    CHECK(copy != NULL);
    memset(&target, 0x55, sizeof target);
    untouched = target;
    enum target_error error = target_parse(text, DEFAULT_PORT, &target);
    CHECK((error == TARGET_OK) == model(copy, &host, &port));
    if (error == TARGET_OK) {
        CHECK(strcmp(target.host, host) == 0 && target.port == port);
        check_again(&target);
    } else {
        CHECK(memcmp(&target, &untouched, sizeof target) == 0);
        CHECK(strlen(target_error_text(error)) > 0);
    }
    free(copy);
    free(text);
    return 0;
}

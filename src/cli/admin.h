/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What commands ask the admin server of a service on this host.
 */
#ifndef PADDOCK_CLI_ADMIN_H
#define PADDOCK_CLI_ADMIN_H

#include <jansson.h>

#include "config/field.h"
#include "net/target.h"

/** Room for what admin_ask() says. */
#define ADMIN_FAILURE_BYTES 160

/** struct target: a host, and a port that is 8000 unless it is named. */
extern const struct field_type admin_type;

/** The row of --admin. */
#define OPTION_ADMIN(type_, member)                                                                \
    {                                                                                              \
        .flag = "admin", .help = "where the service answers HTTP", .placeholder = "ADDRESS",       \
        .default_text = "127.0.0.1:8000", .kind = FIELD_CUSTOM, .type = &admin_type,               \
        FIELD_AT(type_, member)                                                                    \
    }

/** Asks for a JSON document; blocks for some seconds at most.
 * @param what of the document, behind "tells no".
 * @param[out] failure set where there is none.
 * @return a reference of the caller's, or NULL. */
json_t *admin_ask(const struct target *admin, const char *path, const char *what,
                  char failure[ADMIN_FAILURE_BYTES]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Questions of commands to the admin server of a service on this host.
 */
#ifndef PADDOCK_CLI_ADMIN_CLIENT_H
#define PADDOCK_CLI_ADMIN_CLIENT_H

#include <jansson.h>

#include "config/field.h"
#include "net/target.h"

/** struct target: where a service serves HTTP. */
extern const struct field_type admin_target_type;

/** The option of a command for it. */
#define OPTION_ADMIN(struct_type, member)                                                          \
    {                                                                                              \
        .flag = "admin", .help = "where the proxy serves HTTP", .placeholder = "ADDRESS",          \
        .default_text = "127.0.0.1:8000", .kind = FIELD_CUSTOM, .type = &admin_target_type,        \
        FIELD_AT(struct_type, member)                                                              \
    }

#define ADMIN_FAILURE_BYTES 160

/** Asks for a path that answers JSON. Blocks, for seconds at most.
 * @param[out] failure what is wrong, where there is no answer.
 * @return a reference of the caller's; NULL: there is none. */
json_t *admin_ask(const struct target *admin, const char *path, char failure[ADMIN_FAILURE_BYTES]);

#endif

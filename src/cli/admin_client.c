/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/admin_client.h"

#include <errno.h>
#include <stdio.h>

#include "cli/fetch.h"

#define ADMIN_PORT 8000
#define MOST_BYTES ((size_t)64 << 20)

static int parse_admin(const char *text, void *value)
{
    return target_parse(text, ADMIN_PORT, value) == TARGET_OK ? 0 : -1;
}

const struct field_type admin_target_type = {
    .parse = parse_admin, .expected = "an address and a port, such as 127.0.0.1:8000"};

json_t *admin_ask(const struct target *admin, const char *path, char failure[ADMIN_FAILURE_BYTES])
{
    json_t *json = NULL;
    int code = fetch_json(admin, path, MOST_BYTES, 0, &json);

    if (code != 0)
        snprintf(failure, ADMIN_FAILURE_BYTES,
                 code == -ENOTCONN ? "nothing answers at %.64s, port %u"
                                   : "what answers at %.64s, port %u, does not tell",
                 admin->host, (unsigned)admin->port);
    return json;
}

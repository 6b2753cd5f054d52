/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A JSON document from a server of HTTP.
 */
#ifndef PADDOCK_CLI_FETCH_H
#define PADDOCK_CLI_FETCH_H

#include <jansson.h>

#include "net/target.h"

/** Seconds for an answer at most. */
#define FETCH_SECONDS 5

/**
 * Asks a server for a document, by HTTP/1.0. Blocks, #FETCH_SECONDS for each address of its name.
 * @param path with its query.
 * @param most_bytes of the answer, in about; a longer one is none.
 * @param flags of json_loads().
 * @param[out] json the caller's; untouched on failure.
 * @return 0; -ENOTCONN: nothing answers; -EPROTO: the answer is no document, or no JSON.
 */
int fetch_json(const struct target *from, const char *path, size_t most_bytes, size_t flags,
               json_t **json);

#endif

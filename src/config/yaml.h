/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * One YAML document as a tree whose every node knows where it stands. JSON text is YAML text. A
 * bounded subset: depth, numbers of nodes and the memory for them have limits, also with aliases,
 * which are resolved. Tags, merge keys, several documents, duplicate keys and keys that are no
 * short plain text are refused.
 */
#ifndef PADDOCK_CONFIG_YAML_H
#define PADDOCK_CONFIG_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define YAML_MAX_BYTES 16777216
#define YAML_MAX_BLANK_LINES 256
#define YAML_MAX_DEPTH 32
#define YAML_MAX_NODES 300000
#define YAML_MAX_KEY_BYTES 255

/** What a node is; of scalars by the core schema of YAML 1.2, save that infinity and not-a-number
 * are text. */
enum yaml_type {
    YAML_NULL,
    YAML_BOOLEAN,
    YAML_INTEGER,
    YAML_FLOAT,
    YAML_TEXT,
    YAML_LIST,
    YAML_MAP
};

/** One value, or the key of one. Belongs to its document; read only. */
struct yaml_node {
    enum yaml_type type;
    unsigned line;                /**< from 1 */
    unsigned column;              /**< from 1, in characters */
    bool is_quoted;               /**< a scalar that is text because of its quotes or its block */
    const struct yaml_node *key;  /**< in a map: its key, a scalar */
    const struct yaml_node *next; /**< of the same list or map */
    struct yaml_node *first;      /**< of a list or map */
    struct yaml_node *older;      /**< for yaml_fini() */
    char text[];                  /**< of a scalar, as written, without quotes; valid UTF-8 */
};

struct yaml_document {
    const struct yaml_node *root; /**< NULL: nothing but comments */
    struct yaml_node *newest;     /**< for yaml_fini() */
};

/**
 * Reads a whole text. Allocates; never blocks.
 *
 * @param text borrowed during the call; need not be terminated.
 * @param[out] document to be released by yaml_fini(); untouched on failure.
 * @param[out] error    set on failure: `LINE:COLUMN: ...`, the line being one of the text.
 * @return 0, or a negative errno value.
 */
int yaml_parse(const char *text, size_t bytes, struct yaml_document *document, struct error *error);

/** Releases the nodes. A zeroed document is fine. */
void yaml_fini(struct yaml_document *document);

/** The value of a map under a name, or NULL. */
const struct yaml_node *yaml_find(const struct yaml_node *map, const char *name);

/** The tree as JSON, a reference of the caller's; integers beyond 64 bits become floating-point
 * numbers. NULL without memory. */
json_t *yaml_to_json(const struct yaml_node *node);

#endif

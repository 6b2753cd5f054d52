/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A tree under construction, for those who read a text: libfyaml's events, or JSON.
 */
#ifndef PADDOCK_CONFIG_YAML_READER_H
#define PADDOCK_CONFIG_YAML_READER_H

#include <stdint.h>

#include "config/yaml.h"
#include "config/yaml_scan.h"

#define READER_MAX_ANCHORS 256

/* A list or map that is not complete yet. */
struct frame {
    struct yaml_node *container;
    struct yaml_node *last;
    struct yaml_node *key; /* waits for its value */
    size_t count;
    size_t anchor; /* its number, plus 1; 0: it has none */
};

/* What aliases may stand for. */
struct anchor {
    char *name;
    const struct yaml_node *node;
    bool is_complete;
};

struct reader {
    struct yaml_document document;
    struct error *error;
    struct frame frames[YAML_MAX_DEPTH];
    unsigned depth;
    unsigned documents;
    size_t nodes;
    size_t copied_bytes; /* of text, for aliases */
    struct anchor anchors[READER_MAX_ANCHORS];
    size_t anchors_count;
    struct yaml_scan scan;
    unsigned lines;        /* of the whole text */
    unsigned line, column; /* of the event under way; of the one before where it has no token */
};

/** Says what is wrong at reader.line and reader.column. @return -EINVAL. */
int reader_fail(struct reader *reader, const char *text);

/** A node at reader.line and reader.column, of the document; not in its place yet. NULL with an
 * error.
 */
struct yaml_node *reader_node_new(struct reader *reader, const char *text, size_t bytes);

/** The type of a plain scalar. */
enum yaml_type reader_plain_type(const char *text);

/** Puts a node where the next one belongs. @return 0 or -EINVAL. */
int reader_place(struct reader *reader, struct yaml_node *node);

/** Opens a list or a map. @param anchor its number, plus 1; 0: it has none. @return 0 or -EINVAL.
 */
int reader_open(struct reader *reader, enum yaml_type type, size_t anchor);

/** Closes the innermost list or map, and checks its keys. @return 0 or -EINVAL. */
int reader_close(struct reader *reader);

/** What is known of an anchor's node from now on. @param anchor as in reader_open(). */
void reader_complete_anchor(struct reader *reader, size_t anchor, const struct yaml_node *node);

/**
 * Reads strict JSON (RFC 8259) text.
 * @return 0; 1: it is no JSON text, and the document is empty again; or a negative value with an
 * error.
 */
int yaml_json_read(struct reader *reader, const char *text, size_t bytes);

#endif

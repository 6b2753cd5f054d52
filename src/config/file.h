/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The configuration file: found and read.
 */
#ifndef PADDOCK_CONFIG_FILE_H
#define PADDOCK_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/** The path of the default file number @p index, from 0, in the order in which they are looked for;
 * NULL behind the last. */
const char *file_default_path(unsigned index);

/**
 * Finds the file that was given, or the first default one that exists, and reads it.
 *
 * @param[in,out] file its path, identity and is_loaded are set.
 * @param[out] text for free(); NULL: there is no default file.
 * @return 0; or a negative errno value with an error that starts with the path.
 */
int file_read(struct config_file *file, char **text, size_t *bytes, struct error *error);

/** Tables that share the root of a file. */
struct file_tables {
    const struct field_table *items;
    size_t count;
};

/** Reads a text into the structs of tables.
 * @param[in,out] file its path is how errors call it; is_empty is set.
 * @return 0; or a negative errno value with `FILE:LINE:COLUMN: KEY: ...`. */
int file_apply(struct config_file *file, const char *text, size_t bytes,
               const struct file_tables *tables, struct error *error);

#endif

/** @file
 * The configuration file: found, read, and applied to a configuration.
 */
#ifndef PADDOCK_CONFIG_FILE_H
#define PADDOCK_CONFIG_FILE_H

#include <stddef.h>

#include "config/config.h"

/** The path of the default file number @p index, from 0, in the order in which they are looked for;
 * NULL behind the last. */
const char *file_default_path(unsigned index);

/**
 * Finds the file of a configuration (config.file if one was given, otherwise the first default one
 * that exists) and applies it.
 *
 * @param config may be half changed on failure: hand in one that nobody uses yet.
 * @param[out] report set on failure, as of #CONFIG_BAD_FILE; the error starts with the path.
 * @return 0, also if there is no default file; otherwise -1.
 */
int file_load(struct config *config, struct config_report *report);

/** The text of a file, and how messages call it. */
struct file_text {
    const char *name;
    const char *text; /**< need not be terminated */
    size_t bytes;
};

/** As file_load(), with a text that was read already. A text without keys is fine, and noted if
 * there is nothing but comments in it.
 * @param[out] error as that of the report. */
int file_apply(struct config *config, const struct file_text *file, char error[CONFIG_ERROR_BYTES]);

#endif

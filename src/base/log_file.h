/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Log lines in files of one hour each: PREFIX.YYYY-MM-DD-HH in a folder, by UTC. The newest five
 * are kept. A thread of its own writes, so that no disk holds up the caller.
 */
#ifndef PADDOCK_BASE_LOG_FILE_H
#define PADDOCK_BASE_LOG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/** Files that are kept. */
#define LOG_FILE_KEPT 5
/** Bytes that wait to be written at most; what is beyond is lost. */
#define LOG_FILE_QUEUE_BYTES (1 << 20)

/** The time of a line: Unix nanoseconds, UTC. Called by any thread. */
typedef int64_t (*log_clock_fn)(void *user);

struct log_file;

struct log_file_options {
    const char *folder; /**< is made if it is missing; its parent has to be there */
    const char *prefix; /**< a name without a slash, at most 200 bytes */
    log_clock_fn clock; /**< NULL: clock_wall_ns() */
    void *user;         /**< for the clock */
};

/**
 * Opens the file of this hour and starts the thread. Lines of a later hour stay in the last file
 * that could be opened where theirs cannot. Blocks and allocates.
 * @param[out] file ended with log_file_close(); untouched on failure.
 * @return 0 or a negative errno value with the error set.
 */
int log_file_open(struct log_file **file, const struct log_file_options *options,
                  struct error *error);

/** Lets a line be written. Thread-safe; does not wait for a disk.
 * @return false when there is no room: the line is lost. */
bool log_file_write(struct log_file *file, const char *line, size_t bytes);

/** Writes what waits, ends the thread and frees. NULL is fine. Blocks. */
void log_file_close(struct log_file *file);

#endif

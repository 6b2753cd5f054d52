/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Whether a file is still the one that was looked at, with the same contents.
 */
#ifndef PADDOCK_BASE_FILE_IDENTITY_H
#define PADDOCK_BASE_FILE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

/** Which file, and how it was. A zeroed one stands for no file. */
struct file_identity {
    bool exists;
    dev_t device;
    ino_t inode;
    off_t size_bytes;
    mode_t mode;
    uid_t owner;
    gid_t group;
    int64_t modified_ns, changed_ns; /**< Unix nanoseconds: of the contents, of anything about it */
};

/** The identity of a file by what stat(2) or fstat(2) says. */
struct file_identity file_identity_of(const struct stat *status);

/** The identity of what a path leads to; no file if that cannot be told. */
struct file_identity file_identity_read(const char *path);

/** Whether two are the same, and unchanged. */
bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_identity.h"

static int64_t nanoseconds(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

struct file_identity file_identity_of(const struct stat *status)
{
    return (struct file_identity){.exists = true,
                                  .device = status->st_dev,
                                  .inode = status->st_ino,
                                  .size_bytes = status->st_size,
                                  .mode = status->st_mode,
                                  .owner = status->st_uid,
                                  .group = status->st_gid,
                                  .modified_ns = nanoseconds(&status->st_mtim),
                                  .changed_ns = nanoseconds(&status->st_ctim)};
}

struct file_identity file_identity_read(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? file_identity_of(&status) : (struct file_identity){0};
}

bool file_identity_equal(const struct file_identity *a, const struct file_identity *b)
{
    return a->exists == b->exists && a->device == b->device && a->inode == b->inode &&
           a->size_bytes == b->size_bytes && a->mode == b->mode && a->owner == b->owner &&
           a->group == b->group && a->modified_ns == b->modified_ns &&
           a->changed_ns == b->changed_ns;
}

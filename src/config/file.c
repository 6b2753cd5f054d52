/* SPDX-License-Identifier: Apache-2.0 */
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "config/yaml.h"

#define NAME_BYTES 384 /* of a path in a message */
#define STEP_BYTES 65536

const char *file_default_path(unsigned index)
{
    static const char *const paths[] = {"quilkin.yaml", "/etc/quilkin/quilkin.yaml"};

    return index < sizeof paths / sizeof paths[0] ? paths[index] : NULL;
}

/* A pipe must not make the start wait: hence non-blocking. */
static int file_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    return fd >= 0 ? fd : -errno;
}

/* A pipe that the caller of the program has opened is one to wait for; any other may have no
 * writer.
 */
static bool is_own_pipe(const char *path, const struct stat *status)
{
    return S_ISFIFO(status->st_mode) &&
           (strcmp(path, "/dev/stdin") == 0 || strncmp(path, "/dev/fd/", strlen("/dev/fd/")) == 0);
}

/* Up to one byte more than a file may have, so that what grew is noticed; with as much memory as
 * the file needs. */
static int read_all(int fd, size_t expected, char **text, size_t *bytes)
{
    size_t capacity = expected + 1, length = 0;
    char *buffer = malloc(capacity);

    while (buffer != NULL && length <= YAML_MAX_BYTES) {
        if (length == capacity) {
            capacity += capacity < STEP_BYTES ? STEP_BYTES : capacity;
            char *larger = realloc(buffer, capacity);
            if (larger == NULL)
                break;
            buffer = larger;
        }
        ssize_t got = read(fd, buffer + length, capacity - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int error = got < 0 ? -errno : 0;
            if (error != 0)
                free(buffer);
            *text = error == 0 ? buffer : NULL;
            *bytes = length;
            return error;
        }
        length += (size_t)got;
    }
    if (length <= YAML_MAX_BYTES) {
        free(buffer);
        return -ENOMEM;
    }
    *text = buffer;
    *bytes = length;
    return 0;
}

int file_read(struct config_file *file, char **text, size_t *bytes, struct error *error)
{
    const char *path = file->path;
    char shown[NAME_BYTES];
    struct stat status;
    int fd = file->is_given ? file_open(path) : -ENOENT;

    for (unsigned i = 0; !file->is_given && (fd == -ENOENT || fd == -ENOTDIR); i++) {
        path = file_default_path(i);
        if (path == NULL)
            return 0;
        fd = file_open(path);
    }
    text_escape(path, shown, sizeof shown);
    if (path != file->path)
        snprintf(file->path, sizeof file->path, "%s", path);
    if (fd < 0)
        return error_system(error, fd, "%s: cannot be read", shown);

    int result = fstat(fd, &status) == 0 ? 0 : -errno;
    if (result == 0 && is_own_pipe(path, &status))
        result = fcntl(fd, F_SETFL, 0) == 0 ? 0 : -errno;
    else if (result == 0 && !S_ISREG(status.st_mode))
        result = -EISDIR;
    if (result == 0) {
        file->is_loaded = true;
        file->identity = file_identity_of(&status); /* before it is read: see daemon/watch.h */
        result =
            read_all(fd, status.st_size > YAML_MAX_BYTES ? YAML_MAX_BYTES : (size_t)status.st_size,
                     text, bytes);
    }
    close(fd);
    if (result == -EISDIR)
        return error_set(error, result, "%s: cannot be read: not a regular file", shown);
    return result == 0 ? 0 : error_system(error, result, "%s: cannot be read", shown);
}

int file_apply(struct config_file *file, const char *text, size_t bytes,
               const struct file_tables *tables, struct error *error)
{
    struct yaml_document document = {0};
    struct error problem = {0};
    char shown[NAME_BYTES];

    int result = yaml_parse(text, bytes, &document, &problem);
    file->is_empty = result == 0 && document.root == NULL;
    if (result == 0 && document.root != NULL && document.root->type != YAML_NULL)
        result = field_parse_trees(tables->items, tables->count, document.root, &problem);
    yaml_fini(&document);
    if (result == 0)
        return 0;
    text_escape(file->path, shown, sizeof shown);
    return error_set(error, result, "%s:%s", shown, problem.text);
}

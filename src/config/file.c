#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "config/apply.h"
#include "config/yaml.h"

#define NAME_BYTES 384 /* of a path in a message */

const char *file_default_path(unsigned index)
{
    static const char *const paths[] = {"quilkin.yaml", "/etc/quilkin/quilkin.yaml"};

    return index < sizeof paths / sizeof paths[0] ? paths[index] : NULL;
}

static int fail(char error[CONFIG_ERROR_BYTES], const char *path, const char *why)
{
    char shown[NAME_BYTES];

    text_escape(path, shown, sizeof shown);
    snprintf(error, CONFIG_ERROR_BYTES, "%s: %s", shown, why);
    return -1;
}

static int fail_reading(char error[CONFIG_ERROR_BYTES], const char *path, int os_error)
{
    char why[128];

    snprintf(why, sizeof why, "cannot be read: %s", strerrordesc_np(os_error));
    return fail(error, path, why);
}

/* Up to one byte more than a file may have, so that what grew is noticed. The length, or a negative
 * errno value. */
static ssize_t read_bytes(int fd, char *text)
{
    size_t length = 0;

    while (length < YAML_MAX_BYTES + 1) {
        ssize_t bytes = read(fd, text + length, YAML_MAX_BYTES + 1 - length);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return -errno;
        if (bytes == 0)
            break;
        length += (size_t)bytes;
    }
    return (ssize_t)length;
}

static int apply_fd(struct config *config, int fd, const char *path, char error[CONFIG_ERROR_BYTES])
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return fail_reading(error, path, errno);
    if (!S_ISREG(status.st_mode))
        return fail(error, path, "cannot be read: not a regular file");
    config->file_identity = file_identity_of(&status); /* before it is read: see daemon/watch.h */
    char *text = malloc(YAML_MAX_BYTES + 1);
    if (text == NULL)
        return fail(error, path, "out of memory");
    ssize_t length = read_bytes(fd, text);
    struct file_text file = {.name = path, .text = text, .bytes = length > 0 ? (size_t)length : 0};
    int result =
        length < 0 ? fail_reading(error, path, (int)-length) : file_apply(config, &file, error);
    free(text);
    return result;
}

/* A pipe must not make the start wait: hence non-blocking. */
static int file_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    return fd >= 0 ? fd : -errno;
}

static bool is_missing(int fd)
{
    return fd == -ENOENT || fd == -ENOTDIR;
}

int file_apply(struct config *config, const struct file_text *file, char error[CONFIG_ERROR_BYTES])
{
    struct yaml_document document = {0};
    struct yaml_error problem = {0};
    char shown[NAME_BYTES];

    int result = yaml_parse(file->text, file->bytes, &document, &problem);
    if (result == 0)
        result = apply_tree(config, document.root, &problem);
    config->file_empty = result == 0 && document.root == NULL;
    yaml_fini(&document);
    if (result == 0)
        return 0;
    text_escape(file->name, shown, sizeof shown);
    snprintf(error, CONFIG_ERROR_BYTES, "%s:%u:%u: %s", shown, problem.line, problem.column,
             problem.text);
    return -1;
}

int file_load(struct config *config, struct config_report *report)
{
    const char *path = config->file;
    int fd = config->file_given ? file_open(path) : -ENOENT;

    for (unsigned i = 0; !config->file_given && is_missing(fd); i++) {
        path = file_default_path(i);
        if (path == NULL)
            return 0;
        fd = file_open(path);
    }
    report->is_passing = fd == -EMFILE || fd == -ENFILE;
    if (fd < 0)
        return fail_reading(report->error, path, -fd);
    if (path != config->file)
        snprintf(config->file, sizeof config->file, "%s", path);
    config->file_loaded = true;
    int result = apply_fd(config, fd, config->file, report->error);
    close(fd);
    return result;
}

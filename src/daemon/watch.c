#include "daemon/watch.h"

#include <errno.h>
#include <libgen.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Not IN_CREATE: a file that was just made has nothing in it yet. */
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO)

static int watch_directory_of(const struct watch *watch, const char *path)
{
    char copy[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof copy) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(copy, path, length + 1);
    return inotify_add_watch(watch->fd, dirname(copy), EVENTS | IN_ONLYDIR);
}

/* The second directory is another one after the swap of a link; the kernel gives the same number
 * for one that is watched already. */
static void watch_target(struct watch *watch)
{
    if (realpath(watch->path, watch->target) == NULL)
        return;
    int directory = watch_directory_of(watch, watch->target);
    if (directory == watch->directories[1])
        return;
    if (watch->directories[1] >= 0 && watch->directories[1] != watch->directories[0])
        inotify_rm_watch(watch->fd, watch->directories[1]);
    watch->directories[1] = directory;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Somebody who writes another file beside it must not make us read ours while it is half written. A
 * rename may be of a link on the way to it, whatever its name. */
static bool is_about(const struct watch *watch, const struct inotify_event *event)
{
    if (event->mask & (IN_MOVED_TO | IN_Q_OVERFLOW))
        return true;
    return event->len > 0 && (strcmp(event->name, base_name(watch->path)) == 0 ||
                              strcmp(event->name, base_name(watch->target)) == 0);
}

static bool drain(const struct watch *watch)
{
    alignas(struct inotify_event) char events[4096];
    bool found = false;
    ssize_t bytes;
    while ((bytes = read(watch->fd, events, sizeof events)) > 0) {
        for (ssize_t at = 0; at < bytes;) {
            const struct inotify_event *event = (const void *)(events + at);
            found = found || is_about(watch, event);
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
    return found;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Notes how the file is now. Returns whether it was otherwise. */
static bool look(struct watch *watch)
{
    struct stat now;
    watch_target(watch);
    if (stat(watch->path, &now) != 0)
        return false;
    bool changed = !watch->exists || !same_file(&now, &watch->last);
    watch->exists = true;
    watch->last = now;
    return changed;
}

int watch_open(struct watch *watch, const char *path)
{
    *watch = (struct watch){.fd = -1, .directories = {-1, -1}};
    size_t length = strlen(path);
    if (length >= sizeof watch->path)
        return -ENAMETOOLONG;
    memcpy(watch->path, path, length + 1);
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0)
        return -errno;
    watch->directories[0] = watch_directory_of(watch, path);
    if (watch->directories[0] < 0) {
        int error = -errno;
        close(watch->fd);
        return error;
    }
    look(watch);
    return 0;
}

void watch_close(struct watch *watch)
{
    close(watch->fd);
}

bool watch_changed(struct watch *watch)
{
    return drain(watch) && look(watch);
}

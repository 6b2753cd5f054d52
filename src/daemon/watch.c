#include "daemon/watch.h"

#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Links and directories are there at once when they are made; a file has nothing in it yet. */
#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE)

/* Where a directory is under watch already, the kernel clears the events for a moment before it
 * sets them anew, and a rename in that moment is lost for good; to add them again leaves them as
 * they are. */
#define ADD_WATCH (EVENTS | IN_ONLYDIR | IN_MASK_ADD)

/* Changes during one look that are followed; those after them wake the caller again. */
#define MAX_ROUNDS 16

/* A resolution under way: `at` is a directory without links in it, `rest` is what to look up there.
 */
struct walk {
    int fd;
    struct watch_step steps[WATCH_MAX_STEPS];
    unsigned steps_count, links;
    char at[PATH_MAX], rest[PATH_MAX];
};

/* Puts `text` and what follows it into a path. */
static int join(char path[PATH_MAX], const char *text, const char *separator, const char *behind)
{
    char joined[PATH_MAX];
    int length = snprintf(joined, sizeof joined, "%s%s%s", text, separator, behind);
    if (length < 0 || (size_t)length >= sizeof joined)
        return -ENAMETOOLONG;
    memcpy(path, joined, (size_t)length + 1);
    return 0;
}

/* Takes the next name off the rest; empty at its end. */
static int take_name(struct walk *walk, char name[NAME_MAX + 1])
{
    const char *begin = walk->rest + strspn(walk->rest, "/");
    size_t length = strcspn(begin, "/");
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, begin, length);
    name[length] = '\0';
    memmove(walk->rest, begin + length, strlen(begin + length) + 1);
    return 0;
}

static int watch_name(struct walk *walk, const char *name)
{
    if (walk->steps_count == WATCH_MAX_STEPS)
        return -ENAMETOOLONG;
    struct watch_step *step = &walk->steps[walk->steps_count];
    step->directory = inotify_add_watch(walk->fd, walk->at, ADD_WATCH);
    if (step->directory < 0)
        return -errno;
    memcpy(step->name, name, strlen(name) + 1);
    walk->steps_count++;
    return 0;
}

static int follow(struct walk *walk, const char *target)
{
    if (walk->links++ == WATCH_MAX_LINKS)
        return -ELOOP;
    if (target[0] == '/')
        memcpy(walk->at, "/", 2);
    return join(walk->rest, target, "/", walk->rest);
}

/* Goes on to a name, if it is there. What is no directory ends the walk with the next one. */
static int enter(struct walk *walk, const char *name)
{
    char path[PATH_MAX], target[PATH_MAX];
    int error = join(path, walk->at, "/", name);
    if (error != 0)
        return error;
    ssize_t bytes = readlink(path, target, sizeof target - 1);
    if (bytes < 0 && errno != EINVAL)
        return -errno;
    if (bytes < 0)
        return join(walk->at, path, "", "");
    target[bytes] = '\0';
    return follow(walk, target);
}

static bool is_missing(int error)
{
    return error == -ENOENT || error == -ENOTDIR;
}

/* A directory that cannot be watched may still lead to others that can. Ends, because names come
 * back only with links. */
static int walk_path(struct walk *walk)
{
    char name[NAME_MAX + 1];
    int first = 0, error;
    while ((error = take_name(walk, name)) == 0 && name[0] != '\0') {
        error = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? 0 : watch_name(walk, name);
        if (first == 0 && !is_missing(error))
            first = error;
        error = enter(walk, name);
        if (error != 0)
            break;
    }
    return first == 0 && !is_missing(error) ? error : first;
}

static bool has_directory(const struct watch_step *steps, unsigned count, int directory)
{
    for (unsigned i = 0; i < count; i++) {
        if (steps[i].directory == directory)
            return true;
    }
    return false;
}

/* The system has no room for another watch, but may have later. */
static bool is_short(int error)
{
    return error == -ENOSPC || error == -ENOMEM || error == -EMFILE;
}

/* Watches what is on the way now, and no longer what was; but what was stays where the system has
 * no room for what is. */
static int resolve(struct watch *watch)
{
    struct walk walk = {.fd = watch->fd};
    memcpy(walk.at, watch->path[0] == '/' ? "/" : ".", 2);
    memcpy(walk.rest, watch->path, sizeof walk.rest);
    int error = walk_path(&walk);
    watch->is_incomplete = is_short(error);
    if (watch->is_incomplete)
        return error;
    for (unsigned i = 0; i < watch->steps_count; i++) {
        int directory = watch->steps[i].directory;
        if (!has_directory(walk.steps, walk.steps_count, directory))
            inotify_rm_watch(watch->fd, directory);
    }
    memcpy(watch->steps, walk.steps, sizeof watch->steps);
    watch->steps_count = walk.steps_count;
    return error;
}

/* Of an event: another name, the last name was made (a file, which somebody is still writing, or a
 * link), or anything else on the way. */
enum news {
    NEWS_NONE,
    NEWS_MADE,
    NEWS_CHANGE
};

/* Somebody who writes another file beside it must not make us read ours while it is half written.
 */
static enum news news_of(const struct watch *watch, const struct inotify_event *event)
{
    enum news news = event->mask & IN_Q_OVERFLOW ? NEWS_CHANGE : NEWS_NONE;
    for (unsigned i = 0; i < watch->steps_count && event->len > 0; i++) {
        const struct watch_step *step = &watch->steps[i];
        bool is_last = i + 1 == watch->steps_count;
        if (step->directory != event->wd || strcmp(step->name, event->name) != 0)
            continue;
        if (!is_last || (event->mask & (IN_CREATE | IN_ISDIR)) != IN_CREATE)
            return NEWS_CHANGE;
        news = NEWS_MADE;
    }
    return news;
}

static enum news drain(const struct watch *watch)
{
    alignas(struct inotify_event) char events[4096];
    enum news most = NEWS_NONE;
    ssize_t bytes;
    while ((bytes = read(watch->fd, events, sizeof events)) > 0) {
        for (ssize_t at = 0; at < bytes;) {
            const struct inotify_event *event = (const void *)(events + at);
            enum news news = news_of(watch, event);
            most = news > most ? news : most;
            at += (ssize_t)(sizeof *event + event->len);
        }
    }
    return most;
}

/* Notes how the file is now. Returns whether it was otherwise. */
static bool look(struct watch *watch)
{
    struct file_identity now = file_identity_read(watch->path);
    if (!now.exists || file_identity_equal(&now, &watch->last))
        return false;
    watch->last = now;
    return true;
}

int watch_open(struct watch *watch, const char *path, const struct file_identity *known)
{
    *watch = (struct watch){.fd = -1, .is_new = true, .last = *known};
    size_t length = strlen(path);
    if (length >= sizeof watch->path)
        return -ENAMETOOLONG;
    memcpy(watch->path, path, length + 1);
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0)
        return -errno;
    return resolve(watch);
}

void watch_close(struct watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
}

/* What happens on the new way before it is watched is seen by the next walk: the events of a change
 * are read only when the way that it made is known, and followed by another look at the way. There
 * it also shows whether a link was made: the way is longer then. */
bool watch_changed(struct watch *watch)
{
    bool found = watch->is_new || watch->is_incomplete;
    bool made = false;
    watch->is_new = false;
    if (watch->fd < 0)
        return false;
    for (int i = 0; i < MAX_ROUNDS; i++) {
        unsigned before = watch->steps_count;
        resolve(watch);
        found = found || (made && watch->steps_count > before);
        enum news news = drain(watch);
        if (news == NEWS_NONE)
            return found && look(watch);
        found = found || news == NEWS_CHANGE;
        made = news == NEWS_MADE;
    }
    resolve(watch);
    return look(watch);
}

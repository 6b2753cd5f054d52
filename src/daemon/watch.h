/** @file
 * Notices that a path leads to another file, or to another content: written in place, replaced by a
 * rename, or by the swap of a directory or symbolic link anywhere on the way to it, as Kubernetes
 * does it for a ConfigMap.
 *
 * A path is resolved name by name, and each directory in which one of these names is looked up is
 * under watch; where a name is missing, so is the directory in which it may appear.
 */
#ifndef PADDOCK_DAEMON_WATCH_H
#define PADDOCK_DAEMON_WATCH_H

#include <limits.h>
#include <stdbool.h>

#include "base/file_identity.h"

/** Names and links on the way to a file; what lies behind further ones is not under watch. */
#define WATCH_MAX_STEPS 64
#define WATCH_MAX_LINKS 40

/** One name on the way. */
struct watch_step {
    int directory; /**< inotify's number of the directory in which it is looked up */
    char name[NAME_MAX + 1];
};

/** A path under watch. The members are its own affair, but the first two. */
struct watch {
    int fd; /**< readable when something may have changed; -1: there is nothing to wait for */
    bool is_incomplete; /**< the system had no room for all watches: to be looked at again soon */
    bool is_new;
    char path[PATH_MAX];
    struct watch_step steps[WATCH_MAX_STEPS];
    unsigned steps_count;
    struct file_identity last;
};

/**
 * Starts to watch a path; nothing on it need exist.
 * @param known the file as the caller has read it; zeroed: it found none.
 * @return 0, or a negative errno value: some changes are not noticed, because a directory cannot be
 *         watched or there are too many; the others are, if fd is not -1. watch_close() in any
 *         case.
 */
int watch_open(struct watch *watch, const char *path, const struct file_identity *known);

/** Stops. */
void watch_close(struct watch *watch);

/** Reads what has happened; to be called once after watch_open(), when fd is readable, and every
 * now and then while it is incomplete. A file
 * that somebody is still writing is not looked at before it is closed, but where it was found in a
 * directory that is new on the way.
 * @return whether the file is another one, or was changed, since the last call; at the first since
 *         the caller read it. A file that has gone is no change until there is one again. */
bool watch_changed(struct watch *watch);

#endif

/** @file
 * Notices that a file has changed: written in place, replaced by a rename, or by the swap of a
 * symbolic link on the way to it, as Kubernetes does it for a ConfigMap.
 */
#ifndef PADDOCK_DAEMON_WATCH_H
#define PADDOCK_DAEMON_WATCH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

/** A file under watch. The members are its own affair, but fd. */
struct watch {
    int fd; /**< readable when something may have changed */
    char path[PATH_MAX];
    char target[PATH_MAX]; /**< what it leads to; undefined until it has existed */
    int directories[2];    /**< of the path, and of the file it leads to */
    bool exists;
    struct stat last;
};

/** Starts to watch a file, which need not exist, but its directory must.
 * @return 0 or a negative errno value. */
int watch_open(struct watch *watch, const char *path);

/** Stops. */
void watch_close(struct watch *watch);

/** Reads what has happened; to be called when fd is readable. A file that somebody is still writing
 * is not looked at before it is closed.
 * @return whether the file is another one, or has other contents, than at the last call. A file
 * that has gone is no change until there is one again. */
bool watch_changed(struct watch *watch);

#endif

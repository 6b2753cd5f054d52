/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Notices that a path leads to another file, or to one that was changed. The truth is what stat(2)
 * says; inotify on the folder of the path only makes it look sooner.
 */
#ifndef PADDOCK_DAEMON_WATCH_H
#define PADDOCK_DAEMON_WATCH_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/file_identity.h"

/** A change is taken when two looks so far apart agree. */
#define WATCH_SETTLE_NS INT64_C(50000000)

/** A path under watch, in the caller's memory. The first member is for the caller to wait for. */
struct watch {
    int fd; /**< readable when there may be something to see; -1: inotify is not to be had */
    char path[PATH_MAX];
    struct file_identity known; /**< as the configuration was read from it */
    struct file_identity seen;  /**< at the last look */
    int64_t seen_ns;            /**< when it was first seen like that */
};

/** Starts to watch a path, which need not exist.
 * @param known the file as the caller has read it; zeroed: there was none. */
void watch_open(struct watch *watch, const char *path, const struct file_identity *known);

/** Stops. A zeroed one is fine. */
void watch_close(struct watch *watch);

/**
 * Looks at the path. To be called when fd is readable, every second, and #WATCH_SETTLE_NS after a
 * look that found something new.
 * @param now_ns monotonic.
 * @param[out] settling whether something new was seen that may not be complete yet.
 * @return whether the file is another one than the known, or was changed, and has settled. It is
 * the known one from then on. A file that is gone is no change until there is one again.
 */
bool watch_look(struct watch *watch, int64_t now_ns, bool *settling);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/watch.h"

#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM)

/* Each time, because the folder may be another one by now. IN_MASK_ADD leaves a watch that is there
 * as it is: without it the kernel clears its events for a moment, and what happens then is lost. */
static void watch_folder(struct watch *watch)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", watch->path);
    inotify_add_watch(watch->fd, dirname(path), EVENTS | IN_ONLYDIR | IN_MASK_ADD);
}

void watch_open(struct watch *watch, const char *path, const struct file_identity *known)
{
    *watch = (struct watch){
        .fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), .known = *known, .seen = *known};
    snprintf(watch->path, sizeof watch->path, "%s", path);
    if (watch->fd >= 0)
        watch_folder(watch);
}

void watch_close(struct watch *watch)
{
    if (watch->fd > 0)
        close(watch->fd);
    watch->fd = -1;
}

bool watch_look(struct watch *watch, int64_t now_ns, bool *settling)
{
    char events[4096];
    while (watch->fd >= 0 && read(watch->fd, events, sizeof events) > 0)
        ; /* what they say is seen below */
    if (watch->fd >= 0)
        watch_folder(watch);

    struct file_identity now = file_identity_read(watch->path);
    if (!file_identity_equal(&now, &watch->seen)) {
        watch->seen = now;
        watch->seen_ns = now_ns;
    }
    bool is_new = now.exists && !file_identity_equal(&now, &watch->known);
    bool has_settled = now_ns - watch->seen_ns >= WATCH_SETTLE_NS;
    *settling = is_new && !has_settled;
    if (is_new && has_settled)
        watch->known = now;
    return is_new && has_settled;
}

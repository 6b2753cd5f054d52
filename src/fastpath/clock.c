/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* As often as it takes for one of them not to be interrupted. */
#define READS 16

/* A date that never comes: the timer is there to be cancelled. */
#define NEVER_SECONDS (INT64_C(1) << 33)

int64_t fastpath_clock_offset_ns(void)
{
    int64_t best_ns = 0, closest_ns = INT64_MAX;
    for (int i = 0; i < READS; i++) {
        int64_t before_ns = clock_monotonic_ns();
        int64_t utc_ns = clock_wall_ns();
        int64_t apart_ns = clock_monotonic_ns() - before_ns;
        if (apart_ns < closest_ns) {
            closest_ns = apart_ns;
            best_ns = utc_ns - before_ns - apart_ns / 2;
        }
    }
    return best_ns;
}

int fastpath_clock_namespace_ns(int64_t *offset_ns)
{
    int64_t seconds = 0, nanoseconds = 0;
    FILE *file = fopen("/proc/self/timens_offsets", "re");

    if (file == NULL && errno != ENOENT)
        return -errno;
    if (file != NULL) {
        int found = fscanf(file, "monotonic %" SCNd64 " %" SCNd64, &seconds, &nanoseconds);
        fclose(file);
        if (found != 2)
            return -EBADMSG;
    }
    *offset_ns = seconds * INT64_C(1000000000) + nanoseconds;
    return 0;
}

static int arm(int fd)
{
    struct itimerspec never = {.it_value = {.tv_sec = NEVER_SECONDS}};
    int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    return timerfd_settime(fd, flags, &never, NULL) == 0 ? 0 : -errno;
}

int fastpath_clock_watch(void)
{
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int error = arm(fd);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

void fastpath_clock_rewatch(int fd)
{
    uint64_t expired;
    /* ECANCELED is what it is for, EAGAIN if nothing was set. */
    if (read(fd, &expired, sizeof expired) < 0 && errno == ECANCELED)
        arm(fd);
}

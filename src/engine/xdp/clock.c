#include "engine/xdp/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)

/* Between two reads of clocks passes less, but for a pause that makes them be read again. */
#define SKEW_NS INT64_C(10000000)
#define ATTEMPTS 100

/* A date that never comes: the timer is there to be cancelled. */
#define NEVER_SECONDS (INT64_C(1) << 33)

static int64_t read_ns(clockid_t id)
{
    struct timespec now = {0};
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* The kernel keeps whole seconds; what is beside them is the time between the two reads. */
int64_t xdp_clock_tai_offset_ns(void)
{
    int64_t offset_ns = 0;
    for (int i = 0; i < ATTEMPTS; i++) {
        int64_t utc_ns = read_ns(CLOCK_REALTIME);
        int64_t apart_ns = read_ns(CLOCK_TAI) - utc_ns;
        offset_ns = (apart_ns + SECOND_NS / 2) / SECOND_NS * SECOND_NS;
        if (llabs(apart_ns - offset_ns) < SKEW_NS)
            break;
    }
    return offset_ns;
}

static int arm(int fd)
{
    struct itimerspec never = {.it_value = {.tv_sec = NEVER_SECONDS}};
    int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    return timerfd_settime(fd, flags, &never, NULL) == 0 ? 0 : -errno;
}

int xdp_clock_watch(void)
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

void xdp_clock_rewatch(int fd)
{
    uint64_t expired;
    /* ECANCELED is what it is for, EAGAIN if nothing was set. */
    if (read(fd, &expired, sizeof expired) < 0 && errno == ECANCELED)
        arm(fd);
}

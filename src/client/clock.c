#include "client/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The tightest of a few tries, because the thread may be preempted in between, and the difference
 * of the two clocks is what tells a step. */
struct qcmp_reading qcmp_clock_read(void)
{
    enum {
        TRIES = 4,
        TIGHT_NS = 2000
    };
    struct qcmp_reading best = {.width_ns = INT64_MAX};
    for (int i = 0; i < TRIES && best.width_ns > TIGHT_NS; i++) {
        int64_t before = clock_ns(CLOCK_MONOTONIC);
        int64_t wall = clock_ns(CLOCK_REALTIME);
        int64_t width = clock_ns(CLOCK_MONOTONIC) - before;
        if (width < best.width_ns) {
            best = (struct qcmp_reading){
                .at = {.wall_ns = wall, .monotonic_ns = before + width / 2}, .width_ns = width};
        }
    }
    return best;
}

int qcmp_random_fill(void *buffer, size_t bytes)
{
    return getentropy(buffer, bytes) == 0 ? 0 : qcmp_error_from_os(errno);
}

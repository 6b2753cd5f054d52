#include "support/fake_clock.h"

#include <time.h>

#include "client/clock.h"

/* The state that a replaced clock cannot do without. base_ns is what the wall clock is ahead of the
 * monotonic one, so that the kernel's stamps fit; 0 = not read yet. */
static int64_t offset_ns, width_ns, base_ns;

void fake_clock_step(int64_t step_ns)
{
    offset_ns += step_ns;
}

void fake_clock_widen(int64_t width)
{
    width_ns = width;
}

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct qcmp_reading qcmp_clock_read(void)
{
    if (base_ns == 0)
        base_ns = read_ns(CLOCK_REALTIME) - read_ns(CLOCK_MONOTONIC);
    int64_t monotonic_ns = read_ns(CLOCK_MONOTONIC);
    return (struct qcmp_reading){
        .at = {.wall_ns = base_ns + monotonic_ns + offset_ns, .monotonic_ns = monotonic_ns},
        .width_ns = width_ns};
}

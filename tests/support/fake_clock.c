#include "support/fake_clock.h"

#include <sys/random.h>
#include <time.h>

#include "client/clock.h"

/* The one piece of state that a replaced clock cannot do without. */
static int64_t offset_ns;

void fake_clock_step(int64_t step_ns)
{
    offset_ns += step_ns;
}

static int64_t read_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct qcmp_stamp qcmp_clock_read(void)
{
    int64_t monotonic_ns = read_ns(CLOCK_MONOTONIC);
    return (struct qcmp_stamp){.wall_ns = INT64_C(1700000000000000000) + monotonic_ns + offset_ns,
                               .monotonic_ns = monotonic_ns};
}

int qcmp_random_fill(void *buffer, size_t bytes)
{
    return getentropy(buffer, bytes) == 0 ? 0 : QCMP_ERROR_INVALID_ARGUMENT;
}

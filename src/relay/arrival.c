/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/arrival.h"

#include <stdbool.h>

#include "base/clock.h"

/* Readings that are further apart than this were interrupted, and are tried again so many times. */
#define READING_NS 5000
#define READING_TRIES 8

struct arrival_clocks arrival_clocks_read(void)
{
    struct arrival_clocks clocks = {0};
    int64_t took_ns = -1;
    for (int i = 0; i < READING_TRIES && (took_ns < 0 || took_ns > READING_NS); i++) {
        clocks.wall_ns = clock_wall_ns();
        clocks.monotonic_ns = clock_monotonic_ns();
        took_ns = clock_wall_ns() - clocks.wall_ns;
    }
    return clocks;
}

/* The stamp by the relation of the clocks at one of their readings; false if it is no time. */
static bool convert(const struct arrival_clocks *relation, int64_t stamp_ns, int64_t *monotonic_ns)
{
    int64_t since_ns;
    return !__builtin_sub_overflow(stamp_ns, relation->wall_ns, &since_ns) &&
           !__builtin_add_overflow(relation->monotonic_ns, since_ns, monotonic_ns);
}

int64_t arrival_monotonic_ns(const struct arrival_clocks *empty, const struct arrival_clocks *read,
                             int64_t stamp_ns)
{
    const struct arrival_clocks *relations[] = {read, empty};
    int64_t first_ns = empty->monotonic_ns, last_ns = read->monotonic_ns;
    for (int i = 0; i < 2 && stamp_ns != 0; i++) {
        int64_t at_ns;
        if (!convert(relations[i], stamp_ns, &at_ns) || at_ns < first_ns - ARRIVAL_SLACK_NS ||
            at_ns > last_ns + ARRIVAL_SLACK_NS)
            continue;
        if (at_ns < first_ns)
            return first_ns;
        return at_ns < last_ns ? at_ns : last_ns;
    }
    return last_ns;
}

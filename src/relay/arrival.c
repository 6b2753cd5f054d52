#include "relay/arrival.h"

#include <stdbool.h>

#include "base/clock.h"

struct arrival_clocks arrival_clocks_read(void)
{
    return (struct arrival_clocks){.wall_ns = clock_wall_ns(),
                                   .monotonic_ns = clock_monotonic_ns()};
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "latency/ranking.h"

#include <string.h>

/* The place for the front of the rest: the first, or the best of those that are better, and so on.
 * It ends, because the relation has no cycles. */
static size_t find_front(const struct ranked *places, size_t count)
{
    size_t front = 0, better = 0;

    do {
        front = better;
        for (size_t i = 0; i < count; i++) {
            if (window_is_better(places[i].window, places[front].window) &&
                (better == front ||
                 window_base(places[i].window) < window_base(places[better].window)))
                better = i;
        }
    } while (better != front);
    return front;
}

/* What is shown of a place in front of others: its base, but where that has just become longer than
 * one behind it, no more than this one, as far as it was so short: its own change waits for the
 * order, and the others show what they are. */
static int64_t shown_before(const struct window *window, int64_t least_behind_ns)
{
    int64_t base_ns = window_base(window), least_ns = base_ns;

    for (unsigned i = 1; i < WINDOW_BASES && window->is_settled; i++)
        least_ns = window->bases[i] < least_ns ? window->bases[i] : least_ns;
    if (base_ns <= least_behind_ns)
        return base_ns;
    return least_ns > least_behind_ns ? least_ns : least_behind_ns;
}

void ranking_update(struct ranked *places, size_t count)
{
    int64_t shown_ns = INT64_MIN, least_behind_ns = INT64_MAX;

    for (size_t i = 0; i < count; i++) {
        size_t front = i + find_front(places + i, count - i);
        struct ranked place = places[front];

        memmove(places + i + 1, places + i, (front - i) * sizeof place);
        places[i] = place;
    }
    for (size_t i = count; i-- > 0;) {
        int64_t base_ns = window_base(places[i].window);
        places[i].shown_ns = shown_before(places[i].window, least_behind_ns);
        least_behind_ns = base_ns < least_behind_ns ? base_ns : least_behind_ns;
    }
    for (size_t i = 0; i < count; i++) {
        if (places[i].shown_ns <= shown_ns)
            places[i].shown_ns = shown_ns + 1;
        shown_ns = places[i].shown_ns;
    }
}

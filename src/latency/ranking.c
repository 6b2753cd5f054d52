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

void ranking_update(struct ranked *places, size_t count)
{
    int64_t shown_ns = INT64_MIN;

    for (size_t i = 0; i < count; i++) {
        size_t front = i + find_front(places + i, count - i);
        struct ranked place = places[front];

        memmove(places + i + 1, places + i, (front - i) * sizeof place);
        place.shown_ns = window_base(place.window);
        if (place.shown_ns <= shown_ns)
            place.shown_ns = shown_ns + 1;
        shown_ns = place.shown_ns;
        places[i] = place;
    }
}

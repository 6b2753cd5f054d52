/* SPDX-License-Identifier: Apache-2.0 */
#include "latency/window.h"

#include <string.h>

/* All bits of window.lost. */
#define WINDOW_PINGS ((1U << WINDOW_SAMPLES) - 1)

/* Whether a round trip lies above another by more than 10 % and the margin. */
static bool is_above(int64_t rtt_ns, int64_t base_ns)
{
    int64_t more_ns = rtt_ns - base_ns;
    return more_ns > WINDOW_MARGIN_NS && more_ns > base_ns / 10;
}

static void forget_oldest(struct window *window, unsigned count)
{
    window->count -= count;
    memmove(window->samples, window->samples + count, window->count * sizeof window->samples[0]);
}

static int64_t least_rtt(const struct window *window)
{
    int64_t least_ns = INT64_MAX;
    for (unsigned i = 0; i < window->count; i++) {
        if (window->samples[i].rtt_ns < least_ns)
            least_ns = window->samples[i].rtt_ns;
    }
    return least_ns;
}

static bool has_shifted(const struct window *window)
{
    if (window->count <= WINDOW_SHIFT_SAMPLES)
        return false;
    int64_t base_ns = least_rtt(window);
    for (unsigned i = window->count - WINDOW_SHIFT_SAMPLES; i < window->count; i++) {
        if (!is_above(window->samples[i].rtt_ns, base_ns))
            return false;
    }
    return true;
}

static void note_outcome(struct window *window, bool is_lost)
{
    window->lost = (uint16_t)(((unsigned)window->lost << 1 | is_lost) & WINDOW_PINGS);
    window->pings += window->pings < WINDOW_SAMPLES;
    window->lost_running = is_lost ? window->lost_running + 1 : 0;
}

static void forget_samples(struct window *window)
{
    window->count = 0;
    window->is_settled = false;
}

void window_age(struct window *window, int64_t now_ns)
{
    unsigned old = 0;
    while (old < window->count && window->samples[old].at_ns < now_ns - WINDOW_AGE_NS)
        old++;
    if (old == 0)
        return;
    forget_oldest(window, old);
    window->bases[0] = least_rtt(window);
    if (window->count == 0)
        forget_samples(window);
}

enum window_news window_add(struct window *window, const struct window_sample *sample)
{
    window_age(window, sample->at_ns);
    int64_t before_ns = window->count > 0 ? window->bases[0] : sample->rtt_ns;
    bool was_settled = window->is_settled;

    if (window->count == WINDOW_SAMPLES)
        forget_oldest(window, 1);
    window->samples[window->count++] = *sample;
    if (has_shifted(window))
        forget_oldest(window, window->count - WINDOW_SHIFT_SAMPLES);
    window->is_settled = was_settled || window->count == WINDOW_SAMPLES;
    memmove(window->bases + 1, window->bases, (WINDOW_BASES - 1) * sizeof window->bases[0]);
    window->bases[0] = least_rtt(window);
    note_outcome(window, false);

    if (!was_settled || is_above(window->bases[0], before_ns) ||
        is_above(before_ns, window->bases[0]))
        return WINDOW_MOVED;
    return is_above(sample->rtt_ns, window->bases[0]) ? WINDOW_OFF : WINDOW_STEADY;
}

void window_lose(struct window *window)
{
    note_outcome(window, true);
    if (window->lost_running == WINDOW_DOWN)
        forget_samples(window);
}

int64_t window_jitter(const struct window *window)
{
    int64_t sum_ns = 0;
    for (unsigned i = 1; i < window->count; i++) {
        int64_t more_ns = window->samples[i].rtt_ns - window->samples[i - 1].rtt_ns;
        sum_ns += more_ns < 0 ? -more_ns : more_ns;
    }
    return window->count > 1 ? sum_ns / (window->count - 1) : 0;
}

int64_t window_excess(const struct window *window)
{
    int64_t sum_ns = 0;
    for (unsigned i = 0; i < window->count; i++)
        sum_ns += window->samples[i].rtt_ns - window->bases[0];
    return window->count > 0 ? sum_ns / window->count : 0;
}

unsigned window_lost(const struct window *window)
{
    return (unsigned)__builtin_popcount(window->lost);
}

/* A difference of clocks of strangers, which may not fit. */
static int64_t difference(int64_t a, int64_t b)
{
    int64_t more;
    return __builtin_sub_overflow(a, b, &more) ? INT64_MAX : more;
}

void window_queues(const struct window *window, int64_t *incoming_ns, int64_t *outgoing_ns)
{
    *incoming_ns = *outgoing_ns = 0;
    if (window->count == 0)
        return;
    const struct window_sample *last = &window->samples[window->count - 1];
    struct window_sample least = *last;
    for (unsigned i = 0; i < window->count; i++) {
        const struct window_sample *sample = &window->samples[i];
        if (sample->incoming_ns < least.incoming_ns)
            least.incoming_ns = sample->incoming_ns;
        if (sample->outgoing_ns < least.outgoing_ns)
            least.outgoing_ns = sample->outgoing_ns;
    }
    *incoming_ns = difference(last->incoming_ns, least.incoming_ns);
    *outgoing_ns = difference(last->outgoing_ns, least.outgoing_ns);
}

bool window_is_better(const struct window *a, const struct window *b)
{
    if (!a->is_settled || !b->is_settled)
        return a->bases[0] < b->bases[0];
    int64_t worst_ns = a->bases[0], best_ns = b->bases[0];
    for (unsigned i = 1; i < WINDOW_BASES; i++) {
        worst_ns = a->bases[i] > worst_ns ? a->bases[i] : worst_ns;
        best_ns = b->bases[i] < best_ns ? b->bases[i] : best_ns;
    }
    int64_t less_ns = best_ns - worst_ns;
    return less_ns >= WINDOW_MARGIN_NS && less_ns >= best_ns / 20;
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the last pings to one place say of the path to it. Pure functions on memory of the caller;
 * time is passed in, monotonic, so that no wall clock and no clock of others has a say.
 *
 * The *base* is the least round trip of the window: what the path takes without queues. A path that
 * has become longer for good is seen before the old samples are gone: when the last
 * #WINDOW_SHIFT_SAMPLES all lie above the base by more than 10 % and #WINDOW_MARGIN_NS, the window
 * starts over with them.
 */
#ifndef PADDOCK_LATENCY_WINDOW_H
#define PADDOCK_LATENCY_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Samples of a window, and how old they may be. */
#define WINDOW_SAMPLES 10
#define WINDOW_AGE_NS INT64_C(600000000000)

/** Samples that are enough for a level shift. */
#define WINDOW_SHIFT_SAMPLES 5

/** Windows in a row that a ranking wants to see. */
#define WINDOW_BASES 3

/** What is less is no change, whatever its share. */
#define WINDOW_MARGIN_NS INT64_C(3000000)

/** Lost pings in a row after which a place does not answer. */
#define WINDOW_DOWN 5

/** What one answer says. */
struct window_sample {
    int64_t at_ns;  /**< when it came */
    int64_t rtt_ns; /**< 0 or more, without the responder's hold time */
    /** One-way times between two clocks: only their differences mean anything. */
    int64_t incoming_ns, outgoing_ns;
};

/** The last samples. Zeroed: none. */
struct window {
    struct window_sample samples[WINDOW_SAMPLES]; /**< the oldest first */
    unsigned count;
    int64_t bases[WINDOW_BASES]; /**< of this window and those before it, the newest first */
    bool is_settled;       /**< it has been full since it was empty: the base is to be trusted */
    unsigned lost_running; /**< pings lost since the last answer */
    unsigned pings;        /**< those that `lost` has, at most #WINDOW_SAMPLES */
    uint16_t lost;         /**< a bit for each of the last pings, the newest lowest; 1: lost */
};

/** How a sample fits to those before. */
enum window_news {
    WINDOW_STEADY,
    WINDOW_OFF,  /**< it lies above the base, by what would be a shift if it lasted */
    WINDOW_MOVED /**< the base has changed as much, or is not settled yet */
};

/** Takes the sample of an answer, the latest so far. */
enum window_news window_add(struct window *window, const struct window_sample *sample);

/** Notes that a ping has no answer. With the #WINDOW_DOWN th in a row the samples are forgotten,
 * since the path may be another when there are answers again. */
void window_lose(struct window *window);

/** Forgets samples that are too old. To be called before the others, which know no time. */
void window_age(struct window *window, int64_t now_ns);

/** Whether there are samples, and so a base. */
static inline bool window_is_known(const struct window *window)
{
    return window->count > 0;
}

/** The least round trip, ns; of a window that is known. */
static inline int64_t window_base(const struct window *window)
{
    return window->bases[0];
}

/** The mean difference of a round trip from the one before, ns (D of RFC 3550, section 6.4.1, not
 * smoothed); 0 without two samples. */
int64_t window_jitter(const struct window *window);

/** By how much round trips lie above the base in the mean, ns; 0 without samples. */
int64_t window_excess(const struct window *window);

/** How many of the last window.pings pings were lost. */
unsigned window_lost(const struct window *window);

/** By how much the last sample's one-way times lie above the least of the window, ns: what waited
 * on the way there, and on the way back. The offset of the clocks is in both and goes out, unless
 * one of them was set meanwhile. 0 without samples. */
void window_queues(const struct window *window, int64_t *incoming_ns, int64_t *outgoing_ns);

/**
 * Whether @p a is to rank before @p b, whatever the order was so far; both are known. Of settled
 * ones: its base has been less, by 5 % and #WINDOW_MARGIN_NS, for #WINDOW_BASES windows running.
 * Otherwise it is less. The relation has no cycles.
 */
bool window_is_better(const struct window *a, const struct window *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * How many datagrams of one source pass: a window over time that several may take from at once, the
 * socket's thread and the driver's CPUs, without a lock. Freestanding; compiles for BPF.
 *
 * A period has ten parts. At most max_packets pass within ten parts; and at most a tenth more
 * within a whole period before a datagram, of which the eleventh part has the beginning.
 *
 * Nothing but the count of the newest part ever decides: who takes replaces that word, with what it
 * has read of all others, which do not change as long as the word does not. Before a newer part
 * begins, the count of the one before goes where the older ones are.
 */
#ifndef PADDOCK_FILTERS_RATE_WINDOW_H
#define PADDOCK_FILTERS_RATE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/shared_word.h"

#define RATE_PARTS 10
#define RATE_KEPT (RATE_PARTS + 1)

/** rate_window.newest: nobody takes from this window any more. */
#define RATE_CLOSED UINT64_MAX

/** How often a word is tried again that others change at the same time. */
#define RATE_ATTEMPTS 8

#ifdef __bpf__
#define RATE_FUNCTION __attribute__((noinline))
#else
#define RATE_FUNCTION static inline
#endif

/** What is configured, worked out by rate_law_of(). */
struct rate_law {
    uint64_t part_ns;
    uint32_t max_packets;
    uint32_t shift; /**< a moment in a part is counted in units of 2^shift nanoseconds */
};

/** What a source has sent. Zeroed it is nothing. Each word has the number of a part in its high
 * half; words of one part only grow. */
struct rate_window {
    uint64_t newest;            /**< how many passed in the newest part */
    uint64_t counts[RATE_KEPT]; /**< how many passed in older ones; by number, modulo */
    uint64_t lasts[RATE_KEPT];  /**< the moment at which the last one of a part passed, or later */
};

enum rate_verdict {
    RATE_PASSES, /**< it is counted */
    RATE_OVER,
    RATE_UNDECIDED /**< the window is closed, or others were faster again and again */
};

/** A time, by a law. Without padding, of which the verifier of Linux 6.1 lets nothing be copied. */
struct rate_moment {
    uint64_t now_ns, part;
    uint64_t in_part; /**< rounded down, below 2^32 */
};

static inline struct rate_law rate_law_of(uint32_t max_packets, uint32_t period_seconds)
{
    struct rate_law law = {.part_ns = period_seconds * UINT64_C(1000000000) / RATE_PARTS,
                           .max_packets = max_packets};
    while (law.part_ns >> law.shift > UINT32_MAX)
        law.shift++;
    return law;
}

static inline struct rate_moment rate_moment_of(const struct rate_law *law, uint64_t now_ns)
{
    uint64_t part = now_ns / law->part_ns;
    return (struct rate_moment){
        .now_ns = now_ns, .part = part, .in_part = (now_ns - part * law->part_ns) >> law->shift};
}

/** The word of a part; NULL never, which the verifier of BPF has to see, before the address. */
static inline uint64_t *rate_word(uint64_t words[RATE_KEPT], uint64_t part)
{
    uint64_t index = shared_word_opaque(part % RATE_KEPT);
    return index < RATE_KEPT ? &words[shared_word_opaque(index)] : NULL;
}

/** What passed in some parts. */
struct rate_sum {
    uint64_t recent; /**< in the last ten */
    uint64_t oldest; /**< in the one before */
};

/** What had passed up to a part that is not older than the newest one. A word of the newest part
 * that stands among the older ones does not count: somebody is about to begin another part. */
static inline struct rate_sum rate_window_sum(struct rate_window *window, uint64_t newest,
                                              uint64_t part)
{
    uint64_t age = part - (newest >> 32), first = part - RATE_PARTS, all = 0;
    uint64_t parts = age < RATE_PARTS ? RATE_PARTS - age : 0; /* older than the newest one */
    const uint64_t *word = rate_word(window->counts, first);
    uint64_t oldest = word != NULL ? shared_word_load(word) : 0;
    oldest = oldest >> 32 == first && parts > 0 ? (uint32_t)oldest : 0;
    for (unsigned i = 0; i < RATE_KEPT; i++) {
        uint64_t count = shared_word_load(&window->counts[i]);
        all += (count >> 32) - first < parts ? (uint32_t)count : 0;
    }
    return (struct rate_sum){.recent = all - oldest + (age < RATE_PARTS ? (uint32_t)newest : 0),
                             .oldest = oldest + (age == RATE_PARTS ? (uint32_t)newest : 0)};
}

/** Lets a word be at least so much. @return whether that could be done. */
static inline bool rate_raise(uint64_t *word, uint64_t least)
{
    for (unsigned i = 0; i < RATE_ATTEMPTS && word != NULL; i++) {
        uint64_t before = shared_word_load(word);
        if (before >= least || shared_word_replace(word, before, least))
            return true;
    }
    return false;
}

/** Whether the last datagram of the oldest part was a whole period ago. */
static inline bool rate_is_gone(struct rate_window *window, const struct rate_law *law,
                                const struct rate_moment *at)
{
    uint64_t part = at->part - RATE_PARTS;
    const uint64_t *word = rate_word(window->lasts, part);
    uint64_t last = word != NULL ? shared_word_load(word) : 0;
    uint64_t last_ns = part * law->part_ns + (((uint64_t)(uint32_t)last + 1) << law->shift) -
                       1; /* at the latest */
    return last >> 32 == part && at->now_ns >= last_ns + RATE_PARTS * law->part_ns;
}

/** Whether one more would be too many, at a time that is not before the newest part. A function of
 * its own in a BPF program, as rate_window_take() is: the verifier looks at it once, and not for
 * each of the ways to come there, which are too many for that of Linux 6.1. */
RATE_FUNCTION bool rate_is_over(struct rate_window *window, const struct rate_law *law,
                                uint64_t newest, const struct rate_moment *at)
{
    if (window == NULL || law == NULL || at == NULL)
        return true;
    struct rate_sum sum = rate_window_sum(window, newest, at->part);
    uint64_t all = sum.recent + sum.oldest, most = law->max_packets;
    if (all >= most + most / RATE_PARTS && rate_is_gone(window, law, at))
        all = sum.recent;
    return sum.recent >= most || all >= most + most / RATE_PARTS;
}

/** A time, or the beginning of the newest part where that is later. */
static inline struct rate_moment rate_later(const struct rate_law *law, uint64_t newest,
                                            const struct rate_moment *moment)
{
    if (newest >> 32 <= moment->part)
        return *moment;
    return (struct rate_moment){.part = newest >> 32, .now_ns = (newest >> 32) * law->part_ns};
}

/** Whether a datagram would be too many. It takes nothing. */
static inline bool rate_window_is_over(struct rate_window *window, const struct rate_law *law,
                                       const struct rate_moment *moment)
{
    uint64_t newest = shared_word_load_ordered(&window->newest);
    const struct rate_moment at = rate_later(law, newest, moment);
    return newest != RATE_CLOSED && rate_is_over(window, law, newest, &at);
}

/** Takes one datagram from what a source may send. Of two that read the clock the later one may
 * come here first: the other one is of the same part then. */
RATE_FUNCTION enum rate_verdict rate_window_take(struct rate_window *window,
                                                 const struct rate_law *law,
                                                 const struct rate_moment *moment)
{
    if (window == NULL || law == NULL || moment == NULL)
        return RATE_UNDECIDED;
    struct rate_moment at = *moment;
    for (unsigned i = 0; i < RATE_ATTEMPTS; i++) {
        uint64_t newest = shared_word_load_ordered(&window->newest);
        if (newest == RATE_CLOSED)
            return RATE_UNDECIDED;
        at = rate_later(law, newest, &at);
        if (rate_is_over(window, law, newest, &at))
            return RATE_OVER;

        bool is_new = newest >> 32 != at.part;
        uint64_t count = is_new ? 1 : (uint64_t)(uint32_t)newest + 1;
        if ((!is_new || rate_raise(rate_word(window->counts, newest >> 32), newest)) &&
            rate_raise(rate_word(window->lasts, at.part), at.part << 32 | at.in_part) &&
            shared_word_replace_ordered(&window->newest, newest, at.part << 32 | count))
            return RATE_PASSES;
    }
    return RATE_UNDECIDED;
}

/** Closes a window, and goes on with another one, which nobody else has: nothing that was taken
 * from it, or is being taken at this moment, is lost. */
static inline void rate_window_move(struct rate_window *to, struct rate_window *from)
{
    uint64_t newest = shared_word_exchange(&from->newest, RATE_CLOSED);
    for (unsigned i = 0; i < RATE_KEPT; i++) {
        to->counts[i] = shared_word_load(&from->counts[i]);
        to->lasts[i] = shared_word_load(&from->lasts[i]);
    }
    to->newest = newest;
}

#endif

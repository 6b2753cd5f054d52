/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * When to ping a place again: often where something changes, seldom where nothing does, and less
 * and less where nobody answers. Pure functions; randomness is passed in.
 */
#ifndef PADDOCK_LATENCY_PACE_H
#define PADDOCK_LATENCY_PACE_H

#include <stdint.h>

#include "latency/window.h"

/** Between two pings to one place. */
struct pace_bounds {
    int64_t least_ns, most_ns; /**< above 0, and not less than the other */
};

/** The pace towards one place. Zeroed: the fastest. */
struct pace {
    int64_t interval_ns; /**< while nothing changes; 0: the least */
};

/**
 * After an answer. With each that is steady the interval grows by half, up to the most; where the
 * base moves it is the least again. A sample that is off is looked into after the least interval,
 * and changes the pace no further, so that mere jitter does not keep it up.
 * @return until the next ping, ns: 0.9 to 1.1 intervals, so that places and hosts do not march in
 * step.
 */
int64_t pace_after_answer(struct pace *pace, const struct pace_bounds *bounds,
                          enum window_news news, uint32_t random);

/**
 * After a loss. The first #WINDOW_DOWN are repeated after the least interval; behind them it
 * doubles, up to the most. The pace after the next answer is the fastest.
 * @param lost_running in a row, at least 1.
 * @return until the next ping, ns: half to the whole of that.
 */
int64_t pace_after_loss(struct pace *pace, const struct pace_bounds *bounds, unsigned lost_running,
                        uint32_t random);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/impair.h"

#include <math.h>

/* 2^64 divided by the golden ratio: odd, and far from any pattern. */
#define STEP UINT64_C(0x9e3779b97f4a7c15)

#define NS_PER_S INT64_C(1000000000)

/* A permutation of 64-bit numbers after which neighbours have nothing in common. */
static uint64_t mix(uint64_t number)
{
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* SplitMix64: a counter, mixed. Uniform in [0, 1), in steps of 2^-53, all that a double can tell
 * apart there. */
static double draw(struct impair_stream *stream)
{
    stream->state += STEP;
    return (double)(mix(stream->state) >> 11) * 0x1p-53;
}

/* In units of the jitter. Two numbers are drawn whatever they are for, so that streams stay in
 * step. */
static double draw_deviation(enum impair_distribution distribution, struct impair_stream *stream)
{
    double first = draw(stream), second = draw(stream);
    switch (distribution) {
    case IMPAIR_UNIFORM:
        return 2 * first - 1;
    case IMPAIR_NORMAL:
        /* Box and Muller; 1 - first is never 0. */
        return sqrt(-2 * log(1 - first)) * cos(2 * M_PI * second);
    case IMPAIR_PARETO:
        return pow(1 - first, -1.0 / IMPAIR_PARETO_SHAPE);
    }
    return 0;
}

static int64_t draw_delay(const struct impair_settings *settings, struct impair_stream *stream)
{
    double deviation = draw_deviation(settings->distribution, stream);
    double ns = (double)settings->delay_ns + deviation * (double)settings->jitter_ns;
    if (ns <= 0)
        return 0;
    return ns < (double)IMPAIR_MAX_DELAY_NS ? llrint(ns) : IMPAIR_MAX_DELAY_NS;
}

void impair_stream_init(struct impair_stream *stream, uint64_t seed, uint64_t client,
                        enum relay_direction direction)
{
    uint64_t number = client * RELAY_DIRECTIONS + (uint64_t)direction;
    stream->state = mix(mix(seed + STEP) + number * STEP);
}

struct impair_choice impair_choose(const struct impair_settings *settings,
                                   struct impair_stream *stream)
{
    struct impair_choice choice = {0};
    choice.lost = draw(stream) < settings->loss;
    choice.duplicated = draw(stream) < settings->duplicate;
    choice.reordered = draw(stream) < settings->reorder;
    choice.delay_ns = draw_delay(settings, stream);
    choice.copy_delay_ns = draw_delay(settings, stream);
    if (choice.reordered)
        choice.delay_ns = 0;
    return choice;
}

/* Counted as time rather than as tokens: the bucket is empty while the link is busy for longer than
 * a burst takes. What division leaves over is carried on, so that a high rate is as exact as a low
 * one. */
bool impair_bucket_take(struct impair_bucket *bucket, int64_t rate_bits, size_t bytes,
                        int64_t now_ns)
{
    if (rate_bits == 0)
        return true;
    if (bucket->free_ns < now_ns) {
        bucket->free_ns = now_ns;
        bucket->remainder = 0;
    }
    if (bucket->free_ns - now_ns > IMPAIR_BURST_NS)
        return false;
    int64_t cost = (int64_t)bytes * 8 * NS_PER_S + bucket->remainder;
    bucket->free_ns += cost / rate_bits;
    bucket->remainder = cost % rate_bits;
    return true;
}

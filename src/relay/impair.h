/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a bad network does to datagrams, decided from a seed: loss, duplication, delay, reordering
 * and a limit of the rate. Pure: no I/O, no clock, no allocation; nothing here fails.
 *
 * A stream makes the choices for the datagrams of one client in one direction. What it chooses for
 * the n-th of them depends on the seed, the client's number, the direction and n alone, not on how
 * the other impairments are set: with the same seed a higher loss loses the same datagrams and
 * more.
 */
#ifndef PADDOCK_RELAY_IMPAIR_H
#define PADDOCK_RELAY_IMPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The most that a delay, and a jitter, can be set to. */
#define IMPAIR_MAX_SET_NS (INT64_C(3600) * 1000000000)

/** The longest delay that comes of them: the tail of a distribution is cut off here. */
#define IMPAIR_MAX_DELAY_NS (INT64_C(86400) * 1000000000)

/** The greatest rate, in bits a second. */
#define IMPAIR_MAX_RATE_BITS INT64_C(1000000000000)

/** A burst passes at once up to what the rate carries in this time. */
#define IMPAIR_BURST_NS INT64_C(100000000)

/** The shape of the Pareto distribution, whose scale is the jitter: variance and mean are finite,
 * single datagrams are very late. */
#define IMPAIR_PARETO_SHAPE 3

/** With delay D and jitter J, a datagram is delayed by */
enum impair_distribution {
    IMPAIR_UNIFORM, /**< anything from D-J to D+J */
    IMPAIR_NORMAL,  /**< D on average, with the standard deviation J */
    IMPAIR_PARETO   /**< D+X, where X has a Pareto distribution with scale J: at least J, 1.5 J on
                       average */
};

/** A direction of the relay. */
enum relay_direction {
    RELAY_UP,  /**< client to server */
    RELAY_DOWN /**< server to client */
};
#define RELAY_DIRECTIONS 2

/** What happens to the datagrams of a direction; zeroed: nothing. */
struct impair_settings {
    int64_t delay_ns;  /**< 0 to #IMPAIR_MAX_SET_NS */
    int64_t jitter_ns; /**< 0 to #IMPAIR_MAX_SET_NS */
    enum impair_distribution distribution;
    double loss, duplicate, reorder; /**< how probable, 0 to 1 */
    int64_t rate_bits;               /**< a second, at most #IMPAIR_MAX_RATE_BITS; 0: any */
};

/** Where a stream is; its members are its own affair. */
struct impair_stream {
    uint64_t state;
};

/** What shall become of a datagram. */
struct impair_choice {
    bool lost;             /**< nothing else counts then */
    bool duplicated;       /**< there is a copy, with a delay of its own */
    bool reordered;        /**< it skips the delay; its copy does not */
    int64_t delay_ns;      /**< 0 to #IMPAIR_MAX_DELAY_NS; 0 if reordered */
    int64_t copy_delay_ns; /**< 0 to #IMPAIR_MAX_DELAY_NS */
};

/** A token bucket; zeroed it is full. Its members are its own affair. */
struct impair_bucket {
    int64_t free_ns;   /**< when the link would have carried all that was let through */
    int64_t remainder; /**< billionths of a bit that are not counted yet in that time */
};

/** Starts the stream of the client with this number. */
void impair_stream_init(struct impair_stream *stream, uint64_t seed, uint64_t client,
                        enum relay_direction direction);

/** Chooses for the next datagram of the stream. */
struct impair_choice impair_choose(const struct impair_settings *settings,
                                   struct impair_stream *stream);

/**
 * Asks whether the rate carries a datagram. Over any time it lets through what the rate carries in
 * it, a burst of #IMPAIR_BURST_NS, and one datagram.
 *
 * @param rate_bits as in struct impair_settings, the same in every call; 0: it does.
 * @param bytes up to 2^20.
 * @param now_ns of any clock, 0 or later; a time before that of an earlier call is fine.
 */
bool impair_bucket_take(struct impair_bucket *bucket, int64_t rate_bits, size_t bytes,
                        int64_t now_ns);

#endif

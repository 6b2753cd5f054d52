/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * One direction of the relay without I/O: what comes is lost, limited, copied and queued, what is
 * due leaves, and every datagram is counted in exactly one place.
 */
#ifndef PADDOCK_RELAY_CHANNEL_H
#define PADDOCK_RELAY_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "relay/impair.h"
#include "relay/queue.h"

/** Datagrams that wait in one direction at most. */
#define RELAY_QUEUE_CAPACITY 10000

/** Bytes of payload that wait in one direction at most: room for as many datagrams of a full
 * Ethernet frame, but not of the size that UDP permits, which would be 655 MB. */
#define RELAY_QUEUE_BYTES (16 << 20)

/**
 * What became of the datagrams of a direction. At any time
 *
 *     received + duplicated = forwarded + lost + dropped_rate + dropped_queue
 *     dropped_queue = queue_full + no_client + send_errors + unsent
 *
 * reordered counts datagrams that are among the others; the last two are in neither sum.
 */
struct relay_counts {
    uint64_t received;       /**< datagrams that the relay read */
    uint64_t forwarded;      /**< datagrams that the system took to send */
    uint64_t lost;           /**< by the choice of loss */
    uint64_t duplicated;     /**< copies that were made */
    uint64_t reordered;      /**< datagrams that were queued without the delay */
    uint64_t dropped_rate;   /**< beyond the rate */
    uint64_t dropped_queue;  /**< did not come into the queue, or not out of it: the next four */
    uint64_t queue_full;     /**< no room in the queue, or no memory */
    uint64_t no_client;      /**< from a new client for whom there was no room or no socket */
    uint64_t send_errors;    /**< refused by the system when it was to be sent */
    uint64_t unsent;         /**< still in the queue */
    uint64_t kernel_drops;   /**< dropped by the system before the relay could read them */
    uint64_t receive_errors; /**< errors of sockets, such as that nobody is at the server's port */
};

/** A datagram as it came; borrowed for the call. */
struct relay_payload {
    const uint8_t *data;
    size_t bytes;
    size_t header_bytes; /**< those of IP and UDP, which the rate has to carry as well */
};

/** A direction; its members are its own affair. */
struct relay_channel {
    struct impair_settings settings;
    struct impair_bucket bucket;
    struct relay_queue queue;
    struct relay_counts counts; /**< but for dropped_queue and unsent, which follow from others */
};

/** Starts a direction in which nothing was received. Allocates.
 * @return 0, or -1 without memory. */
int relay_channel_init(struct relay_channel *channel, const struct impair_settings *settings);

/** Frees it and what waits. */
void relay_channel_fini(struct relay_channel *channel);

/**
 * Takes a datagram that was received.
 *
 * @param stream of its client, in this direction.
 * @param owner comes back with each copy that leaves.
 * @param arrival_ns monotonic time, from which the delay counts.
 * @return how many copies of it wait now: 0, 1 or 2.
 */
size_t relay_channel_offer(struct relay_channel *channel, struct impair_stream *stream, void *owner,
                           const struct relay_payload *payload, int64_t arrival_ns);

/** Counts a datagram of a client that could not be had. */
void relay_channel_refuse(struct relay_channel *channel);

/** When the next datagram is due, or #RELAY_QUEUE_NEVER. */
int64_t relay_channel_due_ns(const struct relay_channel *channel);

/** Takes a datagram that is due; relay_channel_sent() has to follow.
 * @return the caller's, for free(); NULL if none is. */
struct relay_datagram *relay_channel_pop(struct relay_channel *channel, int64_t now_ns);

/** Counts datagrams that were taken: those that were sent, and those that could not be. */
void relay_channel_sent(struct relay_channel *channel, size_t sent, size_t failed);

/** What became of all datagrams so far. */
struct relay_counts relay_channel_counts(const struct relay_channel *channel);

#endif

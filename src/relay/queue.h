/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Datagrams that wait until they are due: the earliest first, of those due at the same time the one
 * that came first. Of fixed capacity, in datagrams and in bytes; it does no I/O and knows no clock.
 */
#ifndef PADDOCK_RELAY_QUEUE_H
#define PADDOCK_RELAY_QUEUE_H

#include <stddef.h>
#include <stdint.h>

/** What relay_queue_due_ns() says of an empty queue. */
#define RELAY_QUEUE_NEVER INT64_MAX

/** A datagram that waits. */
struct relay_datagram {
    void *owner; /**< the caller's, handed back as it came */
    size_t bytes;
    uint8_t data[];
};

/** One place of the queue. */
struct relay_queue_entry {
    int64_t due_ns;
    uint64_t order; /**< how many came before it */
    struct relay_datagram *datagram;
};

/** A queue; read count, the rest is its own affair. */
struct relay_queue {
    struct relay_queue_entry *entries; /**< a binary heap */
    size_t count, capacity;
    size_t bytes, capacity_bytes; /**< sizes of the datagrams that wait, together */
    uint64_t order;               /**< the next datagram's */
};

/** Starts an empty queue. Allocates.
 * @param capacity datagrams at most, at least 1.
 * @param capacity_bytes of all of them together, at most.
 * @return 0, or -1 without memory: @p queue is untouched. */
int relay_queue_init(struct relay_queue *queue, size_t capacity, size_t capacity_bytes);

/** Frees the queue and all that waits in it. */
void relay_queue_fini(struct relay_queue *queue);

/**
 * Lets a datagram wait; its bytes are copied, to memory that is allocated for it.
 *
 * @param bytes any size, 0 included; @p data may be NULL if it is 0.
 * @return 0, or -1: there is no room or no memory, and nothing has changed.
 */
int relay_queue_push(struct relay_queue *queue, int64_t due_ns, void *owner, const uint8_t *data,
                     size_t bytes);

/** When the first is due, or #RELAY_QUEUE_NEVER. */
int64_t relay_queue_due_ns(const struct relay_queue *queue);

/** Takes the first datagram that is due at @p now_ns.
 * @return the caller's, for free(); NULL if none is. */
struct relay_datagram *relay_queue_pop(struct relay_queue *queue, int64_t now_ns);

#endif

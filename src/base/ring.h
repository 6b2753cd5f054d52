/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A bounded queue from one thread to one other, for what a worker hands to the control thread: no
 * locks, no waiting; what finds no room is lost, and counted.
 *
 * The writer fills what ring_reserve() gives, then calls ring_commit(); the reader looks at what
 * ring_peek() gives, then calls ring_release(). What is too large for an item may take several,
 * which are handed over and given back at once. Each of the two counts is released by its writer
 * and acquired by the other side: a complete item is seen whole, and an item is free again only
 * when it was looked at.
 */
#ifndef PADDOCK_BASE_RING_H
#define PADDOCK_BASE_RING_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/** A queue. Zeroed it has no room. */
struct ring {
    _Atomic uint64_t written, read;
    _Atomic uint64_t lost; /**< relaxed: items that found no room, until ring_take_lost() */
    uint32_t items;
    size_t item_bytes;
    uint8_t *memory;
};

/** Makes room for items; before both threads use it. The system gives pages as they are used.
 * @return 0 or -ENOMEM. */
static inline int ring_init(struct ring *ring, uint32_t items, size_t item_bytes)
{
    *ring = (struct ring){.items = items, .item_bytes = item_bytes};
    ring->memory = calloc(items, item_bytes);
    return ring->memory != NULL ? 0 : -ENOMEM;
}

/** Frees the room. A zeroed one is fine. */
static inline void ring_fini(struct ring *ring)
{
    free(ring->memory);
}

/** Whether there is room for so many items more; where not, one is counted as lost. By the writer.
 */
static inline bool ring_has_room(struct ring *ring, uint32_t count)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    bool has_room = written - read + count <= ring->items;
    if (!has_room)
        atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
    return has_room;
}

/** The next item to be filled, or one so many after it; there must be room. By the writer. */
static inline void *ring_next(struct ring *ring, uint32_t ahead)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    return ring->memory + (written + ahead) % ring->items * ring->item_bytes;
}

/** The next item to be filled; NULL: there is no room, which is counted. By the writer. */
static inline void *ring_reserve(struct ring *ring)
{
    return ring_has_room(ring, 1) ? ring_next(ring, 0) : NULL;
}

/** Hands over so many items, all at once. By the writer. */
static inline void ring_commit_all(struct ring *ring, uint32_t count)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    atomic_store_explicit(&ring->written, written + count, memory_order_release);
}

/** Hands over what ring_reserve() gave. By the writer. */
static inline void ring_commit(struct ring *ring)
{
    ring_commit_all(ring, 1);
}

/** The oldest item, until ring_release(); NULL: there is none. By the reader. */
static inline const void *ring_peek(const struct ring *ring)
{
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    if (read == atomic_load_explicit(&ring->written, memory_order_acquire))
        return NULL;
    return ring->memory + read % ring->items * ring->item_bytes;
}

/** An item that was handed over with that of ring_peek(), so many after it. By the reader. */
static inline const void *ring_peek_after(const struct ring *ring, uint32_t ahead)
{
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    return ring->memory + (read + ahead) % ring->items * ring->item_bytes;
}

/** Gives so many items back, from that of ring_peek() on. By the reader. */
static inline void ring_release_all(struct ring *ring, uint32_t count)
{
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    atomic_store_explicit(&ring->read, read + count, memory_order_release);
}

/** Gives the item of ring_peek() back. By the reader. */
static inline void ring_release(struct ring *ring)
{
    ring_release_all(ring, 1);
}

/** How many items were lost since the last call. By the reader. */
static inline uint64_t ring_take_lost(struct ring *ring)
{
    return atomic_exchange_explicit(&ring->lost, 0, memory_order_relaxed);
}

#endif

/** @file
 * A counter with one writer.
 */
#ifndef PADDOCK_METRICS_COUNTER_H
#define PADDOCK_METRICS_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/** A counter with one writer. Relaxed: no other data depends on its value. */
struct counter {
    _Atomic uint64_t value;
};

/** Adds to a counter; by its only writer alone, so that no locked instruction is needed. */
static inline void counter_add(struct counter *counter, uint64_t n)
{
    uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);
    atomic_store_explicit(&counter->value, value + n, memory_order_relaxed);
}

/** Reads a counter; from any thread. */
static inline uint64_t counter_read(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

#endif

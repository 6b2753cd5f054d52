/* SPDX-License-Identifier: Apache-2.0 */
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

/** Adds to a counter that others wait for: what its writer did before is done for whoever reads the
 * new value by counter_read_ordered(), and what the writer reads from then on is as new as what
 * that reader had written before he read the old value. One locked instruction. */
static inline void counter_add_ordered(struct counter *counter, uint64_t n)
{
    atomic_fetch_add_explicit(&counter->value, n, memory_order_seq_cst);
}

/** The other side of counter_add_ordered(). */
static inline uint64_t counter_read_ordered(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_seq_cst);
}

/** Reads a counter; from any thread. */
static inline uint64_t counter_read(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

#endif

/** @file
 * Counters of the packet path. Each worker has its own and is their only writer; others read them
 * at any time, and sum.
 */
#ifndef PADDOCK_METRICS_COUNTERS_H
#define PADDOCK_METRICS_COUNTERS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/outcome.h"

#define COUNTERS_CACHE_LINE 64

/** A counter with one writer. Relaxed: no other data depends on its value. */
struct counter {
    _Atomic uint64_t value;
};

/** The counters of one worker. */
struct counters {
    alignas(COUNTERS_CACHE_LINE) struct counter packets[OUTCOME_COUNT];
    struct counter bytes[OUTCOME_COUNT]; /**< with each datagram's full size */
    struct counter answered;             /**< replies that the kernel took */
    struct counter send_errors;          /**< replies that the kernel refused */
    struct counter receive_errors;       /**< failures to receive, which are no datagrams */
    struct counter turns; /**< of the worker's loop: it grows as long as the worker lives */
};

/** The same, summed over workers at one moment. */
struct counters_sum {
    uint64_t packets[OUTCOME_COUNT];
    uint64_t bytes[OUTCOME_COUNT];
    uint64_t answered;
    uint64_t send_errors;
    uint64_t receive_errors;
    uint64_t received; /**< all of packets */
};

/** Adds to a counter; by its only writer alone, so that no locked instruction is needed. */
static inline void counter_add(struct counter *counter, uint64_t n)
{
    uint64_t value = atomic_load_explicit(&counter->value, memory_order_relaxed);
    atomic_store_explicit(&counter->value, value + n, memory_order_relaxed);
}

/** Adds the counters of @p n workers to a sum, which begins as zeros. */
void counters_sum_add(struct counters_sum *sum, const struct counters *workers, size_t n);

/** Sums the counters of @p n workers. */
struct counters_sum counters_sum(const struct counters *workers, size_t n);

/** Packets of one kind in a sum. */
uint64_t counters_kind(const struct counters_sum *sum, enum outcome_kind kind);

#endif

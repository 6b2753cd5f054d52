/** @file
 * Counters of the packet path. Each worker has its own and is their only writer; others read them
 * at any time, and sum.
 */
#ifndef PADDOCK_METRICS_COUNTERS_H
#define PADDOCK_METRICS_COUNTERS_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/counter.h"
#include "metrics/histogram.h"
#include "qcmp/outcome.h"

#define COUNTERS_CACHE_LINE 64

/** The counters of one worker. */
struct counters {
    alignas(COUNTERS_CACHE_LINE) struct counter packets[OUTCOME_COUNT];
    struct counter bytes[OUTCOME_COUNT]; /**< with each datagram's full size */
    struct counter answered;             /**< replies that the kernel took */
    struct counter send_errors;          /**< replies that the kernel refused */
    struct counter receive_errors;       /**< failures to receive, which are no datagrams */
    struct counter turns; /**< of the worker's loop: it grows as long as the worker lives, by
                             counter_add_ordered(): what a turn has used it uses no more */
    struct histogram batch_packets;  /**< datagrams that one receive call gave */
    struct histogram hold_ns;        /**< of each reply that was sent: from the receive stamp, the
                                        kernel's or that of user space, to the transmit stamp */
    struct histogram queue_delay_ns; /**< from the kernel's receive stamp to user space */
};

/** The same, summed over workers at one moment. */
struct counters_sum {
    uint64_t packets[OUTCOME_COUNT];
    uint64_t bytes[OUTCOME_COUNT];
    uint64_t answered;
    uint64_t send_errors;
    uint64_t receive_errors;
    uint64_t received; /**< all of packets */
    struct histogram_sum batch_packets;
    struct histogram_sum hold_ns;
    struct histogram_sum queue_delay_ns;
};

/** Sets everything to zero and gives the histograms their bounds, before the worker starts. */
void counters_init(struct counters *counters);

/** Adds the counters of @p n workers to a sum, which begins as zeros. */
void counters_sum_add(struct counters_sum *sum, const struct counters *workers, size_t n);

/** Sums the counters of @p n workers. */
struct counters_sum counters_sum(const struct counters *workers, size_t n);

/** Packets of one kind in a sum. */
uint64_t counters_kind(const struct counters_sum *sum, enum outcome_kind kind);

#endif

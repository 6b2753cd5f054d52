/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What QCMP's part of the fast path shares with this process.
 */
#ifndef PADDOCK_QCMP_SHARED_H
#define PADDOCK_QCMP_SHARED_H

#include <stdint.h>

#include "qcmp/outcome.h"

/** The counters of one CPU, on cache lines of their own. */
struct qcmp_fast_counters {
    uint64_t packets[OUTCOME_COUNT]; /**< that were not passed on */
    uint64_t bytes[OUTCOME_COUNT];   /**< their UDP payload */
} __attribute__((aligned(64)));

#endif

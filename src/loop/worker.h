/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The workers: so many threads, each with a loop of its own, shared by all services. Nothing else
 * is shared on the packet path. Used by the control thread, save what says otherwise.
 */
#ifndef PADDOCK_LOOP_WORKER_H
#define PADDOCK_LOOP_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/loop.h"
#include "loop/quiescent.h"
#include "net/port.h"

#define WORKERS_MAX 1024

/** A worker's loop turns at least this often, also without traffic. */
#define WORKER_TURN_NS INT64_C(2000000000)

/** A worker that has not turned for so long is taken for dead. */
#define WORKER_DEAD_NS INT64_C(5000000000)

/** One worker. */
struct worker {
    unsigned index;
    struct loop *loop;
    struct port_batch *batch; /**< for all its ports */
};

struct workers;

/** How workers are made. */
struct workers_options {
    unsigned count;   /**< 1 to #WORKERS_MAX */
    bool pin;         /**< each to one of the CPUs of the process, or they do not start */
    bool realtime;    /**< each has the least real-time priority, and shares a CPU with others of
                         it in turns; or they do not start */
    bool low_latency; /**< as loop_poll_devices(); where the system cannot, making them fails */
    void (*began)(void *user); /**< called first in each thread; may be NULL */
    void *user;
};

/** Makes workers without threads yet.
 * @param[out] workers untouched on failure; ended with workers_free().
 * @return 0 or a negative errno value. */
int workers_new(struct workers **workers, const struct workers_options *options);

/** Starts the threads, named worker-0 and so on, and waits until each has begun. Called once.
 * @return 0, or a negative errno value, also in @p error: workers_free() is due then, too. */
int workers_start(struct workers *workers, struct error *error);

/** Ends the threads, waits for that, and frees everything, also what was retired. NULL is fine. */
void workers_free(struct workers *workers);

unsigned workers_count(const struct workers *workers);

/** A worker by its index, from any thread. */
struct worker *workers_get(struct workers *workers, unsigned index);

/** Calls a function once in each worker, between two batches, and waits until all have done it.
 * Before workers_start() the calling thread does it instead. */
void workers_call(struct workers *workers, void (*call)(struct worker *worker, void *user),
                  void *user);

/** Something that workers may still use, as the first member of it. The members are the workers'
 * own affair. */
struct retired {
    struct retired *next;
    void (*release)(struct retired *retired);
};

/** Releases something, when no worker can be using what it took of it before: it must have been
 * replaced, by quiescent_publish(). The release is called by this function, by workers_tick() or by
 * workers_free(). */
void workers_retire(struct workers *workers, struct retired *retired,
                    void (*release)(struct retired *retired));

/** To be called every second: releases what was retired, and finds out which neighbours are
 * missing, so that what is sent to them leaves room for others.
 * @param now_ns monotonic.
 * @return whether all workers have turned within #WORKER_DEAD_NS, as far as these calls can tell:
 * it compares with what the calls before saw. */
bool workers_tick(struct workers *workers, int64_t now_ns);

#endif

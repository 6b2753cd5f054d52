/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The thread of a run with XDP that lets the kernel send.
 */
#ifndef PADDOCK_LOAD_XDP_SENDER_H
#define PADDOCK_LOAD_XDP_SENDER_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "load/xdp_setup.h"

/** Between looks at what the programs have counted: nothing wakes us. */
#define XDP_LOOK_NS 500000

/** The thread; its members are its own affair. */
struct xdp_sender {
    struct xdp_setup *setup;
    pthread_t thread;
    struct sigaction action_before;
    atomic_bool is_over; /**< both: the threads' word to each other, in any order */
    atomic_int error;    /**< errno; 0: none yet */
};

/**
 * Starts the thread, which calls the sending program from then on, and waits until it is called.
 * The program decides what leaves, and when. Takes SIGUSR1 for itself until it is stopped.
 *
 * @param sender zeroed.
 * @param setup open; outlives the thread, which reads what does not change any more.
 * @return 0 or a negative errno value with the error of @p setup set: there is no thread.
 */
int xdp_sender_start(struct xdp_sender *sender, struct xdp_setup *setup);

/** Whether the kernel has refused to send, and the thread is over: xdp_sender_stop() says why. */
bool xdp_sender_failed(const struct xdp_sender *sender);

/** Ends the thread. Blocks until it has ended.
 * @return 0 or a negative errno value with a line: the kernel did not send. */
int xdp_sender_stop(struct xdp_sender *sender);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Signals as something to wait for with poll(2).
 */
#ifndef PADDOCK_LOOP_SIGNALS_H
#define PADDOCK_LOOP_SIGNALS_H

#include <signal.h>

/** Sets @p set to what asks a program to stop: SIGINT and SIGTERM. */
void signals_stop_set(sigset_t *set);

/** Sets @p set to what asks a command to end with its results: SIGINT, SIGTERM, and SIGHUP unless
 * it is ignored, as below nohup(1). */
void signals_end_set(sigset_t *set);

/**
 * Blocks signals in the calling thread, and in those that it starts from then on, and opens a
 * non-blocking descriptor that is readable while one of them is pending.
 *
 * @param[out] before the mask as it was, for signals_close(); may be NULL. Untouched on failure.
 * @return the descriptor, the caller's, or a negative errno value: nothing has changed.
 */
int signals_open(const sigset_t *set, sigset_t *before);

/** Closes the descriptor and restores the mask. */
void signals_close(int fd, const sigset_t *before);

/** Takes one signal. @return its number, or 0: there is none. */
int signals_take(int fd);

#endif

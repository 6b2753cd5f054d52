/** @file
 * Signals that end a run.
 */
#ifndef PADDOCK_LOAD_STOP_H
#define PADDOCK_LOAD_STOP_H

/** Takes the signals that have come. Does not block.
 * @param fd a non-blocking signalfd.
 * @return how many. */
unsigned stop_signals_take(int fd);

#endif

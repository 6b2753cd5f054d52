/** @file
 * The process that serves: start-up, workers, signals, the end.
 */
#ifndef PADDOCK_DAEMON_DAEMON_H
#define PADDOCK_DAEMON_DAEMON_H

#include "base/log.h"
#include "config/config.h"

/**
 * Runs the services that @p config asks for, in the calling thread and one thread a worker, until
 * SIGINT or SIGTERM. Says "qcmp ready" in the log when it answers, and gives the counts when it has
 * stopped. Both signals are blocked in the calling thread from then on. An error that ends the
 * start is one line on stderr.
 *
 * @return the exit status: 0 after a clean stop, 255 after an error.
 */
int daemon_run(const struct config *config, struct log *log);

#endif

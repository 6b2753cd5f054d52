/** @file
 * The process that serves: start-up, workers, signals, reload, the end.
 */
#ifndef PADDOCK_DAEMON_DAEMON_H
#define PADDOCK_DAEMON_DAEMON_H

#include "base/log.h"
#include "config/config.h"

/** What the process was started with; a reload reads it again. Borrowed for the whole run. */
struct daemon_start {
    int argc;
    char *const *argv;
    const struct config_environment *environment;
};

/**
 * Runs the services that @p config asks for, in the calling thread, one thread a worker and one for
 * the admin server, until SIGINT or SIGTERM; SIGHUP, and a change of the configuration file, reload
 * it. Says "qcmp ready" in the log when it answers, and gives the counts when it has stopped. These
 * signals are blocked in the calling thread from then on, and SIGPIPE is ignored. An error that
 * ends the start is one line on stderr.
 *
 * @param config taken over: released with config_free() before the return.
 * @return the exit status: 0 after a clean stop, 255 after an error.
 */
int daemon_run(struct config *config, const struct daemon_start *start, struct log *log);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The process that serves: start, reload, stop.
 */
#ifndef PADDOCK_DAEMON_DAEMON_H
#define PADDOCK_DAEMON_DAEMON_H

#include "base/log.h"
#include "config/config.h"
#include "service/service.h"

/** What the process was started with. Borrowed for the whole run. */
struct daemon_start {
    const struct service_ops *const *services; /**< ended by NULL */
    struct config_source source;               /**< a reload reads it again */
};

/**
 * Runs the services that @p config wants, in the calling thread, one thread a worker and one for
 * the admin server, until SIGINT or SIGTERM; SIGHUP, and a change of the configuration file, reload
 * it. These signals are blocked in the calling thread from then on; SIGPIPE and SIGXFSZ are
 * ignored. An error that ends the start is one line on stderr.
 *
 * @param config taken over: released before the return.
 * @return the exit status: 0 after a clean stop, 255 after an error.
 */
int daemon_run(struct config *config, const struct daemon_start *start, struct log *log);

#endif

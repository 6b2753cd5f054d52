/** @file
 * Least privilege: what a service gives up once its ports are bound.
 */
#ifndef PADDOCK_DAEMON_PRIVILEGES_H
#define PADDOCK_DAEMON_PRIVILEGES_H

#include <stdbool.h>

#include "base/log.h"

/**
 * Gives up what the process does not need: started as root it becomes @p user, keeps
 * CAP_NET_BIND_SERVICE alone (for a later change of the port), empties the bounding set and its
 * groups, and can gain no new privileges. Started as somebody else it keeps that capability alone
 * of those it was given, and gives up gaining new ones. Threads that are started afterwards inherit
 * all this; there must be none before.
 *
 * Each step is logged. Where the system does not permit it (a container without capabilities) that
 * is a warning.
 * @return 0, or a negative errno value with one line on stderr: the user does not exist, or the
 *         process would be left halfway.
 */
int privileges_drop(const char *user, struct log *log);

/**
 * Allows the calling thread the system calls of a worker, and no other; any other ends the process.
 * For good.
 * @return 0 or a negative errno value: nothing has changed.
 */
int privileges_confine_worker(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Least privilege: what a service gives up once its ports are bound.
 */
#ifndef PADDOCK_DAEMON_PRIVILEGES_H
#define PADDOCK_DAEMON_PRIVILEGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"

/** A capability of capabilities(7) as a set. */
#define PRIVILEGES_CAPABILITY(number) (UINT64_C(1) << (number))

/**
 * Gives up what the process does not need: it keeps no capability but those of @p keep that it has,
 * empties the bounding set of the others, and can gain no new privileges. Started as root it
 * becomes @p user, without groups. Threads that are started afterwards inherit all this; there must
 * be none before.
 *
 * Each step is logged. Where the system does not permit it to root (a container without
 * capabilities), or @p user is root as well, that is a warning.
 * @param user  a name; or the number of a user, who need not have a name, and whose group is then
 *              the one of that number.
 * @param keep  capabilities, by PRIVILEGES_CAPABILITY(), with | between them.
 * @return 0, or a negative errno value, also in @p error: the user does not exist, or the process
 *         would be left halfway.
 */
int privileges_drop(const char *user, uint64_t keep, struct log *log, struct error *error);

/**
 * Forbids the calling thread, and all that it starts afterwards, what no part of the service does
 * after its start: to run programs, to look into other processes, to change what it sees of the
 * system, to open other sockets than those of its services. A forbidden call ends the process; a
 * forbidden socket is an error.
 * @param needs_bpf whether bpf(2) stays, for XDP.
 * @return 0 or a negative errno value: nothing has changed.
 */
int privileges_confine_process(bool needs_bpf);

/** Forbids the calling thread, which serves HTTP, to open sockets and to use bpf(2).
 * @return as privileges_confine_process(). */
int privileges_confine_http(void);

/**
 * Allows the calling thread the system calls of a worker for good; any other ends the process. A
 * worker receives and sends, waits, reads clocks; opens, binds and closes UDP sockets; and changes
 * what its epoll waits for.
 * @return 0 or a negative errno value: nothing has changed.
 */
int privileges_confine_worker(void);

#endif

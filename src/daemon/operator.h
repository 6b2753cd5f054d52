/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the admin server shows of the daemon.
 */
#ifndef PADDOCK_DAEMON_OPERATOR_H
#define PADDOCK_DAEMON_OPERATOR_H

#include "admin/admin.h"
#include "daemon/state.h"

/** The callbacks of the admin server; their user is a struct daemon. */
struct admin_callbacks operator_callbacks(void);

/** Makes ready to show a configuration. operator_show() or operator_abandon() follows.
 * @param config from operator_show() on freed when it is neither in force nor shown any more.
 * @return NULL without memory. */
struct shown *operator_prepare(struct config *config);

/** Frees what was not shown, but not its configuration. NULL is fine. */
void operator_abandon(struct shown *shown);

/** Shows another configuration from now on, with what services and catalog add to it. */
void operator_show(struct daemon *daemon, struct shown *shown);

/** Adds what there was no memory to add before. To be called every second. */
void operator_complete(struct daemon *daemon);

/** Shows nothing any more, at the end. */
void operator_forget(struct daemon *daemon);

/** Answers what the admin server's thread has asked since the last call, if anything; to be called
 * in each turn of the control thread. */
void operator_answer(struct daemon *daemon);

#endif

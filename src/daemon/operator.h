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

/** Shows another configuration from now on, with what services and catalog add to it.
 * @param config taken over, and freed when it is neither in force nor shown any more.
 * @return 0 or -ENOMEM: nothing has changed, and @p config stays the caller's. */
int operator_show(struct daemon *daemon, struct config *config);

/** Shows nothing any more, at the end. */
void operator_forget(struct daemon *daemon);

#endif

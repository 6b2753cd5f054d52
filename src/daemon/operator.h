/** @file
 * What the admin server shows of the daemon.
 */
#ifndef PADDOCK_DAEMON_OPERATOR_H
#define PADDOCK_DAEMON_OPERATOR_H

#include "admin/admin.h"
#include "daemon/state.h"

/** The callbacks of the admin server; their user is a struct daemon. */
struct admin_callbacks operator_callbacks(void);

/** Whether the process works: its workers turn, and so does the main loop. */
bool operator_alive(const struct daemon *daemon);

#endif

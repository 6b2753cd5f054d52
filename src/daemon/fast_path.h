/** @file
 * The engine that the configuration wants, as far as it is more than sockets: XDP, and what the log
 * says of it.
 */
#ifndef PADDOCK_DAEMON_FAST_PATH_H
#define PADDOCK_DAEMON_FAST_PATH_H

#include "base/log.h"
#include "daemon/settings.h"
#include "fastpath/xdp.h"
#include "qcmp/settings.h"

/**
 * Attaches XDP where the configuration asks for it, or leaves it to us and the host has what it
 * takes. Needs privileges; see fastpath/xdp.h. Logs what was set for XDP and has no effect.
 *
 * @param[out] xdp NULL where the sockets are alone; the caller's, for xdp_close().
 * @return 0, or a negative errno value after a line on stderr.
 */
int fast_path_open(struct xdp **xdp, const struct process_settings *process,
                   const struct qcmp_settings *qcmp, struct log *log);

/** Logs why XDP has left everything to the sockets; #XDP_NOTHING logs nothing. */
void fast_path_report(const struct xdp *xdp, enum xdp_event event, struct log *log);

#endif

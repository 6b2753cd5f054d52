/** @file
 * The engine that the configuration wants, as far as it is more than sockets: XDP, and what the log
 * says of it.
 */
#ifndef PADDOCK_DAEMON_FAST_PATH_H
#define PADDOCK_DAEMON_FAST_PATH_H

#include "base/log.h"
#include "config/config.h"
#include "fastpath/fastpath.h"
#include "qcmp/fast.h"

/**
 * Attaches XDP where the configuration asks for it, or leaves it to us and the host has what it
 * takes. Needs privileges; see fastpath/fastpath.h. Logs what was set for XDP and has no effect.
 *
 * @param[out] xdp NULL where the sockets are alone; the caller's, for fastpath_close().
 * @return 0, or a negative errno value after a line on stderr.
 */
int fast_path_open(struct fastpath **xdp, struct qcmp_fast **fast, const struct config *config,
                   struct log *log);

/** Logs why XDP has left everything to the sockets; #FASTPATH_NOTHING logs nothing. */
void fast_path_report(const struct fastpath *xdp, enum fastpath_event event, struct log *log);

/** Logs for what reason XDP has left everything to the sockets. */
void fast_path_report_detached(const struct fastpath *xdp, const char *reason, struct log *log);

#endif

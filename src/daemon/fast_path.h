/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * XDP in front of the sockets, as the configuration wants it, and what the log says of it.
 */
#ifndef PADDOCK_DAEMON_FAST_PATH_H
#define PADDOCK_DAEMON_FAST_PATH_H

#include "base/error.h"
#include "base/log.h"
#include "daemon/settings.h"
#include "fastpath/fastpath.h"
#include "service/service.h"

/**
 * Attaches XDP where the configuration asks for it, or leaves the choice and the host has what it
 * takes. Needs privileges; see fastpath/fastpath.h. Logs what was set for XDP and has no effect.
 *
 * @param services ended by NULL; those that @p config wants say where they listen.
 * @param[out] fastpath NULL where the sockets are alone; the caller's, for fastpath_close().
 * @return 0, or a negative errno value, also in @p error.
 */
int fast_path_open(struct fastpath **fastpath, const struct config *config,
                   const struct service_ops *const *services, struct log *log, struct error *error);

/** Logs why XDP has left everything to the sockets; #FASTPATH_NOTHING logs nothing. */
void fast_path_report(const struct fastpath *fastpath, enum fastpath_event event, struct log *log);

#endif

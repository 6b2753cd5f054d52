/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Taking over a changed configuration while the services run.
 */
#ifndef PADDOCK_DAEMON_RELOAD_H
#define PADDOCK_DAEMON_RELOAD_H

#include <stdbool.h>

#include "daemon/state.h"

/** Tells the catalog what a configuration says of the world. @return 0 or -ENOMEM. */
int reload_tell_catalog(struct catalog *catalog, const struct config *config);

/**
 * Loads the configuration again and applies it whole or not at all: all services prepare before any
 * commits. A file that is gone or has nothing in it any more is refused. What cannot change at run
 * time keeps its value, and a warning names it. Logged and counted, whatever comes of it.
 *
 * @param is_repeated the last call asked for this one: if there is still no descriptor, that is
 * neither logged nor counted again.
 * @return whether to call it again in a while: there was no descriptor to open the file with, and
 * nothing tells when there is.
 */
bool reload(struct daemon *daemon, bool is_repeated);

#endif

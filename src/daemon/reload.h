/** @file
 * Taking over a changed configuration while the service runs.
 */
#ifndef PADDOCK_DAEMON_RELOAD_H
#define PADDOCK_DAEMON_RELOAD_H

#include <stdbool.h>

#include "daemon/state.h"

/** Warns about what a configuration has and nothing here uses yet.
 * @param load counts the loads from 1: it makes the warnings of each distinct. */
void reload_warn_unused(struct log *log, const struct config *config, uint64_t load);

/** What a configuration says about who is answered; borrows from it. */
struct rules_options reload_rules(const struct config *config);

/** Warns when the sockets hold less than the configuration asks for: at the start, and after a
 * change of the port, which the process makes without the privilege that it started with. */
void reload_warn_receive_buffer(const struct daemon *daemon);

/**
 * Loads the configuration again and applies it whole or not at all. A changed port is bound first:
 * where that fails, nothing of the new configuration applies; nor does a file that is gone or has
 * nothing in it any more. What cannot change at run time keeps its value, and a warning names it.
 * Logged and counted, whatever comes of it. Called by the main loop.
 *
 * @param is_repeated the last call asked for this one: if there is still no descriptor, that is
 * neither logged nor counted again.
 * @return whether to call it again in a while: there was no descriptor to open the file with, and
 * nothing tells when there is.
 */
bool reload(struct daemon *daemon, bool is_repeated);

#endif

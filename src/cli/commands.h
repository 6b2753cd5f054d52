/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The subcommands. Each takes its own arguments, with its name as argv[0], and returns the exit
 * status.
 */
#ifndef PADDOCK_CLI_COMMANDS_H
#define PADDOCK_CLI_COMMANDS_H

#include "base/log.h"
#include "config/config.h"

/** `paddock ping`: see paddock-ping(1). 0 = every target answered, 1 = one did not, 2 = usage, or a
 * name without address. */
int cmd_ping(int argc, char *const *argv);

/** `paddock load`: see paddock-load(1). 0 = there were answers, 1 = none, 2 = usage, a name without
 * address, or a target that is refused. */
int cmd_load(int argc, char *const *argv);

/** `paddock qcmp ping`, as the reference has it: results are log events. 0 = an answer came, 255 =
 * none, 2 = usage. */
int cmd_qcmp(int argc, char *const *argv, struct log *log);

/** `paddock relay`: see paddock-relay(1). 0 = it was told to stop, 2 = usage, 255 = the system
 * failed. */
int cmd_relay(int argc, char *const *argv);

/** `paddock check`: says whether a service would take the configuration file. @p file names it
 * unless an argument does. 0 = it would, 2 = it would not (what is wrong is on stdout), or
 * usage, 255 = it would, but that could not be written. */
int cmd_check(int argc, char *const *argv, const struct config_file *file,
              const struct config_environment *environment);

/** `paddock generate-config-schema`: the JSON Schema of the file on stdout. 0, 2 = usage, 255 = it
 * could not be written. */
int cmd_schema(int argc, char *const *argv);

/** `paddock sessions`: the live sessions of a proxy on this host. 0, 2 = usage, 255 = it does not
 * answer, or the output fails. */
int cmd_sessions(int argc, char *const *argv);

/** `paddock control`: the peers of a service on this host in the control plane. As cmd_sessions().
 */
int cmd_control(int argc, char *const *argv);
/** `paddock sites`: what it is from here over a proxy to each data centre. 0 = every proxy has
 * answered, 1 = one has not, 2 = usage, or a file that cannot be used, 255 = none has, or the
 * output fails. */
int cmd_sites(int argc, char *const *argv);

/** `paddock trace`: drops, the players that send the most, or a session's datagrams. As
 * cmd_sessions().
 */
int cmd_trace(int argc, char *const *argv);

#endif

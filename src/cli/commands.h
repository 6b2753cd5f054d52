/** @file
 * The subcommands. Each takes its own arguments, with its name as argv[0], and returns the exit
 * status.
 */
#ifndef PADDOCK_CLI_COMMANDS_H
#define PADDOCK_CLI_COMMANDS_H

#include "base/log.h"

#define EXIT_USAGE 2
#define EXIT_FAILED 255

/** `paddock ping`: see paddock-ping(1). 0 = every target answered, 1 = one did not, 2 = usage, or a
 * name without address. */
int cmd_ping(int argc, char *const *argv);

/** `paddock qcmp ping`, as the reference has it: results are log events. 0 = an answer came, 255 =
 * none, 2 = usage. */
int cmd_qcmp(int argc, char *const *argv, struct log *log);

#endif

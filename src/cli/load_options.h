/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The command line of `paddock load`.
 */
#ifndef PADDOCK_CLI_LOAD_OPTIONS_H
#define PADDOCK_CLI_LOAD_OPTIONS_H

#include "cli/command.h"
#include "load/load.h"

/** What it says. */
struct load_arguments {
    struct load_options options; /**< without target, seed and stop_fd */
    const char *target;          /**< a word of argv; NULL: none */
    struct family_options family;
    bool xdp;
    bool json;
    bool help;
    bool owned; /**< --yes-i-own-this-target */
};

extern const struct command load_command;

/**
 * Reads a command line, with the name of the command as argv[0], and checks all that can be checked
 * without looking at the target.
 *
 * @param[out] arguments undefined on failure.
 * @return 0 or a negative errno value, with the error set to one line.
 */
int load_options_parse(struct load_arguments *arguments, int argc, char *const *argv,
                       struct error *error);

#endif

/** @file
 * The command line of `paddock load`.
 */
#ifndef PADDOCK_CLI_LOAD_OPTIONS_H
#define PADDOCK_CLI_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <qcmp/client.h>

#include "load/load.h"

/** What it says. */
struct load_arguments {
    struct load_options options; /**< without target, seed and stop_fd */
    char *target;                /**< a word of argv; NULL: none */
    enum qcmp_family family;
    bool xdp;
    bool json;
    bool help;
    bool owned; /**< --yes-i-own-this-target */
};

/** Prints the options, as part of the help. */
void load_options_print_help(FILE *stream);

/**
 * Reads a command line, with the name of the command as argv[0], and checks all that can be checked
 * without looking at the target.
 *
 * @param[out] arguments undefined on failure.
 * @param[out] message one line on failure.
 * @return 0 or -1.
 */
int load_options_parse(struct load_arguments *arguments, int argc, char *const *argv, char *message,
                       size_t capacity);

#endif

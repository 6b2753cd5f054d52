/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The command line of `paddock relay`.
 */
#ifndef PADDOCK_CLI_RELAY_OPTIONS_H
#define PADDOCK_CLI_RELAY_OPTIONS_H

#include "cli/command.h"
#include "relay/relay.h"

/** What the command line says. */
struct relay_arguments {
    struct relay_options options; /**< but for key, and for seed unless seed_given */
    bool seed_given;
    bool json;
    bool help; /**< nothing else counts then */
};

extern const struct command relay_command;

/**
 * Reads the command line. A name after `--to` is resolved, which may block.
 *
 * @param[out] error one line about what is wrong, fit to be shown.
 * @return 0 or a negative errno value, with the error set.
 */
int relay_arguments_parse(struct relay_arguments *arguments, int argc, char *const *argv,
                          struct error *error);

/**
 * Reads a rate: bits a second, as a number with k, M or G for thousands, millions or billions.
 * @param[out] bits an int64_t, 0 to #IMPAIR_MAX_RATE_BITS; untouched on failure.
 * @return 0 or -1.
 */
int relay_rate_parse(const char *text, void *bits);

/**
 * Reads a fraction, with at most 15 decimals.
 * @param[out] fraction a double, 0 to 1; untouched on failure.
 * @return 0 or -1.
 */
int relay_fraction_parse(const char *text, void *fraction);

#endif

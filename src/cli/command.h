/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What all commands have in common: help, errors of usage, output, and options of several.
 */
#ifndef PADDOCK_CLI_COMMAND_H
#define PADDOCK_CLI_COMMAND_H

#include <qcmp/client.h>

#include "config/flags.h"

#define EXIT_USAGE 2
#define EXIT_FAILED 255

/** A command of the program. */
struct command {
    const char *name;           /**< in front of errors: "ping" */
    const char *help_name;      /**< where --help stands: "qcmp ping" */
    const char *about;          /**< the help in front of the options, without "Options:" */
    const char *exit_status;    /**< the help behind the options; may be NULL */
    const struct field *fields; /**< the options */
};

/** Prints the help of a command. @return the exit status. */
int command_help(const struct command *command);

/** Says on stderr that the command was not called as it should be. @return EXIT_USAGE. */
int command_usage(const struct command *command, const char *what);

/** Says on stderr what failed. @return EXIT_FAILED. */
int command_fail(const struct command *command, const char *what);

/** Makes sure that what was printed to the standard output has arrived. May block.
 * @return the exit status: 0, or EXIT_FAILED with a line on stderr. */
int output_finish(void);

/* Rows of options that several commands have. */
#define OPTION_AMOUNT(type, member)                                                                \
    {                                                                                              \
        .flag = "amount", .letter = 'a', .help = "pings to each target", .placeholder = "N",       \
        .default_text = "5", .kind = FIELD_NUMBER, .min = 1, .max = PING_MAX_AMOUNT,               \
        FIELD_AT(type, member)                                                                     \
    }
#define OPTION_INTERVAL(type, member, help_, default_)                                             \
    {                                                                                              \
        .flag = "interval", .letter = 'i', .help = (help_), .placeholder = "DURATION",             \
        .default_text = (default_), .kind = FIELD_DURATION, .max = PING_MAX_INTERVAL_NS,           \
        FIELD_AT(type, member)                                                                     \
    }
#define OPTION_TIMEOUT(type, member, help_, max_)                                                  \
    {                                                                                              \
        .flag = "timeout", .letter = 't', .help = (help_), .placeholder = "DURATION",              \
        .default_text = "1s", .kind = FIELD_DURATION, .min = 1, .max = (max_),                     \
        FIELD_AT(type, member)                                                                     \
    }
#define OPTION_MARK(type, member, flag_, letter_, help_)                                           \
    {                                                                                              \
        .flag = (flag_), .letter = (letter_), .help = (help_), .kind = FIELD_MARK,                 \
        FIELD_AT(type, member)                                                                     \
    }
#define OPTION_FORMAT(type, member, flag_, help_)                                                  \
    {                                                                                              \
        .flag = (flag_), .help = (help_), .placeholder = "human|json", .default_text = "human",    \
        .kind = FIELD_WORD, .words = command_formats, FIELD_AT(type, member)                       \
    }

/** The words of a bool: human, json. */
extern const char *const command_formats[];

/** -4 and -6. */
struct family_options {
    bool ipv4, ipv6;
};

/** The family that they name, of which one may be given. */
enum qcmp_family command_family(const struct family_options *options);

#define OPTION_FAMILIES(type, member)                                                              \
    OPTION_MARK(type, member.ipv4, "ipv4", '4', "IPv4 addresses only"),                            \
        OPTION_MARK(type, member.ipv6, "ipv6", '6', "IPv6 addresses only")

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Command lines by the table of fields: long names as `--name value` or `--name=value`, letters as
 * `-n value`, `-nvalue` or `-n=value`, letters in a row (`-qV`), `--` to end the flags. Long names
 * are not abbreviated. The arguments are neither changed nor reordered, and nothing allocates.
 */
#ifndef PADDOCK_CONFIG_FLAGS_H
#define PADDOCK_CONFIG_FLAGS_H

#include <stdbool.h>
#include <stdio.h>

#include "config/config.h"
#include "config/field.h"

/** The most rows of all tables of a command line. */
#define FLAGS_MAX 256

enum flags_event {
    FLAGS_END,  /**< no more flags; reader.index is the first word that was not looked at */
    FLAGS_FLAG, /**< reader.field, reader.row and reader.value */
    FLAGS_WORD, /**< reader.value is a word that is no flag */
    FLAGS_ERROR /**< the error says what is wrong; the reading is over */
};

/** A reading under way. The caller sets the first four members, and index to 1. */
struct flags_reader {
    const struct field_table *tables;
    size_t count;
    int argc;
    char *const *argv;
    int index;           /**< the next argument to look at */
    bool stops_at_word;  /**< the first word that is no flag ends the flags: a command follows */
    const char *letters; /**< what is left of a row of letters, or NULL */
    bool only_words;     /**< past `--` */
    struct error *error;

    const struct field *field; /**< the flag found */
    size_t row;                /**< its number in all tables */
    const char *value; /**< part of argv or a literal; of a boolean `true` or `false`, of a mark
                            `true` */
};

/** Finds the next flag or word. After #FLAGS_END or #FLAGS_ERROR it must not be called again. */
enum flags_event flags_next(struct flags_reader *reader);

/** The words of a command's line that are no flags. */
struct flags_words {
    const char **items; /**< room for argc of them; NULL: none is permitted */
    size_t count;
};

/**
 * Reads the whole line of a command, with its name as argv[0]. Variables are not looked at.
 * @param settings with its defaults; half changed on failure.
 * @param[out] error one line on failure.
 * @return 0 or -EINVAL.
 */
int flags_parse(const struct field_table *table, int argc, char *const *argv,
                struct flags_words *words, struct error *error);

/** The text of each flag that was given, by its row in all tables. */
struct flags {
    const struct field_table *tables;
    size_t count;
    const char *texts[FLAGS_MAX]; /**< NULL: not given */
    char *joined[FLAGS_MAX];      /**< what texts has of a #FIELD_REPEATED flag, or NULL */
};

/** Notes the text of a flag: in place of the one before, or behind it by #FIELD_REPEATED.
 * @return 0 or -ENOMEM. */
int flags_note(struct flags *flags, const struct field *field, size_t row, const char *text);

/** Frees what flags_note() has joined. */
void flags_fini(struct flags *flags);

/**
 * Applies flags, and for those not given their variables; then the aliases: of a flag and a
 * variable the flag wins, two of one kind must agree.
 *
 * @param supported_only not to look at the variables of what is not supported.
 * @return 0, or -EINVAL with an error.
 */
int flags_apply(const struct flags *flags, const struct config_environment *environment,
                bool supported_only, struct error *error);

/** The row with a number in all tables; NULL behind the last.
 * @param[out] settings its struct; may be NULL. */
const struct field *flags_row(const struct field_table *tables, size_t count, size_t row,
                              void **settings);

/** Prints one line of help for each row with a flag that is not hidden, aligned. */
void flags_print_help(FILE *stream, const struct field_table *tables, size_t count);

#endif

/** @file
 * Command lines by table: long names as `--name value` or `--name=value`, letters as `-n value`,
 * `-nvalue` or `-n=value`, letters in a row (`-qV`), `--` to end the options. Long names are not
 * abbreviated.
 *
 * One table serves the parser and the help. All state is in the caller's struct options: parsers do
 * not disturb each other, and the arguments are neither changed nor reordered. Nothing here
 * allocates.
 */
#ifndef PADDOCK_BASE_OPTIONS_H
#define PADDOCK_BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/** Room for options.error. */
#define OPTIONS_ERROR_BYTES 256

enum option_kind {
    OPTION_FLAG,   /**< takes no value */
    OPTION_SWITCH, /**< alone = true; or `=true`, `=false`, or the word `true` or `false` after it
                    */
    OPTION_VALUE   /**< needs a value; one that starts with `-` needs the form with `=` */
};

/** One row of a table. A row without a name ends it. */
struct option_spec {
    const char *name; /**< without the dashes */
    char letter;      /**< 0: none */
    enum option_kind kind;
    bool hidden;              /**< not in the help */
    const char *placeholder;  /**< of an #OPTION_VALUE, for the help */
    const char *help;         /**< one line; NULL if hidden */
    const char *environment;  /**< the variable that means the same, for the help; may be NULL */
    const char *default_text; /**< for the help; may be NULL */
    const void *user;         /**< the table's owner's */
};

enum options_words {
    OPTIONS_STOP_AT_WORD, /**< the first word that is no option ends the options: a command follows
                           */
    OPTIONS_MIX_WORDS     /**< words and options come in any order */
};

enum options_event {
    OPTIONS_END,    /**< no more options; options.index is the first word that was not looked at */
    OPTIONS_OPTION, /**< options.spec, and options.value unless it is an #OPTION_FLAG */
    OPTIONS_WORD,   /**< options.value is a word that is no option; only with #OPTIONS_MIX_WORDS */
    OPTIONS_ERROR   /**< options.error says what is wrong; the parse is over */
};

/** A parse under way. Read spec, value, index and error; the rest is its own affair. */
struct options {
    const struct option_spec *specs;
    enum options_words words;
    int argc;
    char *const *argv;
    int index;           /**< the next argument to look at */
    const char *letters; /**< what is left of a row of letters, or NULL */
    bool only_words;     /**< past `--` */

    const struct option_spec *spec; /**< the option found */
    const char *value; /**< part of argv or a literal; of an #OPTION_SWITCH `true` or `false` */
    char error[OPTIONS_ERROR_BYTES]; /**< one line without a full stop, fit to be shown */
};

/** Starts a parse at argv[1].
 * @param specs,argv borrowed until the parse ends. */
void options_init(struct options *options, const struct option_spec *specs,
                  enum options_words words, int argc, char *const *argv);

/** Finds the next option or word. After #OPTIONS_END or #OPTIONS_ERROR it must not be called again.
 */
enum options_event options_next(struct options *options);

/** Says that an option's value is refused: "option '--NAME': 'VALUE' is not EXPECTED", with the
 * value fit to be shown.
 * @param expected such as "a number from 1 to 5"; as it is.
 * @return -1. */
int options_refuse(const char *name, const char *value, const char *expected, char *message,
                   size_t capacity);

/** Prints one line of help for each row that is not hidden, aligned, with environment and default
 * where the table has them. */
void options_print_help(FILE *stream, const struct option_spec *specs);

#endif

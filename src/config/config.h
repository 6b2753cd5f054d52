/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the operator wants: flags over environment over file over defaults, as one validated whole.
 * It consists of sections, each with a struct of its owner; nothing here knows a setting of theirs.
 */
#ifndef PADDOCK_CONFIG_CONFIG_H
#define PADDOCK_CONFIG_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "base/file_identity.h"
#include "config/field.h"

#define CONFIG_PATH_BYTES 4096
/** Sections of one configuration. */
#define CONFIG_MAX_SECTIONS 16

/** The value of an environment variable, or NULL; as getenv(3). It need only last until the next
 * call. */
typedef const char *(*config_getenv_fn)(const char *name, void *user);

/** What config_load() knows of the world besides the command line. */
struct config_environment {
    config_getenv_fn get;
    void *user;
    const char *host_name; /**< the default service id; borrowed during the load */
};

/** The settings of one owner. */
struct config_section {
    const char *name;
    const struct field *fields;
    size_t bytes; /**< of its struct */
    /** Sets what no default_text can, on a struct that has those. May be NULL. */
    void (*defaults)(void *settings, const struct config_environment *environment);
    /** Checks and completes what was read, once the file and once more the flags have been applied;
     * and before the file, when only flags have. May be NULL.
     * @return 0, or a negative value with the error of a usage error. */
    int (*check)(void *settings, struct error *error);
    /** The rows that a provider's file has, of the same struct; may be NULL. */
    const struct field *provided;
};

/** Immutable, owned by whoever loaded it; any thread may read it until config_free(). */
struct config;

/** The file of a configuration. */
struct config_file {
    char path[CONFIG_PATH_BYTES];  /**< the path given, or that of the default one that was loaded;
                                        otherwise empty */
    bool is_given;                 /**< the path came from flag or environment */
    bool is_loaded;                /**< there was a file */
    bool is_empty;                 /**< there was nothing in it but comments */
    struct file_identity identity; /**< of the file when it was read; no file without one */
};

enum config_result {
    CONFIG_SERVE,   /**< run the services */
    CONFIG_COMMAND, /**< argv[report.command] is a command word; its arguments follow */
    CONFIG_NOTHING, /**< neither a service nor a command: an error, but none of usage (exit 255) */
    CONFIG_HELP,    /**< print the help, exit 0 */
    CONFIG_VERSION, /**< print the version, exit 0 */
    CONFIG_USAGE,   /**< report.error says what is wrong, exit 2 */
    CONFIG_BAD_FILE /**< report.error says what is wrong with the file (`FILE:LINE:COLUMN: KEY:
                       ...`), exit 255 */
};

/** From what a configuration is loaded. Borrowed: each section as long as the configuration lives,
 * the rest, also the list of them, during the call. */
struct config_source {
    const struct config_section *const *sections; /**< ended by NULL */
    int argc;
    char *const *argv; /**< neither changed nor reordered */
    const struct config_environment *environment;
};

struct config_report {
    int command;        /**< of #CONFIG_COMMAND: index into argv */
    bool service_asked; /**< of #CONFIG_COMMAND: a flag, not a variable, turns a service on */
    bool is_provider;   /**< of #CONFIG_BAD_FILE: it is the provider's file */
    bool is_passing;    /**< of #CONFIG_BAD_FILE: the system had no descriptor for it, so that it is
                           worth another try as it is */
    struct error error; /**< of #CONFIG_USAGE and #CONFIG_BAD_FILE */
};

/**
 * Reads the command line up to the first word that is no flag, then the environment, then, only if
 * the result is to serve, the configuration file. To reload, call it again with the same source:
 * the result is a whole new configuration or an error.
 *
 * The last of two equal flags counts. A variable is looked at only if its flag is not given; an
 * empty one is unset. What the reference has and this program does not is refused (`not supported
 * yet`), save a switch that is turned off. With a command word the variables of what is not
 * supported are not looked at: they are meant for the service beside it.
 *
 * A provider's file, which `--provider.fs` asks for, is read after it, and wins over it. It need
 * not be there.
 *
 * A file that was named must be there; a default one need not. It has at most 16 MiB, and applies
 * whole or not at all. It is a regular file; only one that a flag names may be a pipe, which is
 * read to its end when it is `/dev/stdin`. The call allocates, and blocks as long as reading the
 * file does.
 *
 * @param[out] config set with #CONFIG_SERVE, #CONFIG_COMMAND and #CONFIG_NOTHING; to be released by
 * config_free(). Otherwise untouched.
 * @param[out] report set where its members say so.
 */
enum config_result config_load(struct config **config, const struct config_source *source,
                               struct config_report *report);

/** Releases a configuration. NULL is fine. */
void config_free(struct config *config);

/** The struct of a section; NULL if the configuration was loaded without that section. Lives as
 * long as @p config. */
const void *config_settings(const struct config *config, const struct config_section *section);

/** The file of a configuration. Lives as long as @p config. */
const struct config_file *config_file(const struct config *config);

/** The file of `--provider.fs`, or NULL where nobody asked for one. It is not loaded where there is
 * none, or nothing in it. Lives as long as @p config. */
const struct config_file *config_provider(const struct config *config);

/**
 * The paths at which a change can change the configuration: the file that was given, or the default
 * ones up to the one that was loaded; and the provider's. One that does not exist may come.
 *
 * @return the path number @p index, from 0; NULL behind the last. Lives as long as @p config.
 */
const char *config_watch_path(const struct config *config, unsigned index);

/** How many names config_diff() gives at most. */
#define CONFIG_DIFF_MAX 64

/** The name of a setting, as an operator writes it. */
struct config_name {
    char text[128];
};

/**
 * Which settings differ that cannot change while the service runs.
 *
 * @param[out] names the first so many are set: keys as the file has them (`paddock.workers`), or
 * flags (`--admin.address`) of rows without a key.
 * @return how many.
 */
size_t config_diff(const struct config *running, const struct config *loaded,
                   struct config_name names[CONFIG_DIFF_MAX]);

/** Gives a loaded configuration, which nobody else reads yet, the running one's values of all
 * settings that config_diff() compares, so that it says what is in force. */
void config_keep_fixed(struct config *loaded, const struct config *running);

/**
 * The configuration in force, in the shape of the file; what a file cannot say stands beside it
 * under `flags`. Without that member it is a file that gives the same configuration.
 *
 * @param with_private whether to show what is #FIELD_PRIVATE, such as access lists.
 * @return a reference of the caller's, or NULL without memory.
 */
json_t *config_to_json(const struct config *config, bool with_private);

/** JSON Schema (draft 2020-12) of the file. A reference of the caller's, or NULL without memory. */
json_t *config_schema(const struct config_section *const *sections);

/** Prints the usage line and the flags that are supported. */
void config_print_help(FILE *stream, const struct config_section *const *sections);

#endif

/** @file
 * Flags and environment variables, by one table, which also makes the help.
 */
#ifndef PADDOCK_CONFIG_FLAGS_H
#define PADDOCK_CONFIG_FLAGS_H

#include "config/config.h"

#define FLAGS_MAX 64

/** The text of each flag that was given, by its row in the table. */
struct flags {
    const char *texts[FLAGS_MAX]; /**< parts of argv, or literals; NULL: not given */
};

/** Collects the flags up to the first word that is none. @return #CONFIG_SERVE for the end of the
 * flags without a command; otherwise as config_load(), whose @p report it sets. */
enum config_result flags_read(struct flags *flags, int argc, char *const *argv,
                              struct config_report *report);

/**
 * Applies flags, and for those not given their variables.
 *
 * @param config may be half changed on failure.
 * @param supported_only not to look at the variables of what is not supported.
 * @return 0, or -1 with an error in the report; a second time with the same arguments it is 0.
 */
int flags_apply(struct config *config, const struct flags *flags,
                const struct config_environment *environment, bool supported_only,
                struct config_report *report);

/** The value of a variable; NULL if it is empty or not there. */
const char *flags_variable(const struct config_environment *environment, const char *name);

#endif

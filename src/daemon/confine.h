/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Filters of system calls, as tables of rules.
 */
#ifndef PADDOCK_DAEMON_CONFINE_H
#define PADDOCK_DAEMON_CONFINE_H

#include <stddef.h>
#include <stdint.h>

/** The most conditions of one rule. */
#define CONFINE_CONDITIONS 3

/** What becomes of a system call. */
struct confine_rule {
    uint32_t call;   /**< __NR_... */
    uint32_t action; /**< SECCOMP_RET_... */
    unsigned count;  /**< of conditions, all of which must be met */
    struct {
        unsigned argument; /**< 0 to 5 */
        uint32_t value;    /**< that it has in all its 64 bits */
    } where[CONFINE_CONDITIONS];
};

/** A filter: the first rule that fits a call decides, and where none does, the default. */
struct confine_filter {
    const struct confine_rule *rules;
    size_t count;
    uint32_t otherwise; /**< SECCOMP_RET_... */
};

/**
 * Puts the calling thread, and all that it starts afterwards, under a filter for good, on top of
 * those that it is under already. A call by another convention than the program's own ends the
 * process. It does not allocate. The thread must be unable to gain new privileges.
 * @return 0 or a negative errno value: nothing has changed.
 */
int confine(const struct confine_filter *filter);

#endif

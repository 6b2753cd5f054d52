/** @file
 * Whom the workers answer, as one version that is replaced whole. A version does not change, and
 * lives until no worker can be using it.
 */
#ifndef PADDOCK_DAEMON_RULES_H
#define PADDOCK_DAEMON_RULES_H

#include "guard/guard.h"
#include "net/prefix.h"
#include "responder/responder.h"

/** What a configuration says about it. Borrowed. */
struct rules_options {
    const struct prefix_list *allow, *deny;
    const struct guard_rules *guard; /**< NULL: off */
};

/** One version. */
struct rules {
    struct responder_rules responder;
    struct guard_parameters limits; /* where responder.limits points, unless that is NULL */
    struct access *access;          /* the same as responder.access */
    struct rules *next;             /* in a list of those that are not used any more */
};

/**
 * Makes a version.
 * @param table of the guard; needed if that is on. Not owned.
 * @param[out] rules allocated; untouched on failure. Released by rules_free().
 * @return 0 or -ENOMEM.
 */
int rules_new(struct rules **rules, const struct rules_options *options, struct guard_set *table,
              const struct siphash_key *key);

/** Releases a list of versions. NULL is fine. */
void rules_free(struct rules *rules);

#endif

/** @file
 * The keys of a configuration file as one table, which the parser, the schema and their tests
 * share.
 */
#ifndef PADDOCK_CONFIG_KEYS_H
#define PADDOCK_CONFIG_KEYS_H

#include "config/settings.h"

enum key_kind {
    KEY_VALUE,   /**< a scalar: key.setting */
    KEY_MAP,     /**< key.members by their names */
    KEY_TABLE,   /**< a map with free names, which key.setting checks; key.members[0] is each value
                  */
    KEY_LIST,    /**< key.min to key.max times key.members[0] */
    KEY_EITHER,  /**< key.members[0] if it is a list, otherwise key.members[1] */
    KEY_ANYTHING /**< a map that only others understand */
};

/** What may stand in one place of the file. */
struct key {
    const char *name; /**< NULL: an item */
    const char *help; /**< one line, for the schema; may be NULL */
    enum key_kind kind;
    const struct setting *setting;
    const struct key *members;
    size_t count; /**< of members */
    size_t min, max;
    const char *expected;                 /**< of a list: what its items are; of a map with
                                             a check: what that wants */
    bool required;                        /**< in its map */
    void (*start)(struct config *config); /**< before a list's or a map's items; may be NULL */
    int (*check)(
        const struct config *config); /**< of a map, behind its items: 0, or -1; may be NULL */
    json_t **(*kept)(struct config *config); /**< where its JSON is kept; NULL: nowhere */
};

/** The whole file. */
extern const struct key keys_root;

#endif

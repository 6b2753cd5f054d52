/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * One row a setting. A table of rows describes one C struct; flag, variable, key, help, schema,
 * parsing, showing and comparing all come from the row.
 */
#ifndef PADDOCK_CONFIG_FIELD_H
#define PADDOCK_CONFIG_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "config/yaml.h"

enum field_kind {
    FIELD_BOOLEAN = 0, /**< bool; as a flag it may stand alone, which is true. With field.words the
                            first of them is the only value */
    FIELD_MARK,        /**< bool; a flag that takes no value and sets it */
    FIELD_NUMBER,      /**< an unsigned integer of 1, 2, 4 or 8 bytes, field.min to field.max */
    FIELD_DURATION,    /**< int64_t, nanoseconds, field.min to field.max */
    FIELD_WORD,        /**< an unsigned integer or enum: the index into field.words */
    FIELD_TEXT,        /**< char array: 1 byte of text or more without controls and quotes; "" while
                            nothing is set */
    FIELD_CUSTOM,      /**< a scalar of a field.type */
    FIELD_ARRAY,       /**< a list in place, with its count at field.count_offset */
    FIELD_LIST,        /**< a list on the heap: a struct that begins as struct field_items does */
    FIELD_MAP,         /**< a struct in place, with rows of its own; required rows count only where
                            the map is there */
    FIELD_TREE         /**< what field.tree alone understands */
};

/** What a row is, besides its kind. */
enum field_flags {
    FIELD_FIXED = 1,        /**< cannot change at run time; owns no memory */
    FIELD_PRIVATE = 2,      /**< shown only when asked for */
    FIELD_HIDDEN = 4,       /**< not in the help */
    FIELD_REQUIRED = 8,     /**< its map must have it */
    FIELD_UNSUPPORTED = 16, /**< refused; stores nothing */
    FIELD_SERVICE = 32,     /**< a boolean that turns a service on */
    FIELD_UNIQUE = 64,      /**< a list whose items differ in their bytes */
    FIELD_REPEATED = 128,   /**< a flag whose values are joined by commas where it repeats */
    FIELD_PROVIDER = 256    /**< a boolean that turns on what stands in place of --provider.fs */
};

/** A scalar that its owner reads from text. */
struct field_type {
    /** @param[out] value untouched on failure. @return 0 or -1. */
    int (*parse)(const char *text, void *value);
    /** A new reference; JSON's null: nothing is set; NULL: there is no memory. The member may be
     * NULL: the value is never shown. */
    json_t *(*show)(const void *value);
    const char *expected; /**< behind "expected", such as "a numeric address" */
    const char *schema;   /**< JSON text; NULL: any text */
    bool takes_numbers;   /**< a file may write it without quotes where it looks like a number */
};

struct field_walk;

/** A part of a file that its owner reads itself. */
struct field_tree {
    /** Replaces the value, which is zeroed or was taken before. @return 0, or a negative value
     * after field_fail(). */
    int (*take)(void *value, const struct yaml_node *node, struct field_walk *walk);
    /** Replaces the value by that of a flag or a variable; NULL: there is none. @return 0 or -1. */
    int (*parse)(void *value, const char *text);
    /** As that of a field_type. @param with_private whether to show what is nobody else's
     * business. */
    json_t *(*show)(const void *value, bool with_private);
    json_t *(*schema)(void); /**< a new reference, or NULL without memory */
    void (*fini)(void *value);
};

/** How each struct of a #FIELD_LIST begins; struct prefix_list, for one. Zeroed it is empty. */
struct field_items {
    void *items;
    size_t count, capacity;
};

/** One setting. A row without key, flag and variable ends a table. */
struct field {
    /** Dotted, from the root of the table: "paddock.qcmp.max_age". The maps in between are implied.
     * NULL: not in files. In the table of a list's scalar items the only row has the key "". */
    const char *key;
    const char *flag;         /**< without dashes; NULL: none */
    const char *variable;     /**< of the environment; NULL: none */
    const char *help;         /**< one line, for the help and the schema; may be NULL */
    const char *placeholder;  /**< for the help of a flag with a value */
    const char *default_text; /**< the value before anything is read, as text; NULL: what zero is */
    const char *default_help; /**< what the help says of it instead of default_text */
    char letter;              /**< of the flag; 0: none */
    enum field_kind kind;
    unsigned flags;           /**< of enum field_flags */
    size_t offset, bytes;     /**< by FIELD_AT(); 0 bytes: the value is checked and forgotten */
    size_t given;             /**< by FIELD_GIVEN(): a bool that is set with the value; 0: none */
    int64_t min, max;         /**< of a number, a duration in nanoseconds, the items of a list */
    const char *expected;     /**< behind "expected"; NULL: made from kind and range */
    const char *const *words; /**< ended by NULL */
    const char *alias;        /**< a boolean that, if true, sets the row of this flag ... */
    const char *alias_text;   /**< ... to this */
    const struct field_type *type; /**< of #FIELD_CUSTOM */
    const struct field_tree *tree; /**< of #FIELD_TREE */
    const struct field *members;   /**< of a list's item, or of a map; relative to it */
    size_t item_bytes;             /**< of a list */
    size_t count_offset;           /**< of an array: a size_t */
    /** Looks at a #FIELD_MAP that was read, for instance that exactly one of two keys is there. May
     * be NULL. @return 0, or -1: it is not what check_expected says. */
    int (*check)(const void *map);
    /** Looks at the last of a list's items, beside those before it; as check. */
    int (*check_items)(const void *items, size_t count);
    const char *check_expected;
};

/** Where a row's value is: a member of a struct. */
#define FIELD_AT(type, member)                                                                     \
    .offset = offsetof(type, member), .bytes = sizeof(((type *)NULL)->member)
#define FIELD_GIVEN(type, member) .given = (offsetof(type, member) + 1)

/** A table and the struct that it describes. */
struct field_table {
    const struct field *fields;
    void *settings;
};

/** Room for the dotted path of a key. */
#define FIELD_PATH_BYTES 512

/** A reading of a tree under way. */
struct field_walk {
    struct error *error;
    char path[FIELD_PATH_BYTES]; /**< of the key under way: paddock.qcmp.listen[1] */
    size_t root;                 /**< where the key within the table begins in the path */
    void *user;                  /**< the owner's, for its trees */
};

/** Sets what default_text says, and nothing else. */
void field_defaults(const struct field *fields, void *settings);

/**
 * Reads a map of a YAML or JSON file.
 *
 * @param node of any type; what is no map is refused.
 * @param settings with its defaults; half changed on failure, and to be released by field_fini()
 * all the same.
 * @param[out] error set on failure: `LINE:COLUMN: KEY: expected ..., found ...`.
 * @return 0, or -EINVAL, or -ENOMEM.
 */
int field_parse_tree(const struct field *fields, const struct yaml_node *node, void *settings,
                     struct error *error);

/** As field_parse_tree(), of several tables that share one root. */
int field_parse_trees(const struct field_table *tables, size_t count, const struct yaml_node *node,
                      struct error *error);

/** As field_parse_tree(), of a part of a tree that is read by a field_tree. */
int field_take_map(struct field_walk *walk, const struct field *fields,
                   const struct yaml_node *node, void *settings);

/** Goes on to an item of a list. @return what to hand to field_leave(). */
size_t field_enter(struct field_walk *walk, size_t index);

/** Goes back. */
void field_leave(struct field_walk *walk, size_t length);

/** Says what is wrong at a node: `LINE:COLUMN: KEY: expected EXPECTED, found ...`.
 * @param expects_text whether a value without quotes is worth a mention.
 * @return -EINVAL. */
int field_fail(struct field_walk *walk, const struct yaml_node *node, const char *expected,
               bool expects_text);

/** Reads the value of one row from text, whether a flag's, a variable's or a file's.
 * @return 0; or -1: it is not what field_expected() says, and the value is untouched. */
int field_parse_text(const struct field *field, const char *text, void *settings);

/** What goes behind "expected" for a row.
 * @param text room for #FIELD_EXPECTED_BYTES, which the result may use. */
const char *field_expected(const struct field *field, char *text);
#define FIELD_EXPECTED_BYTES 256

/** Adds the values of a table to an object: under their keys if @p keys, otherwise those without a
 * key under their flags.
 * @param with_private whether to show what is #FIELD_PRIVATE.
 * @return 0 or -ENOMEM. */
int field_show(const struct field *fields, const void *settings, json_t *object, bool keys,
               bool with_private);

/** Whether two structs have another value in a row. */
bool field_differs(const struct field *field, const void *a, const void *b);

/** Adds the rows with keys to the schema of a map: `properties` and `required`.
 * @return 0 or -ENOMEM. */
int field_schema(const struct field *fields, json_t *schema);

/** Releases lists and trees. A zeroed struct is fine. */
void field_fini(const struct field *fields, void *settings);

#endif

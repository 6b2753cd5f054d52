/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the sources of the table of fields share.
 */
#ifndef PADDOCK_CONFIG_ROWS_H
#define PADDOCK_CONFIG_ROWS_H

#include "config/field.h"

/** The items of a list, wherever they are. */
struct rows_items {
    const char *items;
    size_t count;
};

/** False behind the last row of a table. */
static inline bool rows_is_row(const struct field *field)
{
    return field->key != NULL || field->flag != NULL || field->variable != NULL;
}

/** Whether the items of a list are scalars. */
static inline bool rows_is_scalar(const struct field *list)
{
    return list->members->key[0] == '\0';
}

/** Borrows the items of a list. */
struct rows_items rows_items(const struct field *field, const void *settings);

/** The value of a row: a new reference, JSON's null where nothing is set, or NULL without memory.
 */
json_t *rows_show(const struct field *field, const void *settings, bool with_private);

/** Goes down an object by a dotted key, and makes the objects on the way.
 * @param[in,out] key its last part on return.
 * @param in the member between two levels, such as "properties"; NULL: none.
 * @return borrowed; NULL without memory. */
json_t *rows_descend(json_t *object, const char **key, const char *in);

#endif

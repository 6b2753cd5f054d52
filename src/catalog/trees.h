/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * How a file tells clusters and data centres, and what the readers of its parts share.
 */
#ifndef PADDOCK_CATALOG_TREES_H
#define PADDOCK_CATALOG_TREES_H

#include <stdbool.h>
#include <stddef.h>

#include "config/field.h"

/** Its value is a struct clusters *. */
extern const struct field_tree clusters_tree;

/** Its value is a struct datacenters *. */
extern const struct field_tree datacenters_tree;

/** Its value is a json_t *: a list of filters that can be made, with defaults filled in. Its schema
 * points to that of the file's `filters`. */
extern const struct field_tree inner_filters_tree;

/** Its value is a const struct yaml_node *: where the member of a map stands. */
extern const struct field_tree trees_node;

/** A row of a struct of such pointers, by which field_take_map() finds the members of a map. */
#define TREES_MEMBER(type, key_, member, flags_)                                                   \
    {                                                                                              \
        .key = (key_), .kind = FIELD_TREE, .tree = &trees_node, .flags = (flags_),                 \
        FIELD_AT(type, member)                                                                     \
    }

/** Whether a member is there, and not null. */
static inline bool trees_is_there(const struct yaml_node *node)
{
    return node != NULL && node->type != YAML_NULL;
}

/** Goes on to a member of a map; field_leave() goes back. @return what to hand to it. */
size_t trees_enter(struct field_walk *walk, const char *key);

/** Says that there is no memory. @return -ENOMEM. */
int trees_fail_memory(struct field_walk *walk);

#endif

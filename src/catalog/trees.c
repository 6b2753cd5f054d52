/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/trees.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int find_node(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    (void)walk;
    memcpy(value, &node, sizeof node);
    return 0;
}

const struct field_tree trees_node = {.take = find_node};

size_t trees_enter(struct field_walk *walk, const char *key)
{
    size_t length = strlen(walk->path);

    snprintf(walk->path + length, sizeof walk->path - length, ".%s", key);
    return length;
}

int trees_fail_memory(struct field_walk *walk)
{
    return error_set(walk->error, -ENOMEM, "out of memory");
}

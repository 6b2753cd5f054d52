/** @file
 * Applies the tree of a configuration file, by the table of keys.
 */
#ifndef PADDOCK_CONFIG_APPLY_H
#define PADDOCK_CONFIG_APPLY_H

#include "config/config.h"
#include "config/yaml.h"

/**
 * @param root   NULL, or null: no keys.
 * @param config may be half changed on failure.
 * @param[out] error set on failure; its text starts with the dotted path of the key.
 * @return 0, or -1.
 */
int apply_tree(struct config *config, const struct yaml_node *root, struct yaml_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a configuration file says of filters, clusters and data centres. Their shape is checked;
 * they are kept as JSON.
 */
#ifndef PADDOCK_CATALOG_SETTINGS_H
#define PADDOCK_CATALOG_SETTINGS_H

#include <jansson.h>

#include "config/config.h"

/** Each NULL where the file has none. */
struct catalog_settings {
    json_t *filters, *clusters; /**< lists of maps */
    json_t *datacenters;        /**< a list, or a map with the key `map` */
};

/** Its settings are a struct catalog_settings. */
extern const struct config_section catalog_section;

#endif

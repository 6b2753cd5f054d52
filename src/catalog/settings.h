/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a configuration says of filters, clusters and data centres, and what its flags say of static
 * endpoints; and what the file of `--provider.fs` says: the first three providers of the catalog.
 */
#ifndef PADDOCK_CATALOG_SETTINGS_H
#define PADDOCK_CATALOG_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"
#include "config/config.h"

/** The most tokens that --provider.static.endpoint-tokens makes in all. */
#define CATALOG_STATIC_MAX_TOKENS 4194304

/** --provider.static.endpoint-tokens; zeroed: none. */
struct static_tokens {
    uint64_t count;  /**< of each endpoint */
    uint64_t length; /**< bytes of a token, 1 to 8 */
};

/** What a file tells; NULL where it says nothing. */
struct catalog_told {
    json_t *filters; /**< a list, with defaults filled in */
    struct clusters *clusters;
    struct datacenters *datacenters;
};

/** The settings of #catalog_section. */
struct catalog_settings {
    struct catalog_told config, provider; /**< the configuration's file, and a provider's */
    struct cluster
        *static_endpoints; /**< of --provider.static.endpoints, without tokens; or NULL */
    struct static_tokens static_tokens;
};

/** Its settings are a struct catalog_settings. */
extern const struct config_section catalog_section;

/**
 * Makes what a source tells of a loaded configuration.
 *
 * @param settings of the configuration, which may be freed afterwards.
 * @param locality of this process, as locality_format() writes it: that of endpoints without one;
 * "" for none.
 * @param[out] change for catalog_update(); untouched on failure.
 * @return 0 or -ENOMEM.
 */
int catalog_settings_change(const struct catalog_settings *settings, enum catalog_source source,
                            const char *locality, struct catalog_change *change);

#endif

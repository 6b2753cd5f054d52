/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The sections of a service's configuration.
 */
#ifndef PADDOCK_DAEMON_SECTIONS_H
#define PADDOCK_DAEMON_SECTIONS_H

#include "config/config.h"

/** A list of sections. */
struct section_list {
    const struct config_section *items[CONFIG_MAX_SECTIONS + 1]; /**< ended by NULL */
};

/** The sections of the process, of the catalog, and of all services in the list of services. */
struct section_list daemon_sections(void);

#endif

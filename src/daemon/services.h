/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The list of services. A new one is a line in services.c.
 */
#ifndef PADDOCK_DAEMON_SERVICES_H
#define PADDOCK_DAEMON_SERVICES_H

#include "config/config.h"
#include "service/service.h"

/** All services, ended by NULL. */
extern const struct service_ops *const services[];

/** Lists the sections of a configuration: those of the process and the catalog, and each service's.
 * @param[out] sections ended by NULL. */
void services_sections(const struct config_section *sections[CONFIG_MAX_SECTIONS + 1]);

#endif

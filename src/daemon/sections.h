/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The sections of a service's configuration.
 */
#ifndef PADDOCK_DAEMON_SECTIONS_H
#define PADDOCK_DAEMON_SECTIONS_H

#include "config/config.h"

/** Those of the process, of its services and of the catalog; ended by NULL. */
extern const struct config_section *const daemon_sections[];

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The list of services.
 */
#ifndef PADDOCK_DAEMON_SERVICES_H
#define PADDOCK_DAEMON_SERVICES_H

#include "service/service.h"

/** All services, ended by NULL. A new one is a line in services.c. */
extern const struct service_ops *const services[];

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The UDP proxy as a service.
 */
#ifndef PADDOCK_PROXY_SERVICE_H
#define PADDOCK_PROXY_SERVICE_H

#include "service/service.h"

/** `--service.udp`. Its settings are in proxy/settings.h. */
extern const struct service_ops proxy_service;

#endif

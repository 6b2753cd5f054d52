/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Phoenix as a service: it measures the latency to data centres, and tells it over HTTP.
 */
#ifndef PADDOCK_PHOENIX_SERVICE_H
#define PADDOCK_PHOENIX_SERVICE_H

#include "service/service.h"

/** `--service.phoenix`. Its settings are in phoenix/settings.h. */
extern const struct service_ops phoenix_service;

#endif

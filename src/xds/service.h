/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The control plane: tells other processes what the catalog has, and the catalog what they tell.
 */
#ifndef PADDOCK_XDS_SERVICE_H
#define PADDOCK_XDS_SERVICE_H

#include "service/service.h"

extern const struct service_ops xds_service;

#endif

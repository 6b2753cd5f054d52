/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The provider that watches Kubernetes: ConfigMaps for filters, GameServers of Agones and
 * EndpointSlices for game servers, a Lease for which replica speaks.
 */
#ifndef PADDOCK_K8S_SERVICE_H
#define PADDOCK_K8S_SERVICE_H

#include "service/service.h"

extern const struct service_ops k8s_service;

#endif

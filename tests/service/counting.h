/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A service that does nothing but count its datagrams.
 */
#ifndef PADDOCK_SERVICE_COUNTING_H
#define PADDOCK_SERVICE_COUNTING_H

#include "service/service.h"

extern const struct service_ops counting_service;

#endif

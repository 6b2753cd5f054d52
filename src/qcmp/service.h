/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The QCMP responder as a service.
 */
#ifndef PADDOCK_QCMP_SERVICE_H
#define PADDOCK_QCMP_SERVICE_H

#include "service/service.h"

/** `--service.qcmp`. Its settings are in qcmp/settings.h. */
extern const struct service_ops qcmp_service;

#endif

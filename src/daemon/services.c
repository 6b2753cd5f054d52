/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/services.h"

#include "phoenix/service.h"
#include "proxy/service.h"
#include "qcmp/service.h"
#include "xds/service.h"

const struct service_ops *const services[] = {
    &qcmp_service, &proxy_service, &phoenix_service, &xds_service, NULL,
};

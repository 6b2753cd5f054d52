/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/services.h"

#include "k8s/service.h"
#include "phoenix/service.h"
#include "proxy/service.h"
#include "qcmp/service.h"
#include "xds/service.h"

/* Services stop in the opposite order: xds tells nobody any more when k8s lets another replica
 * lead. */
const struct service_ops *const services[] = {
    &qcmp_service, &proxy_service, &phoenix_service, &k8s_service, &xds_service, NULL,
};

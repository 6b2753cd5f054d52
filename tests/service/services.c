/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/services.h"

#include "qcmp/service.h"
#include "service/counting.h"

const struct service_ops *const services[] = {
    &counting_service,
    &qcmp_service,
    NULL,
};

/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/qcmp.h>

const char *netcode_version(void);

const char *netcode_version(void)
{
    return qcmp_version();
}

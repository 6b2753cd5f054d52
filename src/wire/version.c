/* SPDX-License-Identifier: Apache-2.0 */
#include <qcmp/version.h>

const char *qcmp_version(void)
{
    return QCMP_VERSION;
}

int qcmp_version_number(void)
{
    return QCMP_VERSION_NUMBER;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/clock.h"

#include <bcrypt.h>

int qcmp_random_fill(void *buffer, size_t bytes)
{
    NTSTATUS status =
        BCryptGenRandom(NULL, (PUCHAR)buffer, (ULONG)bytes, BCRYPT_USE_SYSTEM_PREFERRED_RNG);
    return status >= 0 ? 0 : qcmp_error_from_os(ERROR_GEN_FAILURE);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

int qcmp_random_fill(void *buffer, size_t bytes)
{
    return getentropy(buffer, bytes) == 0 ? 0 : qcmp_error_from_os(errno);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "client/system.h"

#include "client/clock.h"

#include <stdlib.h>

/* macOS, the BSDs, and Android at every API level, where getrandom() and getentropy() came late. */
int qcmp_random_fill(void *buffer, size_t bytes)
{
    arc4random_buf(buffer, bytes);
    return 0;
}

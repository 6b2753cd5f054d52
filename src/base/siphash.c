/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include <errno.h>
#include <sys/random.h>

int siphash_key_init(struct siphash_key *key)
{
    ssize_t bytes;
    do
        bytes = getrandom(key, sizeof *key, 0);
    while (bytes < 0 && errno == EINTR);
    return bytes == sizeof *key ? 0 : -EIO;
}

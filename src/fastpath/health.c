/* SPDX-License-Identifier: Apache-2.0 */
#include "fastpath/health.h"

bool fastpath_health_is_bad(struct fastpath_health *health, uint64_t transmitted, uint64_t errors)
{
    if (errors < health->errors)
        *health = (struct fastpath_health){.transmitted = transmitted, .errors = errors};
    uint64_t new_frames = transmitted - health->transmitted;
    uint64_t new_errors = errors - health->errors;
    bool is_bad =
        new_errors >= FASTPATH_HEALTH_ERRORS && new_errors >= new_frames / FASTPATH_HEALTH_FRAMES;
    if (is_bad || new_frames / FASTPATH_HEALTH_FRAMES >= FASTPATH_HEALTH_ERRORS)
        *health = (struct fastpath_health){.transmitted = transmitted, .errors = errors};
    return is_bad;
}

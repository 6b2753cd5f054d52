/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Whether the figures of a run are those of the generator instead of the server. A pure function of
 * the result.
 */
#ifndef PADDOCK_LOAD_LIMIT_H
#define PADDOCK_LOAD_LIMIT_H

#include <stddef.h>

#include "load/load.h"

enum limit {
    LIMIT_ELSEWHERE, /**< the generator had room: the server, the network or what was asked for */
    LIMIT_GENERATOR, /**< the generator */
    LIMIT_UNKNOWN    /**< the generator was as busy as it can be, and so may others have been */
};

/** Room for the reason. */
#define LIMIT_REASON_BYTES 256

/**
 * Says who was the limit, and why, from the most certain sign to the least:
 * its buffers overflowed; pings of the open loop never left, or left so late that the delay makes
 * up most of the latency; it was kept from a CPU that it wanted; it never waited for anything,
 * while the processes watched had time left.
 *
 * @param[out] reason one line without a full stop.
 */
enum limit limit_judge(const struct load_options *options, const struct load_result *result,
                       char reason[LIMIT_REASON_BYTES]);

/** "generator", "elsewhere" or "unknown". */
const char *limit_text(enum limit limit);

#endif

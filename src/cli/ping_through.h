/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Pings that go the way of a player's datagram: to a proxy, on to the responder of a game server
 * behind it, and back; and how much of that is between player and proxy.
 */
#ifndef PADDOCK_CLI_PING_THROUGH_H
#define PADDOCK_CLI_PING_THROUGH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/target.h"

#define PING_THROUGH_TOKEN_BYTES 256

struct ping_through {
    struct target proxy;     /**< its port for players */
    struct target responder; /**< its QCMP responder */
    uint8_t token[PING_THROUGH_TOKEN_BYTES];
    size_t token_bytes;
    bool is_token_first; /**< in front of the ping, not behind it */
    int family;          /**< AF_UNSPEC, AF_INET or AF_INET6 */
    size_t amount;
    int64_t interval_ns, timeout_ns;
    bool is_json;
};

/** Pings and prints the results to stdout. Blocks.
 * @param[out] error set with a negative result.
 * @return how many came back through the proxy, or a negative errno value. */
long ping_through_run(const struct ping_through *through, struct error *error);

#endif

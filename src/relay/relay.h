/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A UDP relay that is as bad as the network that it stands for: between clients and one server,
 * each client with a socket of its own towards the server.
 *
 * It belongs to one thread at a time. What it does to datagrams is in relay/impair.h, what it
 * counts in relay/channel.h.
 */
#ifndef PADDOCK_RELAY_RELAY_H
#define PADDOCK_RELAY_RELAY_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/siphash.h"
#include "relay/channel.h"
#include "relay/impair.h"

/** Clients at once, at most. */
#define RELAY_MAX_CLIENTS 4096

struct relay_options {
    struct in6_addr listen;     /**< IPv4 as v4-mapped; `::` takes both */
    uint16_t listen_port;       /**< host order; 0 takes a free one */
    struct sockaddr_storage to; /**< the server's address and port */
    socklen_t to_bytes;
    struct impair_settings settings[RELAY_DIRECTIONS]; /**< within their ranges */
    uint64_t seed;
    struct siphash_key key; /**< a random one, which clients do not know */
    int64_t idle_ns;        /**< above 0: a client that sends and gets nothing for so long goes */
    size_t max_clients;     /**< 1 to #RELAY_MAX_CLIENTS */
};

struct relay;

/**
 * Opens a relay. What clients send from then on waits for relay_run().
 *
 * @param[out] relay the caller's, for relay_close(); untouched on failure.
 * @return 0 or a negative errno value; -ELOOP when it would be its own server.
 */
int relay_open(struct relay **relay, const struct relay_options *options);

/** The address that it listens on, after fallback to IPv4 and with the port it got. */
void relay_address(const struct relay *relay, struct sockaddr_storage *address, socklen_t *bytes);

/**
 * Relays until @p stop_fd is readable, which is left as it is. What has arrived by then is received
 * and, as far as it is due, sent. Blocks.
 *
 * @return 0 or a negative errno value: @p stop_fd cannot be waited for.
 */
int relay_run(struct relay *relay, int stop_fd);

/** What became of the datagrams of a direction so far. */
struct relay_counts relay_counts(const struct relay *relay, enum relay_direction direction);

/** How many clients there were. One that went and came again counts twice. */
uint64_t relay_clients_seen(const struct relay *relay);

/** Closes it; NULL is fine. */
void relay_close(struct relay *relay);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The clients of a relay by their address, and in the order in which they were seen last. A table
 * of fixed capacity; it does no I/O and knows no clock.
 */
#ifndef PADDOCK_RELAY_CLIENTS_H
#define PADDOCK_RELAY_CLIENTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "loop/loop.h"
#include "net/port.h"
#include "relay/arrival.h"
#include "relay/impair.h"

/** A client. Its owner fills what the table does not. */
struct relay_client {
    struct endpoint address;
    uint64_t number; /**< how many clients came before it */
    int64_t seen_ns; /**< when a datagram of it last came or went */

    void *relay;
    struct port *port; /**< towards the server */
    struct loop_watch watch;
    struct arrival_clocks empty; /**< when the port was seen empty */
    struct impair_stream streams[RELAY_DIRECTIONS];
    size_t waiting;        /**< datagrams in queues that belong to it */
    struct endpoint local; /**< where it sends to, and so where what it gets comes from */

    struct relay_client *next;          /**< with the same hash; the table's */
    struct relay_client *older, *newer; /**< seen before and after it; the table's */
};

/** The table; read count and oldest, the rest is its own affair. */
struct relay_clients {
    struct relay_client **buckets;
    size_t buckets_count, capacity, count;
    struct siphash_key key;
    uint64_t numbers; /**< clients ever */
    struct relay_client *oldest, *newest;
};

/**
 * Starts an empty table. Allocates.
 *
 * @param capacity at least 1.
 * @param key a random one, so that nobody can choose addresses that are slow to find; copied.
 * @return 0, or -1 without memory.
 */
int relay_clients_init(struct relay_clients *clients, size_t capacity,
                       const struct siphash_key *key);

/** Frees the table, which must be empty. */
void relay_clients_fini(struct relay_clients *clients);

/** Finds a client. @return NULL if it is not there. */
struct relay_client *relay_clients_find(const struct relay_clients *clients,
                                        const struct endpoint *address);

/** Adds a client that is not there, zeroed but for address, number and seen_ns. Allocates.
 * @return the table's, until relay_clients_remove(); NULL if there is no room or no memory. */
struct relay_client *relay_clients_add(struct relay_clients *clients,
                                       const struct endpoint *address, int64_t now_ns);

/** Notes that a datagram of the client came or went; @p now_ns is no earlier than any before. */
void relay_clients_touch(struct relay_clients *clients, struct relay_client *client,
                         int64_t now_ns);

/** Goes through all clients, in an order that touching does not change; none may be removed on the
 * way. @param client NULL: the first. @return NULL after the last. */
struct relay_client *relay_clients_next(const struct relay_clients *clients,
                                        const struct relay_client *client);

/** Removes and frees a client. */
void relay_clients_remove(struct relay_clients *clients, struct relay_client *client);

#endif

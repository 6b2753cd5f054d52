/** @file
 * The clients of a relay by their address, and in the order in which they were seen last. A table
 * of fixed capacity; it does no I/O and knows no clock.
 */
#ifndef PADDOCK_RELAY_CLIENTS_H
#define PADDOCK_RELAY_CLIENTS_H

#include <netinet/in.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "net/udp_info.h"
#include "relay/arrival.h"
#include "relay/impair.h"

/** A client. Its owner fills what the table does not. */
struct relay_client {
    struct sockaddr_in6 address; /**< of IPv4 a sockaddr_in, and zeros behind it */
    uint64_t number;             /**< how many clients came before it */
    int64_t seen_ns;             /**< when a datagram of it last came or went */

    int fd;                      /**< towards the server */
    struct arrival_clocks empty; /**< when fd was seen empty */
    struct impair_stream streams[RELAY_DIRECTIONS];
    size_t waiting; /**< datagrams in queues that belong to it */
    size_t reply_bytes;
    alignas(size_t) char reply[UDP_INFO_REPLY_BYTES]; /**< makes what it gets leave from the address
                                                         that it knows; reply_bytes of it */

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
                                        const struct sockaddr_in6 *address);

/** Adds a client that is not there, zeroed but for address, number and seen_ns. Allocates.
 * @return the table's, until relay_clients_remove(); NULL if there is no room or no memory. */
struct relay_client *relay_clients_add(struct relay_clients *clients,
                                       const struct sockaddr_in6 *address, int64_t now_ns);

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

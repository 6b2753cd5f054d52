/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The upstream sockets of one worker, and which of them takes a server's next session: one that is
 * open, or a new one, on a number that makes no pair with the server yet. The owner knows the
 * pairs, those of sessions and those that rest, and is asked. No I/O: sockets are opened and closed
 * by calls that are given.
 */
#ifndef PADDOCK_PROXY_SOCKET_POOL_H
#define PADDOCK_PROXY_SOCKET_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "net/endpoint.h"

struct socket_pool;
struct upstream;

struct socket_pool_options {
    /** As in struct sessions_options. */
    int (*open)(void *user, struct upstream **upstream, uint16_t *number);
    void (*close)(void *user, struct upstream *upstream);
    void (*freed)(void *user, uint16_t number);
    void *user;
    /** Whether a server and a number are a pair. */
    bool (*is_pair)(const void *pairs, const struct endpoint *server, uint16_t number);
    const void *pairs;
};

/** What was tried for one server, and what is to be tried again. Zeroed at first. */
struct server_numbers {
    uint64_t next_serial; /**< sockets before this one were tried */
    /** Numbers whose rest is over, of sockets that were open then, and of others. The last one
     * comes first; some may be stale, or there twice. */
    struct number_list {
        uint16_t *items;
        uint32_t count, capacity;
    } rested, closed;
    int64_t full_until_ns; /**< there was no number: the system is asked for none until then */
};

void server_numbers_fini(struct server_numbers *numbers);

/** Whether there is nothing to be tried for a server at the moment, and sockets that are open were
 * tried lately. */
bool server_numbers_are_out(const struct server_numbers *numbers, int64_t now_ns);

/** @param[out] made untouched on failure; freed with socket_pool_free().
 * @return 0 or -ENOMEM. */
int socket_pool_new(struct socket_pool **made, const struct socket_pool_options *options);

/** Frees a pool without sessions. NULL is fine. */
void socket_pool_free(struct socket_pool *pool);

/** An upstream socket and its number, host order. */
struct pool_socket {
    struct upstream *upstream;
    uint16_t number;
};

/** Takes a socket for a session with a server; its number is one of a pair from now on. Allocates.
 * @param[out] taken untouched on failure.
 * @return 0, -EADDRINUSE where there is no number, -ENOMEM, or what the call that opens returned.
 */
int socket_pool_take(struct socket_pool *pool, struct server_numbers *numbers,
                     const struct endpoint *server, int64_t now_ns, struct pool_socket *taken);

/** Gives back the socket of a session that ended, which is closed with its last one. The pair rests
 * until socket_pool_end_pair(). */
void socket_pool_give_back(struct socket_pool *pool, uint16_t number);

/** Ends a pair: the server may have the number again. The number itself is freed where it has
 * neither a socket nor a pair any more. Allocates; without memory open sockets are tried anew. */
void socket_pool_end_pair(struct socket_pool *pool, struct server_numbers *numbers,
                          uint16_t number);

/** Sockets that are open. */
uint32_t socket_pool_size(const struct socket_pool *pool);

#endif

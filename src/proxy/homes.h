/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Which worker has the session of a token with a server: a table that all workers share, by which a
 * player is found who comes from a new address, and so perhaps to another worker. Of fixed size,
 * without locks, as an entry is one word; nothing else goes by it, since whoever finds an entry
 * looks at the session itself. An entry that finds no room pushes out another one, whose player is
 * a stranger after its next change of address.
 *
 * From any thread, save homes_new() and homes_free().
 */
#ifndef PADDOCK_PROXY_HOMES_H
#define PADDOCK_PROXY_HOMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/endpoint.h"

/** Sessions that a worker may have, and workers. */
#define HOMES_MAX_SESSIONS ((1U << 24) - 1)
#define HOMES_MAX_WORKERS (1U << 10)

struct homes;

/** Where a session is. */
struct home {
    unsigned worker;  /**< below #HOMES_MAX_WORKERS */
    uint32_t session; /**< its index there, below #HOMES_MAX_SESSIONS */
};

/** Makes a table for so many sessions of all workers.
 * @param[out] made untouched on failure; freed with homes_free().
 * @return 0 or a negative errno value. */
int homes_new(struct homes **made, uint64_t sessions);

/** NULL is fine. */
void homes_free(struct homes *homes);

/** What stands for a token: two have the same by chance alone, as nobody knows the key. Not 0. */
uint64_t homes_token(const struct homes *homes, const uint8_t *token, size_t bytes);

/** What stands for a token, as homes_token() has it, with a server. Not 0. */
uint64_t homes_key(const struct homes *homes, uint64_t token, const struct endpoint *server);

/** Looks up what was put last under a key, or perhaps under another one.
 * @param[out] home untouched where nothing is found. @return whether something is. */
bool homes_find(const struct homes *homes, uint64_t key, struct home *home);

/** Puts a session under a key, in the place of another one. */
void homes_put(struct homes *homes, uint64_t key, struct home home);

/** Removes a session, unless another one was put under its key. */
void homes_remove(struct homes *homes, uint64_t key, struct home home);

#endif

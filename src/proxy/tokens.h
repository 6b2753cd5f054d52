/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Who owns which token: a hash table of pairs of a token and an owner, which is a number. A table
 * does not change once it is in use. The next one begins as the same, shares what stays the same,
 * and costs what differs: a token more is a page of some hundred tokens that is copied.
 *
 * Used by the control thread; tokens_find() by any.
 */
#ifndef PADDOCK_PROXY_TOKENS_H
#define PADDOCK_PROXY_TOKENS_H

#include <stddef.h>
#include <stdint.h>

/** Longer tokens fit into no datagram, and are not kept. */
#define TOKEN_MAX_BYTES 65535

struct tokens;

/** Makes a table without tokens.
 * @param expected about how many there will be.
 * @return freed with tokens_free(); NULL without memory or random bytes. */
struct tokens *tokens_new(uint64_t expected);

/** Makes a table with the same tokens, to be changed. NULL without memory. */
struct tokens *tokens_next(const struct tokens *before);

/** Frees a table; the others keep what they share with it. NULL is fine. */
void tokens_free(struct tokens *tokens);

/** Adds a pair to a table that is not yet in use. A pair may be there several times.
 * @param owner below UINT32_MAX.
 * @return 0, -ENOMEM, or -E2BIG: the pair is there 65,535 times. The pairs are as before then. */
int tokens_add(struct tokens *tokens, const void *token, size_t bytes, uint32_t owner);

/** Takes off a pair that is there, once.
 * @return 0, or -ENOMEM: the pairs are as before. */
int tokens_remove(struct tokens *tokens, const void *token, size_t bytes, uint32_t owner);

/** Finds the owners of a token, each once.
 * @param[out] owners gets at most @p most. @return how many. */
uint32_t tokens_find(const struct tokens *tokens, const void *token, size_t bytes, uint32_t *owners,
                     uint32_t most);

#endif

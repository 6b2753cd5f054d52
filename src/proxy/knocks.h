/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Which players have knocked before, for when so many came once and not again that most are made
 * up: a player sends again, and a flood of spoofed sources does not repeat itself. A table of fixed
 * size, whose pages are used with the first knock; a source that came earlier may be forgotten for
 * another. One thread uses it.
 */
#ifndef PADDOCK_PROXY_KNOCKS_H
#define PADDOCK_PROXY_KNOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "net/endpoint.h"

/** A knock is remembered for so long, to a second. */
#define KNOCKS_SECONDS 8

struct knocks;

/** @return NULL without memory. */
struct knocks *knocks_new(const struct siphash_key *key);

/** NULL is fine. */
void knocks_free(struct knocks *knocks);

/** Notes a knock. @return whether the player had knocked before. */
bool knocks_again(struct knocks *knocks, const struct endpoint *player, int64_t now_ns);

#endif

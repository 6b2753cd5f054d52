/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The guard's set-up in user space: rules as an operator writes them, the table, its upkeep. What
 * decides is in guard/guard_core.h.
 */
#ifndef PADDOCK_GUARD_GUARD_H
#define PADDOCK_GUARD_GUARD_H

#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#include "guard/guard_core.h"

#define GUARD_MAX_RATE 1000000
#define GUARD_MAX_REPLIES 100000000
#define GUARD_MAX_LEAK 1000000
/** The longest time that a whole bucket may take to fill. */
#define GUARD_MAX_FILL_SECONDS 60
#define GUARD_MAX_BURST (UINT64_C(1) * GUARD_MAX_RATE * GUARD_MAX_FILL_SECONDS)

/** What each prefix of one width may have. */
struct guard_rule {
    uint32_t prefix; /**< bits: 1 to 32 of IPv4, 1 to 128 of IPv6 */
    uint32_t rate;   /**< answers a second; 1 to #GUARD_MAX_RATE */
    uint32_t burst;  /**< answers at once; 1 to GUARD_MAX_FILL_SECONDS times the rate */
};

/** The rules of one family of addresses. */
struct guard_rule_list {
    struct guard_rule items[GUARD_LEVELS]; /**< each wider than the one before */
    size_t count;                          /**< at least 1 */
};

struct guard_rules {
    bool loopback;               /**< whether loopback sources are limited, too */
    uint32_t replies_per_second; /**< of the whole process, in no second more; at least 1 */
    struct guard_rule_list ipv4, ipv6;
    uint32_t leak; /**< one refused ping in so many is answered all the same; 0: none */
};

/** The rules that stand where nobody wrote any. */
extern const struct guard_rules guard_default_rules;

/** Memory on pages of their own that core dumps leave out: for the key, and for parameters, which
 * have it. Zeroed. @return NULL without memory; to be released by guard_secret_free(). */
void *guard_secret_new(size_t bytes);

/** @param bytes as for guard_secret_new(). NULL is fine. */
void guard_secret_free(void *secret, size_t bytes);

/** Works the rules out. @param parameters in memory of guard_secret_new(). */
void guard_parameters_init(struct guard_parameters *parameters, const struct guard_rules *rules,
                           const struct siphash_key *key);

/** A table, whose pages become resident as sources come. @return NULL without memory; to be
 * released by guard_table_free(). */
struct guard_set *guard_table_new(void);

/** NULL is fine. */
void guard_table_free(struct guard_set *table);

/** Sets that a call of guard_table_sweep() once a second has to do, so that it is round well within
 * the time that an entry can tell. */
#define GUARD_SWEEP_SETS UINT32_C(64)

/** Frees what has not been seen for GUARD_KEEP_NS in GUARD_SWEEP_SETS sets. From any thread, while
 * others use the table.
 * @param first of the sets; any number: it goes on from the beginning behind the end. */
void guard_table_sweep(struct guard_set *table, uint32_t first, uint64_t now_ns);

/** For guard_decide(): a set of a table that is in one piece. */
static inline struct guard_set *guard_table_find(void *table, uint32_t index)
{
    return (struct guard_set *)table + index;
}

static inline struct guard_address guard_address(const struct in6_addr *address)
{
    struct guard_address words;
    memcpy(&words.high, address->s6_addr, sizeof words.high);
    memcpy(&words.low, address->s6_addr + 8, sizeof words.low);
    return (struct guard_address){be64toh(words.high), be64toh(words.low)};
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What decides whether a source's ping is answered: token buckets by source prefix in a table of
 * fixed size, a cap for the whole process, and a leak. Pure functions on memory that the caller
 * provides, with time passed in; freestanding, so that a BPF program decides by the same code on
 * the same table. Set-up, for user space alone, is in guard/guard.h; the reasons for the numbers
 * are in docs/operations.md.
 *
 * The table is GUARD_TABLE_SETS sets of 64 bytes, zeros at first. A set has seven entries, and one
 * bucket that all those share who find no entry. An entry is one word: which source, since when and
 * how steadily it is seen, and its bucket, kept as the time at which it will be full again. So
 * every change is one compare-and-swap of one word, and any number of threads and CPUs can use the
 * table without another order among them.
 *
 * A source that finds no entry is refused nothing that others are granted: it has the level's rate,
 * but shares it. A new source takes an entry that is free, or has not been seen for GUARD_KEEP_NS,
 * or belongs to a source that was seen once, or else to one that is not steady yet; always the one
 * whose time is oldest. A steady entry is never taken.
 */
#ifndef PADDOCK_GUARD_GUARD_CORE_H
#define PADDOCK_GUARD_GUARD_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/shared_word.h"
#include "base/siphash.h"

/** Sets for sources: the first half for the narrowest prefixes, the other for all wider ones, so
 * that those cannot use up the room of single sources. 8 MiB. */
#define GUARD_SETS UINT32_C(131072)
/** The set that has the caps instead. */
#define GUARD_CAPS GUARD_SETS
#define GUARD_TABLE_SETS (GUARD_SETS + 1)
#define GUARD_WAYS 7
/** Widths of prefix of one family of addresses. */
#define GUARD_LEVELS 4

/** From its last token on an entry is kept so long. */
#define GUARD_KEEP_NS (INT64_C(1) << 32)
/** A source that was first seen longer ago than this, without a pause of GUARD_KEEP_NS since, is
 * steady; up to one GUARD_AGE_NS more. */
#define GUARD_STEADY_NS (INT64_C(8) << GUARD_AGE_SHIFT)
#define GUARD_AGE_NS (INT64_C(1) << GUARD_AGE_SHIFT)
#define GUARD_AGE_SHIFT 27

/** Nanoseconds of one unit of an entry's time. It has 40 bits, which is 4.9 hours: what is older
 * must have been swept away, by guard_table_sweep(). */
#define GUARD_UNIT_NS (INT64_C(1) << GUARD_UNIT_SHIFT)
#define GUARD_UNIT_SHIFT 4
/** Parts of a nanosecond that the time of a cap counts. It is not cut to fewer bits. */
#define GUARD_CAP_SHIFT 4

/** How often a word is tried again that others change at the same time, before the ping is refused.
 */
#define GUARD_ATTEMPTS 8

/* An entry, from its lowest bit: time, when it was born, state, tag. */
#define GUARD_TIME_BITS 40
#define GUARD_BORN_SHIFT 40
#define GUARD_BORN_MASK UINT64_C(31)
#define GUARD_STATE_SHIFT 45
#define GUARD_TAG_SHIFT 47
/* A class of entries above their age. */
#define GUARD_RANK_SHIFT 42
#define GUARD_RANK_NEVER ((UINT64_C(1) << GUARD_RANK_SHIFT) - 1)

#ifdef __bpf__
#define GUARD_FUNCTION __attribute__((noinline))
#else
#define GUARD_FUNCTION static inline
#endif

/** One line of the table. */
struct guard_set {
    uint64_t words[GUARD_WAYS + 1]; /**< the last one is shared; of GUARD_CAPS the first three are
                                       total, fresh and leaks */
};

_Static_assert(sizeof(struct guard_set) == 64, "a set is a cache line");

/** An address in two numbers; IPv4 as ::ffff:a.b.c.d. */
struct guard_address {
    uint64_t high, low;
};

/** A token bucket: how much time one token takes, and how much the whole bucket. In units of the
 * word that it is kept in. */
struct guard_bucket {
    uint64_t interval, depth;
};

/** The bucket of each prefix of one width. */
struct guard_level {
    struct guard_address mask;
    struct guard_bucket bucket;
    uint32_t prefix; /**< bits of the address as IPv6 */
    uint32_t unused;
};

struct guard_family {
    struct guard_level levels[GUARD_LEVELS]; /**< the narrowest first */
    uint32_t count;                          /**< at least 1 */
    uint32_t unused;
};

/** What is configured, worked out; by guard_parameters_init(). Replaced as a whole: entries under
 * the same key stay valid when rates change. */
struct guard_parameters {
    struct siphash_key key;
    struct guard_family ipv4, ipv6;
    struct guard_bucket total; /**< of the process */
    struct guard_bucket fresh; /**< what sources that are not steady may have of it */
    struct guard_bucket leaks; /**< what leaks may have of it */
    uint32_t leak;             /**< one in so many is let through; 0: none */
    uint32_t loopback;         /**< whether loopback sources are limited, too */
};

enum guard_verdict {
    GUARD_ANSWER,  /**< the tokens are taken */
    GUARD_LIMITED, /**< its prefix has had its share; guard_leaks() may say otherwise */
    GUARD_CAPPED   /**< the process has */
};

/** Where a set is: @p table is what the decision was called with, @p index below GUARD_TABLE_SETS.
 * NULL, which only a BPF program has to return, refuses the ping. */
typedef struct guard_set *guard_find_fn(void *table, uint32_t index);

enum guard_state {
    GUARD_FREE,
    GUARD_NEW,      /**< seen once */
    GUARD_RETURNED, /**< seen again */
    GUARD_STEADY    /**< for longer than GUARD_STEADY_NS */
};

/** One source of one width at one moment. */
struct guard_visit {
    struct guard_bucket bucket;
    uint64_t tag;
    uint64_t now; /**< in units */
};

/** A word of a set, as it was read. */
struct guard_place {
    uint64_t word, way;
    bool is_taken_over; /**< from another source, or from nobody */
};

static inline uint64_t guard_state(uint64_t word)
{
    return word >> GUARD_STATE_SHIFT & 3;
}

/** How far an entry's time is ahead of now, in units; modulo its width. */
static inline int64_t guard_ahead(uint64_t word, uint64_t now)
{
    return (int64_t)((word - now) << (64 - GUARD_TIME_BITS)) >> (64 - GUARD_TIME_BITS);
}

static inline bool guard_is_expired(uint64_t word, uint64_t now)
{
    return guard_ahead(word, now) < -(GUARD_KEEP_NS >> GUARD_UNIT_SHIFT);
}

/** What an entry becomes when its source is seen. */
static inline uint64_t guard_entry_seen(uint64_t before, const struct guard_visit *visit,
                                        bool *passes)
{
    uint64_t today = visit->now >> (GUARD_AGE_SHIFT - GUARD_UNIT_SHIFT) & GUARD_BORN_MASK;
    uint64_t born = before >> GUARD_BORN_SHIFT & GUARD_BORN_MASK;
    uint64_t state = guard_state(before);
    int64_t ahead = guard_ahead(before, visit->now);
    if (state == GUARD_FREE || guard_is_expired(before, visit->now)) {
        state = GUARD_NEW;
        born = today;
        ahead = 0;
    } else if (state != GUARD_STEADY) {
        /* The highest ages are those of another CPU whose clock was read a moment before. */
        uint64_t age = (today - born) & GUARD_BORN_MASK;
        bool is_old = age > GUARD_STEADY_NS >> GUARD_AGE_SHIFT && age < GUARD_BORN_MASK - 3;
        state = is_old ? GUARD_STEADY : GUARD_RETURNED;
    }
    uint64_t backlog = ahead > 0 ? (uint64_t)ahead : 0;
    if (backlog > visit->bucket.depth)
        backlog = visit->bucket.depth; /* which was greater under the parameters before */
    *passes = backlog + visit->bucket.interval <= visit->bucket.depth;
    uint64_t time = visit->now + backlog + (*passes ? visit->bucket.interval : 0);
    return visit->tag << GUARD_TAG_SHIFT | state << GUARD_STATE_SHIFT | born << GUARD_BORN_SHIFT |
           (time & ((UINT64_C(1) << GUARD_TIME_BITS) - 1));
}

/** 1 if a is less than b, otherwise 0; both below 2^63. */
static inline uint64_t guard_less(uint64_t a, uint64_t b)
{
    return shared_word_opaque(a - b) >> 63;
}

/** How readily an entry is given to somebody else. Above GUARD_RANK_NEVER: what was not seen for
 * long before what was seen once, that before what returned; among these the oldest time. */
static inline uint64_t guard_entry_rank(uint64_t word, uint64_t now)
{
    uint64_t age = (UINT64_C(1) << GUARD_TIME_BITS) - (uint64_t)guard_ahead(word, now);
    uint64_t longest = (UINT64_C(1) << GUARD_TIME_BITS) + (GUARD_KEEP_NS >> GUARD_UNIT_SHIFT);
    uint64_t class = (GUARD_STEADY - guard_state(word)) | (GUARD_STEADY * guard_less(longest, age));
    return class << GUARD_RANK_SHIFT | age;
}

/** A word to take over, or the shared one. */
static inline struct guard_place guard_set_give(const struct guard_set *set, uint64_t now)
{
    uint64_t best = GUARD_RANK_NEVER;
    struct guard_place place = {.word = shared_word_load(&set->words[GUARD_WAYS]),
                                .way = GUARD_WAYS};
    for (uint64_t way = 0; way < GUARD_WAYS; way++) {
        uint64_t word = shared_word_load(&set->words[way]);
        uint64_t rank = guard_entry_rank(word, now);
        uint64_t is_better = 0 - guard_less(best, rank);
        best ^= (best ^ rank) & is_better;
        place.way ^= (place.way ^ way) & is_better;
        place.word ^= (place.word ^ word) & is_better;
    }
    place.is_taken_over = best != GUARD_RANK_NEVER;
    return place;
}

/** The word to use: that of the source, or else guard_set_give(). Like that without branches in the
 * loop: what comes in is random to a processor, and the verifier of BPF would follow each. */
static inline struct guard_place guard_set_find(const struct guard_set *set,
                                                const struct guard_visit *visit)
{
    struct guard_place place = {.way = GUARD_WAYS};
    for (uint64_t way = 0; way < GUARD_WAYS; way++) {
        uint64_t word = shared_word_load(&set->words[way]);
        uint64_t is_known = 0 - guard_less((word >> GUARD_TAG_SHIFT) ^ visit->tag, 1);
        place.way ^= (place.way ^ way) & is_known;
        place.word ^= (place.word ^ word) & is_known;
    }
    return place.way < GUARD_WAYS ? place : guard_set_give(set, visit->now);
}

/** Takes a token of one prefix. A function of its own in a BPF program, which the verifier looks at
 * once and not for each level. @return what the source is now; GUARD_FREE: no token was there. */
GUARD_FUNCTION enum guard_state
guard_set_take(struct guard_set *set, const struct guard_bucket *bucket, uint64_t tag, uint64_t now)
{
    if (set == NULL || bucket == NULL)
        return GUARD_FREE;
    struct guard_visit visit = {.bucket = *bucket, .tag = tag, .now = now};
    for (unsigned i = 0; i < GUARD_ATTEMPTS; i++) {
        struct guard_place place = guard_set_find(set, &visit);
        bool passes = false;
        uint64_t after = guard_entry_seen(place.is_taken_over ? 0 : place.word, &visit, &passes);
        if (after != place.word &&
            !shared_word_replace(&set->words[place.way & GUARD_WAYS], place.word, after))
            continue;
        if (!passes)
            return GUARD_FREE;
        return place.way == GUARD_WAYS ? GUARD_NEW : (enum guard_state)guard_state(after);
    }
    return GUARD_FREE;
}

/** Takes a token of the process. */
static inline bool guard_cap_take(uint64_t *word, const struct guard_bucket *bucket, uint64_t now)
{
    for (unsigned i = 0; i < GUARD_ATTEMPTS; i++) {
        uint64_t before = shared_word_load(word);
        uint64_t after = (before > now ? before : now) + bucket->interval;
        if (after - now > bucket->depth)
            return false;
        if (shared_word_replace(word, before, after))
            return true;
    }
    return false;
}

/** Whether the process has a token that guard_cap_take() could take. */
static inline bool guard_cap_has(const uint64_t *word, const struct guard_bucket *bucket,
                                 uint64_t now)
{
    uint64_t before = shared_word_load(word);
    return (before > now ? before - now : 0) + bucket->interval <= bucket->depth;
}

static inline bool guard_is_ipv4(const struct guard_address *address)
{
    return address->high == 0 && address->low >> 32 == 0xffff;
}

static inline bool guard_is_loopback(const struct guard_address *address)
{
    return address->high == 0 && (address->low == 1 || address->low >> 24 == 0xffff7f);
}

/** Where a prefix belongs: its set, and its tag in @p tag. */
static inline uint32_t guard_place_of(const struct guard_parameters *parameters,
                                      const struct guard_level *level,
                                      const struct guard_address *source, uint64_t *tag)
{
    uint64_t hash = siphash_17(&parameters->key, source->high & level->mask.high,
                               source->low & level->mask.low, (uint8_t)level->prefix);
    *tag = hash >> GUARD_TAG_SHIFT;
    *tag += *tag == 0; /* that of a free entry */
    return (uint32_t)hash & (GUARD_SETS / 2 - 1);
}

/**
 * Decides about one valid ping. The narrowest prefix is asked first and what refuses ends it, so
 * that a flooded address uses up no more of what it shares with its neighbours than its own share.
 * Inlined with @p find, as BPF needs it.
 *
 * @param now_ns monotonic.
 * @param[out] steady whether the source is steady, or one that is not limited; of an answer alone.
 */
__attribute__((always_inline)) static inline enum guard_verdict
guard_decide_steady(const struct guard_parameters *parameters, const struct guard_address *source,
                    uint64_t now_ns, guard_find_fn *find, void *table, bool *steady)
{
    const struct guard_family *family =
        guard_is_ipv4(source) ? &parameters->ipv4 : &parameters->ipv6;
    struct guard_set *caps = find(table, GUARD_CAPS);
    uint64_t now = now_ns << GUARD_CAP_SHIFT;
    bool is_steady = false;
    *steady = true;
    if (!parameters->loopback && guard_is_loopback(source))
        return GUARD_ANSWER;
    if (caps == NULL)
        return GUARD_CAPPED;
    for (uint32_t i = 0; i < GUARD_LEVELS && i < family->count; i++) {
        const struct guard_level *level = &family->levels[i];
        uint64_t tag;
        uint32_t index = guard_place_of(parameters, level, source, &tag);
        struct guard_set *set = find(table, i == 0 ? index : index + GUARD_SETS / 2);
        enum guard_state state =
            guard_set_take(set, &level->bucket, tag, now_ns >> GUARD_UNIT_SHIFT);
        if (state == GUARD_FREE)
            return GUARD_LIMITED;
        is_steady = is_steady || (i == 0 && state == GUARD_STEADY);
        /* In a flood the sets of wider prefixes, which no cache has, need not be looked at. */
        if (!is_steady && !guard_cap_has(&caps->words[1], &parameters->fresh, now))
            return GUARD_CAPPED;
    }
    if (!is_steady && !guard_cap_take(&caps->words[1], &parameters->fresh, now))
        return GUARD_CAPPED;
    *steady = is_steady;
    return guard_cap_take(&caps->words[0], &parameters->total, now) ? GUARD_ANSWER : GUARD_CAPPED;
}

/** As guard_decide_steady(), for a caller to whom all answers are alike. */
__attribute__((always_inline)) static inline enum guard_verdict
guard_decide(const struct guard_parameters *parameters, const struct guard_address *source,
             uint64_t now_ns, guard_find_fn *find, void *table)
{
    bool steady;
    return guard_decide_steady(parameters, source, now_ns, find, table, &steady);
}

/**
 * Whether a ping that was GUARD_LIMITED is answered all the same: one in so many, within what leaks
 * may have of the cap. Somebody whose address is flooded by others gets that share of his answers.
 *
 * @param random of which a stranger cannot know the next.
 */
__attribute__((always_inline)) static inline bool
guard_leaks(const struct guard_parameters *parameters, uint32_t random, uint64_t now_ns,
            guard_find_fn *find, void *table)
{
    if (parameters->leak == 0 || (uint64_t)random * parameters->leak >> 32 != 0)
        return false;
    struct guard_set *caps = find(table, GUARD_CAPS);
    uint64_t now = now_ns << GUARD_CAP_SHIFT;
    return caps != NULL && guard_cap_take(&caps->words[2], &parameters->leaks, now) &&
           guard_cap_take(&caps->words[0], &parameters->total, now);
}

#endif

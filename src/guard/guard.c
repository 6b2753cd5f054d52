/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/guard.h"

#include <sys/mman.h>

#define TABLE_BYTES (GUARD_TABLE_SETS * sizeof(struct guard_set))
#define SECOND_NS UINT64_C(1000000000)

/* One part in so many of the cap: its burst, and what leaks may have of it. */
#define CAP_PARTS 64

const struct guard_rules guard_default_rules = {
    .replies_per_second = 200000,
    .ipv4 = {.items = {{32, 100, 200}, {24, 1000, 2000}}, .count = 2},
    .ipv6 = {.items = {{64, 100, 200}, {48, 1000, 2000}}, .count = 2},
    .leak = 64,
};

/* The interval is rounded up: never more than the rate. */
static struct guard_bucket bucket(uint64_t second, uint64_t rate, uint64_t burst)
{
    uint64_t interval = (second + rate - 1) / rate;
    return (struct guard_bucket){.interval = interval, .depth = interval * burst};
}

/* In any one second a bucket gives its burst and what a second brings: a little less than asked for
 * is brought, so that both together are no more. */
static struct guard_bucket cap(uint64_t replies)
{
    uint64_t most = replies > 0 ? replies : 1;
    uint64_t burst = most > CAP_PARTS ? most / CAP_PARTS : 1;
    return bucket(SECOND_NS << GUARD_CAP_SHIFT, most - burst + 1, burst);
}

static uint64_t mask_bits(uint32_t bits)
{
    return bits == 0 ? 0 : UINT64_MAX << (64 - bits);
}

static void family_init(struct guard_family *family, const struct guard_rule_list *rules,
                        uint32_t bits_before)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct guard_rule *rule = &rules->items[i];
        uint32_t prefix = rule->prefix + bits_before;
        family->levels[i] = (struct guard_level){
            .mask = {.high = mask_bits(prefix < 64 ? prefix : 64),
                     .low = mask_bits(prefix > 64 ? prefix - 64 : 0)},
            .bucket = bucket(SECOND_NS >> GUARD_UNIT_SHIFT, rule->rate, rule->burst),
            .prefix = prefix};
    }
    family->count = (uint32_t)rules->count;
}

void *guard_secret_new(size_t bytes)
{
    void *secret = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (secret == MAP_FAILED)
        return NULL;
    madvise(secret, bytes, MADV_DONTDUMP);
    return secret;
}

void guard_secret_free(void *secret, size_t bytes)
{
    if (secret != NULL)
        munmap(secret, bytes);
}

void guard_parameters_init(struct guard_parameters *parameters, const struct guard_rules *rules,
                           const struct siphash_key *key)
{
    *parameters = (struct guard_parameters){.total = cap(rules->replies_per_second),
                                            .fresh = cap(rules->replies_per_second / 2),
                                            .leaks = cap(rules->replies_per_second / CAP_PARTS),
                                            .leak = rules->leak,
                                            .loopback = rules->loopback};
    family_init(&parameters->ipv4, &rules->ipv4, 96);
    family_init(&parameters->ipv6, &rules->ipv6, 0);
    parameters->key = *key; /* by itself: no copy of it stays on the stack */
}

/* Small pages, whatever the system prefers: a huge one would be resident for one source. The time
 * of a decision is the same with either (bench/guard.c). */
struct guard_set *guard_table_new(void)
{
    void *table =
        mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (table == MAP_FAILED)
        return NULL;
    madvise(table, TABLE_BYTES, MADV_NOHUGEPAGE);
    return table;
}

void guard_table_free(struct guard_set *table)
{
    if (table != NULL)
        munmap(table, TABLE_BYTES);
}

/* A page that was only read is the kernel's page of zeros: it takes no memory. */
void guard_table_sweep(struct guard_set *table, uint32_t first, uint64_t now_ns)
{
    uint64_t now = now_ns >> GUARD_UNIT_SHIFT;
    for (uint32_t i = 0; i < GUARD_SWEEP_SETS; i++) {
        struct guard_set *set = &table[(first + i) % GUARD_SETS];
        for (uint32_t way = 0; way <= GUARD_WAYS; way++) {
            uint64_t word = shared_word_load(&set->words[way]);
            if (word != 0 && guard_is_expired(word, now))
                shared_word_replace(&set->words[way], word, 0); /* or it has just been seen */
        }
    }
}

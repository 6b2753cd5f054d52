/* SPDX-License-Identifier: Apache-2.0 */
/* The guard as a BPF program calls it: scripts/check-bpf compiles it, and asks the kernel's
 * verifier where it may. */
#include <stdbool.h>
#include <stdint.h>

#include "guard/guard_core.h"

#define SECTION(name) __attribute__((section(name), used))
#define MAP_LOOKUP 1
#define RANDOM 7
#define KTIME 5
#define DROP 1
#define SEND_BACK 3

struct map {
    int (*type)[2]; /* BPF_MAP_TYPE_ARRAY */
    uint32_t *key;
    int (*max_entries)[GUARD_TABLE_SETS];
    struct guard_set *value;
};

struct parameters_map {
    int (*type)[2];
    uint32_t *key;
    int (*max_entries)[1];
    struct guard_parameters *value;
};

struct map table SECTION(".maps");
struct parameters_map parameters SECTION(".maps");

static void *(*const lookup)(void *map, const void *key) = (void *)MAP_LOOKUP;
static uint32_t (*const random_u32)(void) = (void *)RANDOM;
static uint64_t (*const now_ns)(void) = (void *)KTIME;

/* The beginning of struct xdp_md. */
struct context {
    uint32_t data, data_end;
};

static inline struct guard_set *find(void *map, uint32_t index)
{
    /* cppcheck-suppress returnDanglingLifetime ; what it returns is in the map */
    return lookup(map, &index);
}

SECTION("xdp") int guard(struct context *context)
{
    uint32_t key = 0;
    const struct guard_parameters *rules = lookup(&parameters, &key);
    const struct guard_address *packet = (void *)(uint64_t)context->data;
    if (rules == NULL || (uint64_t)(packet + 1) > context->data_end)
        return DROP;
    struct guard_address source = *packet;
    uint64_t now = now_ns();
    enum guard_verdict verdict = guard_decide(rules, &source, now, find, &table);
    if (verdict == GUARD_LIMITED && guard_leaks(rules, random_u32(), now, find, &table))
        return SEND_BACK;
    return verdict == GUARD_ANSWER ? SEND_BACK : DROP;
}

char program_license[] SECTION("license") = "Dual MIT/GPL";

/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/list.h"

enum policy {
    ROUND_ROBIN,
    RANDOM,
    HASH
};

struct balancer {
    enum policy policy;
};

/* In turn within a worker, as workers share nothing that is written. */
struct turn {
    uint64_t random;
    uint32_t next;
};

static const char *const policies[] = {"ROUND_ROBIN", "RANDOM", "HASH", NULL};

static const struct field fields[] = {
    {.key = "policy",
     .help = "how one endpoint is chosen: in turn, by chance, or by the player's address and port",
     .kind = FIELD_WORD,
     .words = policies,
     FIELD_AT(struct balancer, policy)},
    {0},
};

static int start(const void *filter, void *mine, unsigned worker)
{
    struct turn *turn = mine;
    (void)filter;
    turn->random = (worker + 1) * UINT64_C(0x9e3779b97f4a7c15);
    turn->next = worker;
    return 0;
}

static uint64_t mix(uint64_t word)
{
    word ^= word >> 33;
    word *= UINT64_C(0xff51afd7ed558ccd);
    word ^= word >> 33;
    word *= UINT64_C(0xc4ceb9fe1a85ec53);
    return word ^ word >> 33;
}

static uint32_t choose(const struct balancer *balancer, struct turn *turn,
                       const struct endpoint *source)
{
    uint64_t words[2];
    switch (balancer->policy) {
    case ROUND_ROBIN:
        return turn->next++;
    case RANDOM:
        turn->random += UINT64_C(0x9e3779b97f4a7c15);
        return (uint32_t)(mix(turn->random) >> 32);
    case HASH:
        break;
    }
    __builtin_memcpy(words, &source->address, sizeof words);
    return (uint32_t)(mix(mix(words[0]) ^ mix(words[1] + source->port)) >> 32);
}

/* Among those that an earlier filter chose, or all. */
static enum filter_result read_balancer(const void *filter, void *mine, struct filter_call *call)
{
    uint32_t count = call->is_chosen ? call->chosen_count : call->world->count;
    if (count == 0)
        return FILTER_NEXT;
    uint32_t place = choose(filter, mine, call->source) % count;
    call->chosen[0] = call->is_chosen ? call->chosen[place] : place;
    call->chosen_count = 1;
    call->is_chosen = true;
    return FILTER_NEXT;
}

const struct filter_ops filter_load_balancer = {
    .id = "quilkin.filters.load_balancer.v1alpha1.LoadBalancer",
    .fields = fields,
    .needs_config = true,
    .filter_bytes = sizeof(struct balancer),
    .worker_bytes = sizeof(struct turn),
    .start = start,
    .read = read_balancer};

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "filters/list.h"

/* Sources that a worker keeps, in sets of so many by their hash. */
#define SETS 8192
#define WAYS 8

/* Sources of a set that are shared with the driver, and so cannot be forgotten. */
#define MAX_SHARED 6

struct limit {
    uint32_t max_packets, period;
    struct rate_law law;
};

/* What a source sent lately. */
struct source {
    struct endpoint at;
    struct filter_allowance allowance;
};

/* Sources whose hashes end alike. A search looks at their tags before it looks at them. */
struct set {
    alignas(64) uint32_t tags[WAYS]; /* other bits of the hash */
    alignas(64) struct source sources[WAYS];
};

struct limit_worker {
    struct siphash_key key;
    struct rate_moment moment; /* computed once for the datagrams of a batch */
    void *memory;              /* pages are used as sources come */
    struct set *sets;          /* SETS in it, in whole lines of the cache */
};

static const char *const reasons[] = {FILTER_LIMIT_REASON, NULL};

static const struct field fields[] = {
    {.key = "max_packets",
     .help = "how many datagrams of one address and port pass in a period",
     .kind = FIELD_NUMBER,
     .max = UINT32_MAX,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct limit, max_packets)},
    {.key = "period",
     .help = "seconds",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = 31536000,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct limit, period)},
    {0},
};

static int start(const void *filter, void *mine, unsigned worker)
{
    struct limit_worker *own = mine;
    (void)filter;
    (void)worker;
    own->memory = calloc(SETS + 1, sizeof *own->sets);
    if (own->memory == NULL)
        return -ENOMEM;
    own->sets = (struct set *)(((uintptr_t)own->memory + alignof(struct set) - 1) &
                               ~(uintptr_t)(alignof(struct set) - 1));
    return siphash_key_init(&own->key);
}

static void stop(const void *filter, void *mine)
{
    (void)filter;
    free(((struct limit_worker *)mine)->memory);
}

static uint64_t weight(struct source *source, const struct rate_moment *moment)
{
    struct rate_window *window = &source->allowance.own;
    struct rate_sum sum = rate_window_sum(window, window->newest, moment->part);
    return source->allowance.shared != NULL ? UINT64_MAX : sum.recent + sum.oldest;
}

/* A source that is known, or NULL. */
static struct source *look_up(struct limit_worker *own, const struct endpoint *at, uint64_t hash)
{
    struct set *set = &own->sets[hash % SETS];
    for (unsigned i = 0; i < WAYS; i++) {
        if (set->tags[i] == (uint32_t)(hash >> 32) && endpoint_equals(&set->sources[i].at, at))
            return &set->sources[i];
    }
    return NULL;
}

static uint64_t hash_of(const struct limit_worker *own, const struct endpoint *at)
{
    return siphash(&own->key, (const uint8_t *)at, sizeof *at);
}

/* The entry of a source. A new one takes a free place, that of a source that was silent for a
 * period, or that of the one with the fewest datagrams: a flood of forged sources, each of which
 * sends little, forgets itself and not those that send much. */
static struct source *find(struct limit_worker *own, const struct endpoint *at)
{
    uint64_t hash = hash_of(own, at), least = UINT64_MAX;
    struct set *set = &own->sets[hash % SETS];
    struct source *source = look_up(own, at, hash);
    unsigned chosen = 0;

    if (source != NULL)
        return source;
    for (unsigned i = 0; i < WAYS; i++) {
        uint64_t own_weight = weight(&set->sources[i], &own->moment);
        if (own_weight < least) {
            least = own_weight;
            chosen = i;
        }
    }
    set->tags[chosen] = (uint32_t)(hash >> 32);
    set->sources[chosen] = (struct source){.at = *at};
    return &set->sources[chosen];
}

static int open_limit(void *filter, struct filter_names *names, struct error *error)
{
    struct limit *limit = filter;
    (void)names;
    (void)error;
    limit->law = rate_law_of(limit->max_packets, limit->period);
    return 0;
}

static enum filter_result read_limit(const void *filter, void *mine, struct filter_call *call)
{
    const struct limit *limit = filter;
    struct limit_worker *own = mine;
    enum rate_verdict verdict;

    if (own->moment.now_ns != (uint64_t)call->now_ns)
        own->moment = rate_moment_of(&limit->law, (uint64_t)call->now_ns);
    struct filter_allowance *allowance = &find(own, call->source)->allowance;
    struct rate_window *window = allowance->shared != NULL ? allowance->shared : &allowance->own;
    do {
        verdict = rate_window_take(window, &limit->law, &own->moment);
    } while (verdict == RATE_UNDECIDED); /* the driver was faster: somebody gets ahead each time */
    if (verdict == RATE_PASSES)
        return FILTER_NEXT;
    call->reason = 0;
    return FILTER_DROP;
}

static bool repeats(const void *filter, struct filter_repeat *repeat)
{
    if (repeat->is_limited)
        return false;
    repeat->is_limited = true;
    repeat->limit = ((const struct limit *)filter)->law;
    return true;
}

static struct filter_allowance *allowance_of(const void *filter, void *mine,
                                             const struct endpoint *source)
{
    struct limit_worker *own = mine;
    uint64_t hash = hash_of(own, source);
    const struct set *set = &own->sets[hash % SETS];
    struct source *found = look_up(own, source, hash);
    unsigned shared = 0;

    (void)filter;
    for (unsigned i = 0; i < WAYS; i++)
        shared += set->sources[i].allowance.shared != NULL;
    bool is_kept = found != NULL && (found->allowance.shared != NULL || shared < MAX_SHARED);
    return is_kept ? &found->allowance : NULL;
}

const struct filter_ops filter_local_rate_limit = {
    .id = "quilkin.filters.local_rate_limit.v1alpha1.LocalRateLimit",
    .fields = fields,
    .needs_config = true,
    .reasons = reasons,
    .filter_bytes = sizeof(struct limit),
    .worker_bytes = sizeof(struct limit_worker),
    .open = open_limit,
    .start = start,
    .stop = stop,
    .read = read_limit,
    .repeats = repeats,
    .allowance = allowance_of};

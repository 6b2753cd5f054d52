/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "filters/list.h"

#define SECOND_NS INT64_C(1000000000)

/* A period has ten parts; one more is kept, since a period that ends now begins within it. */
#define PARTS 10
#define KEPT (PARTS + 1)

/* Sources that a worker keeps, in sets of so many by their hash. */
#define SETS 8192
#define WAYS 8

struct limit {
    uint32_t max_packets, period;
};

/* What a source sent lately. */
struct source {
    struct endpoint at;
    int64_t part;            /* the number of the newest part */
    int64_t last_ns;         /* when its last datagram was let through; 0: free */
    uint32_t counts[KEPT];   /* by the number of a part, modulo */
    uint32_t lasts_us[KEPT]; /* when the last one of a part was let through, from its beginning */
};

/* Sources whose hashes end alike. A search looks at their tags before it looks at them. */
struct set {
    alignas(64) uint32_t tags[WAYS]; /* other bits of the hash */
    alignas(64) struct source sources[WAYS];
};

struct limit_worker {
    struct siphash_key key;
    /* Where a time is in its part, computed once for the datagrams of a batch. */
    struct moment {
        int64_t now_ns, part;
        unsigned newest, oldest; /* indices in counts */
        uint32_t us;             /* since the part's beginning */
    } moment;
    void *memory;     /* pages are used as sources come */
    struct set *sets; /* SETS in it, in whole lines of the cache */
};

static const char *const reasons[] = {"filter::rate_limit::dropped", NULL};

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

static uint64_t weight(const struct source *source)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < KEPT; i++)
        sum += source->counts[i];
    return sum;
}

/* The entry of a source. A new one takes a free place, that of a source that was silent for a
 * period, or that of the one with the fewest datagrams: a flood of forged sources, each of which
 * sends little, forgets itself and not those that send much. */
static struct source *find(struct limit_worker *own, const struct endpoint *at, int64_t now_ns,
                           int64_t period_ns)
{
    uint64_t hash = siphash(&own->key, (const uint8_t *)at, sizeof *at), least = UINT64_MAX;
    struct set *set = &own->sets[hash % SETS];
    uint32_t tag = (uint32_t)(hash >> 32);
    unsigned chosen = 0;

    for (unsigned i = 0; i < WAYS; i++) {
        if (set->tags[i] == tag && endpoint_equals(&set->sources[i].at, at))
            return &set->sources[i];
    }
    for (unsigned i = 0; i < WAYS; i++) {
        const struct source *source = &set->sources[i];
        uint64_t own_weight =
            source->last_ns == 0 || now_ns - source->last_ns >= period_ns ? 0 : weight(source);
        if (own_weight < least) {
            least = own_weight;
            chosen = i;
        }
    }
    set->tags[chosen] = tag;
    set->sources[chosen] = (struct source){.at = *at};
    return &set->sources[chosen];
}

/* Forgets the parts that are over since the source's newest. */
static void move_on(struct source *source, int64_t part)
{
    if (part == source->part)
        return;
    if (part - source->part >= KEPT)
        memset(source->counts, 0, sizeof source->counts);
    for (int64_t i = source->part + 1; i <= part && part - source->part < KEPT; i++)
        source->counts[i % KEPT] = 0;
    source->part = part;
}

static const struct moment *moment_of(struct limit_worker *own, int64_t now_ns, int64_t part_ns)
{
    struct moment *moment = &own->moment;
    if (moment->now_ns == now_ns)
        return moment;
    int64_t part = now_ns / part_ns, us = now_ns % part_ns / 1000;
    *moment = (struct moment){.now_ns = now_ns,
                              .part = part,
                              .newest = (unsigned)(part % KEPT),
                              .oldest = (unsigned)((part + 1) % KEPT),
                              /* A part of the longest period is longer than 32 bits of
                               * microseconds: its end is meant. */
                              .us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX};
    return moment;
}

/* At most max_packets within ten parts; and at most a tenth more within a whole period before the
 * datagram, of which the eleventh part has the beginning. */
static enum filter_result read_limit(const void *filter, void *mine, struct filter_call *call)
{
    const struct limit *limit = filter;
    int64_t period_ns = limit->period * SECOND_NS, part_ns = period_ns / PARTS;
    const struct moment *moment = moment_of(mine, call->now_ns, part_ns);
    struct source *source = find(mine, call->source, call->now_ns, period_ns);

    if (call->now_ns - source->last_ns >= period_ns)
        memset(source->counts, 0, sizeof source->counts);
    move_on(source, moment->part);
    uint64_t all = weight(source), recent = all - source->counts[moment->oldest];
    int64_t oldest_ns =
        (moment->part - PARTS) * part_ns + ((int64_t)source->lasts_us[moment->oldest] + 1) * 1000;
    if (source->counts[moment->oldest] > 0 && call->now_ns - oldest_ns >= period_ns)
        all = recent;
    if (recent >= limit->max_packets ||
        all >= (uint64_t)limit->max_packets + limit->max_packets / PARTS) {
        call->reason = 0;
        return FILTER_DROP;
    }

    source->last_ns = call->now_ns;
    source->counts[moment->newest]++;
    source->lasts_us[moment->newest] = moment->us;
    return FILTER_NEXT;
}

const struct filter_ops filter_local_rate_limit = {
    .id = "quilkin.filters.local_rate_limit.v1alpha1.LocalRateLimit",
    .fields = fields,
    .needs_config = true,
    .reasons = reasons,
    .filter_bytes = sizeof(struct limit),
    .worker_bytes = sizeof(struct limit_worker),
    .start = start,
    .stop = stop,
    .read = read_limit};

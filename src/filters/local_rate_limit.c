/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
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

struct limit_worker {
    struct siphash_key key;
    struct source *sources; /* SETS * WAYS; pages are used as sources come */
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
    own->sources = calloc((size_t)SETS * WAYS, sizeof *own->sources);
    if (own->sources == NULL)
        return -ENOMEM;
    return siphash_key_init(&own->key);
}

static void stop(const void *filter, void *mine)
{
    (void)filter;
    free(((struct limit_worker *)mine)->sources);
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
    uint64_t hash = siphash(&own->key, (const uint8_t *)at, sizeof *at);
    struct source *set = &own->sources[hash % SETS * WAYS], *chosen = set;
    uint64_t least = UINT64_MAX;

    for (struct source *source = set; source < set + WAYS; source++) {
        if (source->last_ns != 0 && endpoint_equals(&source->at, at))
            return source;
        uint64_t own_weight =
            source->last_ns == 0 || now_ns - source->last_ns >= period_ns ? 0 : weight(source);
        if (own_weight < least) {
            least = own_weight;
            chosen = source;
        }
    }
    *chosen = (struct source){.at = *at};
    return chosen;
}

/* Forgets the parts that are over since the source's newest. */
static void move_on(struct source *source, int64_t part)
{
    if (part - source->part >= KEPT)
        memset(source->counts, 0, sizeof source->counts);
    for (int64_t i = source->part + 1; i <= part && part - source->part < KEPT; i++)
        source->counts[i % KEPT] = 0;
    source->part = part;
}

/* At most max_packets within ten parts; and at most a tenth more within a whole period before the
 * datagram, of which the eleventh part has the beginning. */
static enum filter_result read_limit(const void *filter, void *mine, struct filter_call *call)
{
    const struct limit *limit = filter;
    int64_t period_ns = limit->period * SECOND_NS, part_ns = period_ns / PARTS;
    int64_t part = call->now_ns / part_ns;
    struct source *source = find(mine, call->source, call->now_ns, period_ns);

    if (call->now_ns - source->last_ns >= period_ns)
        memset(source->counts, 0, sizeof source->counts);
    move_on(source, part);
    uint64_t all = weight(source);
    unsigned oldest = (unsigned)((part + 1) % KEPT);
    uint64_t recent = all - source->counts[oldest];
    int64_t oldest_ns = (part - PARTS) * part_ns + ((int64_t)source->lasts_us[oldest] + 1) * 1000;
    if (source->counts[oldest] > 0 && call->now_ns - oldest_ns >= period_ns)
        all = recent;
    if (recent >= limit->max_packets ||
        all >= (uint64_t)limit->max_packets + limit->max_packets / PARTS) {
        call->reason = 0;
        return FILTER_DROP;
    }

    source->last_ns = call->now_ns;
    source->counts[part % KEPT]++;
    /* A part of the longest period is longer than 32 bits of microseconds: its end is meant. */
    int64_t us = call->now_ns % part_ns / 1000;
    source->lasts_us[part % KEPT] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
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

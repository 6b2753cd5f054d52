/* SPDX-License-Identifier: Apache-2.0 */
#include "filters/list.h"

/* Endpoints whose sessions are counted for one datagram. */
#define LOOKED_AT 64

enum policy {
    ROUND_ROBIN,
    RANDOM,
    HASH,
    LEAST_SESSIONS
};

struct balancer {
    enum policy policy;
};

/* In turn within a worker, as workers share nothing that is written. */
struct turn {
    uint64_t random;
    uint32_t next;
    uint64_t total, stride; /* the sum of weights of the last datagram, and the step for it */
};

static const char *const policies[] = {"ROUND_ROBIN", "RANDOM", "HASH", "LEAST_SESSIONS", NULL};

static const struct field fields[] = {
    {.key = "policy",
     .help = "how one endpoint is chosen: in turn, by chance, by the player's address and port, or "
             "the one with the fewest sessions",
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

static uint32_t next_random(struct turn *turn)
{
    turn->random += UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(mix(turn->random) >> 32);
}

/* The endpoint of a number among those that an earlier filter chose, or all. */
static uint32_t place_of(const struct filter_call *call, uint32_t i)
{
    return call->is_chosen ? call->chosen[i] : i;
}

static uint64_t weight(const struct filter_world *world, uint32_t place)
{
    if (world->weights == NULL)
        return 1;
    return world->weights[place] - (place > 0 ? world->weights[place - 1] : 0);
}

static uint64_t total_weight(const struct filter_call *call, uint32_t count)
{
    uint64_t total = 0;
    if (call->world->weights == NULL)
        return count;
    if (!call->is_chosen)
        return call->world->weights[count - 1];
    for (uint32_t i = 0; i < count; i++)
        total += weight(call->world, call->chosen[i]);
    return total;
}

/* The number of the endpoint that has a point below the sum of the weights. */
static uint32_t at_point(const struct filter_call *call, uint64_t point, uint32_t count)
{
    const uint64_t *weights = call->world->weights;
    uint32_t i = 0;
    if (weights == NULL)
        return (uint32_t)point;
    if (call->is_chosen) {
        while (point >= weight(call->world, call->chosen[i]))
            point -= weight(call->world, call->chosen[i++]);
        return i;
    }
    for (uint32_t left = count; left > 0;) {
        uint32_t half = left / 2;
        bool is_behind = weights[i + half] <= point;
        i += is_behind ? half + 1 : 0;
        left = is_behind ? left - half - 1 : half;
    }
    return i;
}

static bool is_open(const struct filter_call *call, uint32_t i)
{
    return call->sessions == NULL ||
           call->sessions->is_open(call->sessions, call->source, place_of(call, i));
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* The next point in turn. Steps of the golden section meet each point once, and spread those of one
 * endpoint. */
static uint64_t point_in_turn(const struct filter_call *call, struct turn *turn, uint64_t total)
{
    if (call->world->weights == NULL)
        return turn->next++ % total;
    if (turn->total != total) {
        turn->total = total;
        turn->stride = (uint64_t)((double)total * 0.6180339887) + 1;
        while (common_divisor(turn->stride, total) > 1)
            turn->stride++;
    }
    return turn->next++ * turn->stride % total;
}

static uint64_t hash(const struct endpoint *source)
{
    uint64_t words[2];
    __builtin_memcpy(words, &source->address, sizeof words);
    return mix(mix(words[0]) ^ mix(words[1] + source->port)) >> 32;
}

/* The number of an endpoint with which the player has a session, or how many there are. */
static uint32_t own_endpoint(const struct filter_call *call, uint32_t count)
{
    uint32_t place;
    for (unsigned n = 0;
         (place = call->sessions->find(call->sessions, call->source, n)) != FILTER_NOWHERE; n++) {
        uint32_t i = call->is_chosen ? 0 : place;
        while (i < count && place_of(call, i) != place)
            i++;
        if (i < count)
            return i;
    }
    return count;
}

/* A player stays where it is; a new one goes where the fewest sessions are by weight, from a random
 * endpoint on. */
static uint32_t with_least_sessions(const struct filter_call *call, struct turn *turn,
                                    uint32_t count)
{
    uint32_t first = next_random(turn) % count, best = first;
    uint64_t best_load = UINT64_MAX, best_weight = 1;
    if (call->sessions == NULL)
        return first;
    uint32_t own = own_endpoint(call, count);
    if (own < count)
        return own;
    for (uint32_t n = 0; n < count && n < LOOKED_AT; n++) {
        uint32_t i = (first + n) % count, place = place_of(call, i);
        uint64_t load = call->sessions->count(call->sessions, place) + UINT64_C(1);
        uint64_t own_weight = weight(call->world, place);
        if (!is_open(call, i))
            continue;
        if (best_load == UINT64_MAX || load * best_weight < best_load * own_weight) {
            best = i;
            best_load = load;
            best_weight = own_weight;
        }
    }
    return best;
}

static uint32_t choose(const struct balancer *balancer, struct turn *turn,
                       const struct filter_call *call, uint32_t count)
{
    uint64_t total = total_weight(call, count), point = 0;
    switch (balancer->policy) {
    case ROUND_ROBIN:
        point = point_in_turn(call, turn, total);
        break;
    case RANDOM:
        point = next_random(turn) % total;
        break;
    case HASH:
        point = hash(call->source) % total;
        break;
    case LEAST_SESSIONS:
        return with_least_sessions(call, turn, count);
    }
    return at_point(call, point, count);
}

static enum filter_result read_balancer(const void *filter, void *mine, struct filter_call *call)
{
    uint32_t count = call->is_chosen ? call->chosen_count : call->world->count;
    if (count == 0)
        return FILTER_NEXT;
    uint32_t i = choose(filter, mine, call, count);
    for (uint32_t n = 1; n < count && n < LOOKED_AT && !is_open(call, i); n++)
        i = (i + 1) % count;
    call->chosen[0] = place_of(call, i);
    call->chosen_count = 1;
    call->is_chosen = true;
    return FILTER_NEXT;
}

/* Players stay where they are by these two alone. */
static bool repeats(const void *filter, struct filter_repeat *repeat)
{
    enum policy policy = ((const struct balancer *)filter)->policy;
    (void)repeat;
    return policy == HASH || policy == LEAST_SESSIONS;
}

const struct filter_ops filter_load_balancer = {
    .id = "quilkin.filters.load_balancer.v1alpha1.LoadBalancer",
    .fields = fields,
    .needs_config = true,
    .filter_bytes = sizeof(struct balancer),
    .worker_bytes = sizeof(struct turn),
    .start = start,
    .read = read_balancer,
    .repeats = repeats};

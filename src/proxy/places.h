/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * How many sessions there are by country, and by network: that of autonomous systems. Of fixed
 * size: where a worker has sessions of very many networks, those of further ones are in none.
 */
#ifndef PADDOCK_PROXY_PLACES_H
#define PADDOCK_PROXY_PLACES_H

#include "geo/table.h"
#include "metrics/counter.h"
#include "metrics/metrics.h"

/** Countries that there may be, after the unknown one; networks of one worker. */
#define PLACES_COUNTRIES (26U * 26U)
#define PLACES_NETWORKS 256U

/** Counts of one worker, which alone writes them. */
struct places {
    struct counter countries[1 + PLACES_COUNTRIES]; /**< 0: unknown */
    /** A number of a network above, the sessions of it below; 0: free. */
    struct counter networks[PLACES_NETWORKS];
    struct counter others; /**< sessions of unknown networks, and of those without room */
};

/** The counts of all workers. Zeroed it is empty. */
struct places_sum {
    uint64_t countries[1 + PLACES_COUNTRIES], others;
    struct geo_place_count {
        uint32_t asn;
        uint64_t sessions;
    } networks[PLACES_NETWORKS];
    unsigned count;
};

/** Counts a session. @return where its network is counted, for places_remove(). */
uint16_t places_add(struct places *places, struct geo_place place);

/** Counts a session no more. */
void places_remove(struct places *places, const char country[2], uint16_t network);

/** Adds one worker's counts; from any thread. Networks that find no room are among the others. */
void places_collect(struct places_sum *sum, const struct places *places);

/** Writes the samples of sessions by country; the family is begun. */
void places_write_countries(const struct places_sum *sum, struct metrics *out);

/** Writes the family of sessions by network. */
void places_write_networks(const struct places_sum *sum, struct metrics *out);

#endif

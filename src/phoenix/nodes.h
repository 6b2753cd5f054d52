/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The nodes that are pinged, and the sites that they stand for: the nodes of one airport's code.
 * They outlive a change of the list of data centres with all that is known of them, as long as
 * address and port stay. No I/O; belongs to the control thread.
 */
#ifndef PADDOCK_PHOENIX_NODES_H
#define PADDOCK_PHOENIX_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/datacenters.h"
#include "latency/pace.h"
#include "latency/ranking.h"
#include "latency/window.h"
#include "metrics/histogram.h"
#include "net/endpoint.h"

/** Bounds of struct site.one_way_ns. */
extern const struct histogram_bounds phoenix_measurement_bounds;

/** All nodes with one code. */
struct site {
    char icao_code[5];
    struct node *best;              /**< the answer for the code; NULL: none of them is known */
    int64_t shown_ns;               /**< the round trip that is told; where there is a best node */
    uint64_t errors;                /**< pings of its nodes without an answer that can be */
    struct histogram one_way_ns[2]; /**< halves of round trips: incoming, outgoing */
    bool is_open, is_new;           /**< for nodes_evaluate() */
};

/** One node. */
struct node {
    struct datacenter named; /**< as it was told */
    struct site *site;
    char name[TARGET_HOST_BYTES]; /**< to be resolved; "" where the address is numeric */
    struct endpoint at;
    bool has_address; /**< one that can be pinged */
    bool is_new;      /**< nothing has been done about it yet */
    struct window window;
    struct pace pace;
    int64_t due_ns; /**< of the next ping, monotonic; INT64_MAX: not before the last has ended */
    uint64_t ping;  /**< in flight; 0: none */
    bool has_ended_one; /**< a ping, so that its silence is known, too */
    /** Pings, and what became of those that have ended. */
    uint64_t sent, answered, lost, implausible;
};

/** All of them. Zeroed: none. */
struct nodes {
    struct node **items; /**< in the order of addresses and ports */
    size_t count;
    struct site **sites; /**< in the order of codes */
    size_t sites_count;
    struct ranked *ranking; /**< the known sites, the best first */
    size_t ranked;
};

/** Frees all. */
void nodes_fini(struct nodes *nodes);

/**
 * Takes over a list. A node that was there with the same address and port stays as it is, though
 * its code may be another.
 * @param datacenters NULL: an empty list.
 * @param leave called for each node that is no longer there, before it is freed; once nothing can
 * fail any more.
 * @return 0, or -ENOMEM: nothing has changed.
 */
int nodes_follow(struct nodes *nodes, const struct datacenters *datacenters,
                 void (*leave)(struct node *node, void *user), void *user);

/** Forgets what is known of the way to a node, because it is another way now. */
void node_reset(struct node *node);

/** Chooses the best node of each site, ranks the sites, and says what is told of them.
 * @return whether that is something else than it was after the last call, but for sites that
 * nodes_follow() has removed. */
bool nodes_evaluate(struct nodes *nodes, int64_t now_ns);

#endif

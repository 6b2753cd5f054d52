/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Pings all nodes at once over one client of libqcmp, in the loop of the control thread, each at
 * its own pace and with its own time-out, so that a node that is silent delays no other.
 */
#ifndef PADDOCK_PHOENIX_PROBER_H
#define PADDOCK_PHOENIX_PROBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "catalog/datacenters.h"
#include "latency/pace.h"
#include "loop/loop.h"
#include "phoenix/nodes.h"

/** How long a ping waits for its answer. One that has none and goes to a name of which nothing is
 * known yet, or no more, is followed by one to the next address of the name. */
#define PROBER_TIMEOUT_NS INT64_C(2000000000)

/** New nodes are pinged within so long, one after the other. */
#define PROBER_SPREAD_NS INT64_C(1000000000)

/** The first round is over after so long, whoever has answered by then. */
#define PROBER_FIRST_NS INT64_C(4000000000)

/** What came to the client beside the answers, or could not be sent. */
enum prober_other {
    PROBER_LATE,      /**< an answer to a ping that had ended */
    PROBER_DUPLICATE, /**< one more answer */
    PROBER_REJECTED,  /**< no answer to any ping */
    PROBER_UNSENT,    /**< a ping that the system had no room for, and that is tried again */
    PROBER_FAILED,    /**< errors of the socket itself */
    PROBER_OTHERS
};

struct prober;

/** How to probe. */
struct prober_options {
    struct loop *loop; /**< of the control thread */
    struct log *log;
    struct pace_bounds bounds;
    /** What the nodes tell has changed; called by the loop. The first time when the first round is
     * over, also where there are no nodes. */
    void (*changed)(const struct nodes *nodes, void *user);
    void *user;
};

/** Makes a prober without nodes, and opens its socket.
 * @param[out] prober untouched on failure; freed with prober_free().
 * @return 0 or a negative errno value. */
int prober_new(struct prober **prober, const struct prober_options *options);

/** Ends all pings, and frees. NULL is fine. */
void prober_free(struct prober *prober);

/** Begins to ping. @return 0 or a negative errno value. */
int prober_start(struct prober *prober);

/** Pings these nodes from now on and no others, as nodes_follow() has it. NULL: none.
 * @return 0 or -ENOMEM: nothing has changed. */
int prober_follow(struct prober *prober, const struct datacenters *datacenters);

/** Takes other bounds for the intervals, from the next ping of each node on. */
void prober_set_bounds(struct prober *prober, const struct pace_bounds *bounds);

/** Goes on resolving names; to be called every second. */
void prober_tick(struct prober *prober, int64_t now_ns);

/** Shows the nodes, which do not change meanwhile, to a function that must be quick, and must not
 * call the prober. From any thread.
 * @param others of enum prober_other: how many. */
void prober_look(struct prober *prober,
                 void (*look)(const struct nodes *nodes, const uint64_t *others, void *user),
                 void *user);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Whether game servers answer: by probes that are sent to them, and by what the network says of
 * datagrams to them. Used by the control thread, save what says otherwise.
 */
#ifndef PADDOCK_PROXY_HEALTH_H
#define PADDOCK_PROXY_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "loop/loop.h"
#include "metrics/counter.h"
#include "net/endpoint.h"
#include "proxy/policies.h"

/** The first member is what workers read, the second what they write. Both are relaxed: each is
 * looked at for itself. */
struct server_health {
    atomic_bool is_down;
    _Atomic uint32_t refusals; /**< datagrams that the network refused */

    struct health *owner; /**< the rest is the control thread's */
    unsigned references;
    struct endpoint at, target; /**< the server, and where its probes go */
    struct policy policy;
    uint32_t refusals_seen, failures, successes; /**< the latter two in a row */
    bool is_waiting;                             /**< for the answer to a probe */
    int64_t due_ns, sent_ns, failed_ns, down_ns; /**< the next probe; the last events */
    uint64_t stamp;                              /**< tells the probe under way from others */
    struct server_health *next_of_target;
};

struct health;

/** What was counted; for metrics, from any thread. */
struct health_counters {
    struct counter probes, answers; /**< sent, and answered in time */
    struct counter down;            /**< at the moment */
    struct counter changes[2];      /**< to healthy, to unhealthy */
};

/** Makes one that watches nobody.
 * @param[out] made untouched on failure; freed with health_free().
 * @return 0 or a negative errno value. */
int health_new(struct health **made, struct loop *loop, struct log *log);

/** Looks at nobody any more; its memory lasts until the last server is given back. NULL is fine. */
void health_free(struct health *health);

const struct health_counters *health_counters(const struct health *health);

/** Watches a server, which is taken for healthy at first.
 * @param before what is known of it, whose state goes on and which is the result where the policy
 * is the same; NULL: nothing.
 * @return given back by server_health_give(); NULL without memory. */
struct server_health *server_health_take(struct health *health, const struct endpoint *at,
                                         const struct policy *policy, struct server_health *before);

/** NULL is fine. */
void server_health_give(struct server_health *server);

/** Whether a server gets new players; NULL: always. From any thread. */
static inline bool server_health_is_up(const struct server_health *server)
{
    return server == NULL || !atomic_load_explicit(&server->is_down, memory_order_relaxed);
}

#endif

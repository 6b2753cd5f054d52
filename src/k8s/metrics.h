/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the provider counts. Written by the control thread, read by any.
 */
#ifndef PADDOCK_K8S_METRICS_H
#define PADDOCK_K8S_METRICS_H

#include <stdbool.h>

#include "metrics/counter.h"
#include "metrics/metrics.h"

/** What is watched. */
enum k8s_kind {
    K8S_CONFIG_MAP,
    K8S_GAME_SERVER,
    K8S_ENDPOINT_SLICE,
    K8S_LEASE, /**< asked for, not watched */
    K8S_KINDS
};

/** What happens to a list of it. */
enum k8s_event {
    K8S_APPLY,
    K8S_INIT,
    K8S_INIT_APPLY,
    K8S_INIT_DONE,
    K8S_DONE, /**< an object is deleted */
    K8S_EVENTS
};

/** What goes wrong. */
enum k8s_failure {
    K8S_FAILED_LIST,
    K8S_FAILED_WATCH,
    K8S_FAILED_EXPIRED, /**< the version is too old: listed again */
    K8S_FAILED_LEASE,
    K8S_FAILED_OBJECT, /**< it cannot be used */
    K8S_FAILED_TOKEN,  /**< a token of a game server that is no token, and is skipped */
    K8S_FAILURES
};

struct k8s_metrics {
    struct counter events[K8S_KINDS][K8S_EVENTS], errors[K8S_KINDS][K8S_FAILURES];
    struct counter valid, invalid; /**< game servers that came, allocated with an address or not */
    struct counter deleted, undeleted; /**< servers that went, and deletions of unknown ones */
    struct counter failures;           /**< times that the provider failed */
    _Atomic uint64_t filters, servers, is_leader; /**< relaxed: looked at for themselves */
};

/** The kind as metrics and logs have it; static storage. */
const char *k8s_kind_name(enum k8s_kind kind);

/** Writes the families. @param elects whether there is a leader. */
void k8s_metrics_write(const struct k8s_metrics *metrics, bool elects, struct metrics *out);

#endif

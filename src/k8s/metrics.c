/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/metrics.h"

static const char *const kinds[K8S_KINDS] = {[K8S_CONFIG_MAP] = "v1/ConfigMap",
                                             [K8S_GAME_SERVER] = "agones.dev/v1/GameServer",
                                             [K8S_ENDPOINT_SLICE] =
                                                 "discovery.k8s.io/v1/EndpointSlice",
                                             [K8S_LEASE] = "coordination.k8s.io/v1/Lease"};
static const char *const events[K8S_EVENTS] = {[K8S_APPLY] = "apply",
                                               [K8S_INIT] = "init",
                                               [K8S_INIT_APPLY] = "init-apply",
                                               [K8S_INIT_DONE] = "init-done",
                                               [K8S_DONE] = "done"};
static const char *const failures[K8S_FAILURES] = {
    [K8S_FAILED_LIST] = "list",   [K8S_FAILED_WATCH] = "watch",   [K8S_FAILED_EXPIRED] = "expired",
    [K8S_FAILED_LEASE] = "lease", [K8S_FAILED_OBJECT] = "object", [K8S_FAILED_TOKEN] = "token"};

const char *k8s_kind_name(enum k8s_kind kind)
{
    return kinds[kind];
}

static uint64_t value(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* Series that have never counted are left out, as most of them never will. */
void k8s_metrics_write(const struct k8s_metrics *metrics, bool elects, struct metrics *out)
{
    metrics_family(out, "quilkin_provider_k8s_events", METRICS_COUNTER, NULL,
                   "What Kubernetes has told of objects.");
    for (unsigned kind = 0; kind < K8S_KINDS; kind++) {
        for (unsigned event = 0; event < K8S_EVENTS; event++) {
            uint64_t count = counter_read(&metrics->events[kind][event]);

            if (count > 0)
                metrics_sample(out, count, "kind", kinds[kind], "type", events[event], NULL);
        }
    }
    metrics_family(out, "quilkin_providers_k8s_errors", METRICS_COUNTER, NULL,
                   "What went wrong with Kubernetes.");
    for (unsigned kind = 0; kind < K8S_KINDS; kind++) {
        for (unsigned failure = 0; failure < K8S_FAILURES; failure++) {
            uint64_t count = counter_read(&metrics->errors[kind][failure]);

            if (count > 0)
                metrics_sample(out, count, "kind", kinds[kind], "reason", failures[failure], NULL);
        }
    }
    metrics_single(out, "quilkin_provider_k8s_filters", METRICS_GAUGE, value(&metrics->filters),
                   "Filters that a ConfigMap tells.");
    metrics_single(out, "paddock_provider_k8s_servers", METRICS_GAUGE, value(&metrics->servers),
                   "Objects of Kubernetes that are game servers now.");
    metrics_family(out, "quilkin_provider_k8s_gameservers", METRICS_COUNTER, NULL,
                   "GameServers that were told: allocated with an address, or not.");
    metrics_sample(out, counter_read(&metrics->valid), "kind", "valid", NULL);
    metrics_sample(out, counter_read(&metrics->invalid), "kind", "invalid", NULL);
    metrics_family(out, "quilkin_provider_k8s_gameservers_deletions", METRICS_COUNTER, NULL,
                   "GameServers that are gone: those that had players, or not.");
    metrics_sample(out, counter_read(&metrics->deleted), "kind", "true", NULL);
    metrics_sample(out, counter_read(&metrics->undeleted), "kind", "false", NULL);
    if (!elects)
        return;
    metrics_single(out, "quilkin_provider_leader_election", METRICS_GAUGE,
                   value(&metrics->is_leader), "Whether this replica is the leader.");
}

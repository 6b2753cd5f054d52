/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/lookup.h"

#define MAX_SERIES 3000 /* 1,000 peers with three types */
#define LABEL_BYTES 256

static const struct {
    const char *name, *help, *first, *second;
    enum metrics_type type;
} families[XDS_FAMILIES] = {
    [XDS_ACTIVE] = {"xds_active_control_planes", "Streams to servers of the control plane.",
                    "control_plane", NULL, METRICS_GAUGE},
    [XDS_REQUESTS] = {"xds_delta_discovery_requests", "Requests for resources.", "client_id",
                      "type", METRICS_NAMED_COUNTER},
    [XDS_RESPONSES] = {"xds_delta_discovery_responses", "Responses with resources.",
                       "control_plane", "type", METRICS_NAMED_COUNTER},
    [XDS_ACKS] = {"xds_acks", "Responses that were taken.", "control_plane", "type",
                  METRICS_NAMED_COUNTER},
    [XDS_NACKS] = {"xds_nacks", "Responses that were refused.", "control_plane", "type",
                   METRICS_NAMED_COUNTER},
    [XDS_ERRORS] = {"xds_errors", "What went wrong in the control plane.", "kind", "reason",
                    METRICS_COUNTER},
    [XDS_ACTIONS] = {"xds_actions", "What was done in the control plane.", "kind", "action",
                     METRICS_COUNTER},
};

struct series {
    struct series *next;
    enum xds_family family;
    int64_t value;
    char first[LABEL_BYTES], second[LABEL_BYTES];
};

struct xds_metrics {
    pthread_mutex_t lock; /* over all of it: the admin server's thread reads */
    struct lookup *lookup;
    struct series *first[XDS_FAMILIES];
    size_t count[XDS_FAMILIES];
};

/* The key is the first label, a zero and the second; the owner stands for the family. */
static bool has_key(const void *item, const struct lookup_key *key)
{
    const struct series *series = item;
    size_t length = strlen(series->first) + 1;

    return key->owner == &families[series->family] &&
           key->bytes == length + strlen(series->second) &&
           memcmp(key->data, series->first, length) == 0 &&
           memcmp((const char *)key->data + length, series->second, key->bytes - length) == 0;
}

struct xds_metrics *xds_metrics_new(void)
{
    struct xds_metrics *metrics = calloc(1, sizeof *metrics);

    if (metrics != NULL && (metrics->lookup = lookup_new(has_key)) == NULL) {
        free(metrics);
        return NULL;
    }
    if (metrics != NULL)
        pthread_mutex_init(&metrics->lock, NULL);
    return metrics;
}

void xds_metrics_free(struct xds_metrics *metrics)
{
    if (metrics == NULL)
        return;
    for (unsigned i = 0; i < XDS_FAMILIES; i++) {
        while (metrics->first[i] != NULL) {
            struct series *series = metrics->first[i];

            metrics->first[i] = series->next;
            free(series);
        }
    }
    lookup_free(metrics->lookup);
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

static struct series *find(struct xds_metrics *metrics, enum xds_family family, const char *first,
                           const char *second)
{
    char bytes[2 * LABEL_BYTES];
    int length = snprintf(bytes, sizeof bytes, "%.250s%c%.250s", first, 0, second);
    const struct lookup_key key = {&families[family], bytes, (size_t)length};
    struct series *series = lookup_find(metrics->lookup, &key);

    if (series != NULL)
        return series;
    if (metrics->count[family] >= MAX_SERIES && strcmp(first, "other") != 0)
        return NULL;
    void **place = lookup_place(metrics->lookup, &key);
    series = place != NULL ? calloc(1, sizeof *series) : NULL;
    if (series == NULL)
        return NULL;
    series->family = family;
    snprintf(series->first, sizeof series->first, "%.250s", first);
    snprintf(series->second, sizeof series->second, "%.250s", second);
    series->next = metrics->first[family];
    metrics->first[family] = series;
    metrics->count[family]++;
    *place = series;
    return series;
}

void xds_metrics_add(struct xds_metrics *metrics, enum xds_family family, const char *first,
                     const char *second, int64_t n)
{
    pthread_mutex_lock(&metrics->lock);
    struct series *series = find(metrics, family, first, second != NULL ? second : "");
    if (series == NULL)
        series = find(metrics, family, "other", second != NULL ? second : "");
    if (series != NULL)
        series->value += n;
    pthread_mutex_unlock(&metrics->lock);
}

void xds_metrics_write(struct xds_metrics *metrics, struct metrics *out)
{
    pthread_mutex_lock(&metrics->lock);
    for (unsigned i = 0; i < XDS_FAMILIES; i++) {
        metrics_family(out, families[i].name, families[i].type, NULL, families[i].help);
        for (const struct series *series = metrics->first[i]; series != NULL;
             series = series->next) {
            uint64_t value = series->value > 0 ? (uint64_t)series->value : 0;

            if (families[i].second != NULL)
                metrics_sample(out, value, families[i].first, series->first, families[i].second,
                               series->second, NULL);
            else
                metrics_sample(out, value, families[i].first, series->first, NULL);
        }
    }
    pthread_mutex_unlock(&metrics->lock);
}

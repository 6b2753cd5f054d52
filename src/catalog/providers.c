/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "catalog/settings.h"

/* Token number n is n in so many little-endian bytes; an endpoint has the numbers after those of
 * the one before. */
static int add_static(struct cluster *cluster, const struct catalog_settings *settings)
{
    const struct static_tokens *tokens = &settings->static_tokens;
    struct cluster_endpoint *endpoint;
    uint64_t number = 0;
    int error = 0;

    for (const struct cluster_endpoint *from = settings->static_endpoints->endpoints;
         from != NULL && error == 0; from = from->next) {
        error = cluster_add_endpoint(cluster, from->address, &endpoint);
        for (uint64_t i = 0; i < tokens->count && error == 0; i++, number++) {
            uint8_t bytes[8];

            for (size_t byte = 0; byte < sizeof bytes; byte++)
                bytes[byte] = (uint8_t)(number >> 8 * byte);
            error = cluster_add_token(cluster, endpoint, bytes, tokens->length);
        }
    }
    return error;
}

static int tell_static(const struct catalog_settings *settings, const char *locality,
                       struct catalog_change *change)
{
    const struct static_tokens *tokens = &settings->static_tokens;
    struct cluster *cluster;
    int error;

    if (settings->static_endpoints == NULL)
        return 0;
    change->clusters = clusters_new();
    cluster = cluster_new(locality);
    if (change->clusters == NULL || cluster == NULL || add_static(cluster, settings) != 0) {
        cluster_free(cluster);
        return -ENOMEM;
    }
    error = clusters_add(change->clusters, cluster);
    if (tokens->count > 0 && error == 0) {
        change->filters = json_pack("[{s:s, s:{s:{s:I, s:b}}}, {s:s}]", "name",
                                    "quilkin.filters.capture.v1alpha1.Capture", "config", "suffix",
                                    "size", (json_int_t)tokens->length, "remove", 1, "name",
                                    "quilkin.filters.token_router.v1alpha1.TokenRouter");
        error = change->filters != NULL ? 0 : -ENOMEM;
    }
    return error;
}

/* A list in which what had no locality is in one, beside what was there already. */
static struct clusters *move(const struct clusters *clusters, const char *locality)
{
    const struct clusters_item *here = clusters_find(clusters, locality);
    struct clusters *moved = clusters_new();
    struct cluster *cluster = cluster_new(locality);
    int error = moved == NULL || cluster == NULL ? -ENOMEM : 0;

    if (error == 0 && here != NULL)
        error = cluster_add_all(cluster, here->cluster);
    if (error == 0)
        error = cluster_add_all(cluster, clusters_find(clusters, "")->cluster);
    if (error == 0) {
        error = clusters_add(moved, cluster);
        cluster = NULL;
    }
    for (size_t i = 0; i < clusters->count && error == 0; i++) {
        const struct clusters_item *item = &clusters->items[i];

        if (item != here && item->cluster->locality[0] != '\0')
            error = clusters_share(moved, item->cluster, 0);
    }
    if (error == 0) {
        moved->fingerprints = clusters->fingerprints;
        return moved;
    }
    cluster_free(cluster);
    clusters_free(moved);
    return NULL;
}

static int tell_file(const struct catalog_told *settings, const char *locality,
                     struct catalog_change *change)
{
    const struct clusters *clusters = settings->clusters;

    change->filters = json_incref(settings->filters);
    if (clusters != NULL) {
        bool moves = locality[0] != '\0' && clusters_find(clusters, "") != NULL;

        change->clusters = moves ? move(clusters, locality) : clusters_copy(clusters);
        if (change->clusters == NULL)
            return -ENOMEM;
    }
    if (settings->datacenters != NULL) {
        change->datacenters = datacenters_copy(settings->datacenters);
        if (change->datacenters == NULL)
            return -ENOMEM;
    }
    return 0;
}

int catalog_settings_change(const struct catalog_settings *settings, enum catalog_source source,
                            const char *locality, struct catalog_change *change)
{
    struct catalog_change told = {0};
    int error = 0;

    switch (source) {
    case CATALOG_CONFIG:
        error = tell_file(&settings->config, locality, &told);
        break;
    case CATALOG_FS:
        error = tell_file(&settings->provider, locality, &told);
        break;
    case CATALOG_STATIC:
        error = tell_static(settings, locality, &told);
        break;
    case CATALOG_MDS:
    case CATALOG_XDS:
    case CATALOG_K8S:
    case CATALOG_SOURCES:
        break;
    }
    if (error != 0) {
        catalog_change_fini(&told);
        return -ENOMEM;
    }
    *change = told;
    return 0;
}

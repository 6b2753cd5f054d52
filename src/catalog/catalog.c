/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

/* What a source can lose against another. */
enum part {
    PART_CLUSTERS,
    PART_FILTERS,
    PART_DATACENTERS,
    PARTS
};

struct told {
    struct catalog_change change;
    uint64_t number; /* how often it has told something else than before */
    bool warned[PARTS];
};

struct catalog {
    struct workers *workers;
    struct log *log;
    struct siphash_key key;
    struct quiescent_slot slot;
    struct told told[CATALOG_SOURCES];
    struct catalog_watch *watches;
    struct catalog_self self;
};

static const char *const source_names[] = {
    [CATALOG_CONFIG] = "config", [CATALOG_FS] = "fs",   [CATALOG_STATIC] = "static",
    [CATALOG_MDS] = "mds",       [CATALOG_XDS] = "xds", [CATALOG_K8S] = "k8s"};

static bool filters_equal(json_t *a, json_t *b)
{
    return a == b || (a != NULL && b != NULL && json_equal(a, b));
}

static bool change_equal(const struct catalog_change *a, const struct catalog_change *b)
{
    return (a->clusters == NULL) == (b->clusters == NULL) &&
           (a->datacenters == NULL) == (b->datacenters == NULL) &&
           clusters_equal(a->clusters, b->clusters) && filters_equal(a->filters, b->filters) &&
           datacenters_equal(a->datacenters, b->datacenters);
}

void catalog_change_fini(struct catalog_change *change)
{
    clusters_free(change->clusters);
    json_decref(change->filters);
    datacenters_free(change->datacenters);
    *change = (struct catalog_change){0};
}

static void version_free(struct retired *retired)
{
    struct catalog_version *version = (struct catalog_version *)retired;

    if (version == NULL)
        return;
    clusters_free(version->clusters);
    json_decref(version->filters);
    datacenters_free(version->datacenters);
    free(version);
}

int catalog_new(struct catalog **catalog, struct workers *workers, struct log *log)
{
    struct catalog *made = calloc(1, sizeof *made);
    struct catalog_version *version = calloc(1, sizeof *version);
    int error = made == NULL || version == NULL ? -ENOMEM : siphash_key_init(&made->key);

    if (error == 0 && (version->clusters = clusters_new()) == NULL)
        error = -ENOMEM;
    if (error != 0) {
        free(version);
        free(made);
        return error;
    }
    made->workers = workers;
    made->log = log;
    version->number = version->datacenters_number = 1;
    (void)quiescent_publish(&made->slot, version);
    *catalog = made;
    return 0;
}

void catalog_free(struct catalog *catalog)
{
    if (catalog == NULL)
        return;
    version_free(quiescent_publish(&catalog->slot, NULL));
    for (size_t i = 0; i < CATALOG_SOURCES; i++)
        catalog_change_fini(&catalog->told[i].change);
    free(catalog);
}

void catalog_watch(struct catalog *catalog, struct catalog_watch *watch)
{
    watch->next = catalog->watches;
    catalog->watches = watch;
}

void catalog_unwatch(struct catalog *catalog, struct catalog_watch *watch)
{
    struct catalog_watch **place = &catalog->watches;

    while (*place != NULL && *place != watch)
        place = &(*place)->next;
    if (*place != NULL)
        *place = watch->next;
}

static void tell_watches(const struct catalog *catalog)
{
    for (struct catalog_watch *watch = catalog->watches; watch != NULL; watch = watch->next)
        watch->changed(watch->user);
}

const struct catalog_self *catalog_self(const struct catalog *catalog)
{
    return &catalog->self;
}

void catalog_set_self(struct catalog *catalog, const struct catalog_self *self)
{
    bool is_changed = strcmp(self->id, catalog->self.id) != 0 ||
                      strcmp(self->region, catalog->self.region) != 0 ||
                      strcmp(self->locality, catalog->self.locality) != 0 ||
                      self->is_silent != catalog->self.is_silent ||
                      strcmp(self->icao_code, catalog->self.icao_code) != 0 ||
                      self->qcmp_port != catalog->self.qcmp_port;

    catalog->self = *self;
    if (is_changed)
        tell_watches(catalog);
}

const char *catalog_source_name(enum catalog_source source)
{
    return source_names[source];
}

const struct catalog_version *catalog_read(const struct catalog *catalog)
{
    return quiescent_read(&catalog->slot);
}

static void warn_loser(struct catalog *catalog, enum catalog_source source, enum part part,
                       const char *locality)
{
    static const char *const names[PARTS] = {"clusters", "filters", "datacenters"};
    struct told *told = &catalog->told[source];

    if (!told->warned[part] && part == PART_CLUSTERS)
        LOG_EVENT(catalog->log, LOG_LEVEL_WARN,
                  log_text("message", "another source tells this locality as well, and wins"),
                  log_text("source", source_names[source]), log_text("locality", locality));
    else if (!told->warned[part])
        LOG_EVENT(catalog->log, LOG_LEVEL_WARN,
                  log_text("message", "another source tells this part as well, and wins"),
                  log_text("source", source_names[source]), log_text("part", names[part]));
    told->warned[part] = true;
}

/* A cluster that has not changed is that of the version in force, with its number. */
static int merge_clusters(struct catalog *catalog, enum catalog_source source,
                          struct catalog_version *next)
{
    const struct catalog_version *now = catalog_read(catalog);
    const struct clusters *told = catalog->told[source].change.clusters;
    int error = 0;

    for (size_t i = 0; told != NULL && i < told->count && error == 0; i++) {
        const struct cluster *cluster = told->items[i].cluster;
        const struct clusters_item *before = clusters_find(now->clusters, cluster->locality);

        if (before != NULL && cluster_equal(before->cluster, cluster))
            error = clusters_share(next->clusters, before->cluster, before->version);
        else
            error = clusters_share(next->clusters, cluster, next->number);
        if (error == -EEXIST) {
            warn_loser(catalog, source, PART_CLUSTERS, cluster->locality);
            error = 0;
        }
    }
    return error;
}

/* What all sources tell, as the version after the one in force. */
static int merge(struct catalog *catalog, struct catalog_version **version)
{
    const struct catalog_version *now = catalog_read(catalog);
    struct catalog_version *next = calloc(1, sizeof *next);
    int error = 0;

    if (next == NULL)
        return -ENOMEM;
    next->number = now->number + 1;
    next->clusters = clusters_new();
    if (next->clusters == NULL)
        error = -ENOMEM;
    for (size_t source = CATALOG_SOURCES; source-- > 0 && error == 0;) {
        const struct catalog_change *told = &catalog->told[source].change;

        error = merge_clusters(catalog, (enum catalog_source)source, next);
        if (told->filters != NULL && next->filters == NULL)
            next->filters = json_incref(told->filters);
        else if (told->filters != NULL)
            warn_loser(catalog, (enum catalog_source)source, PART_FILTERS, NULL);
        if (told->datacenters != NULL && next->datacenters == NULL) {
            next->datacenters = datacenters_copy(told->datacenters);
            if (next->datacenters == NULL)
                error = -ENOMEM;
        } else if (told->datacenters != NULL) {
            warn_loser(catalog, (enum catalog_source)source, PART_DATACENTERS, NULL);
        }
    }
    next->datacenters_number = datacenters_equal(next->datacenters, now->datacenters)
                                   ? now->datacenters_number
                                   : next->number;
    if (error != 0) {
        version_free(&next->retired);
        return error;
    }
    *version = next;
    return 0;
}

/* Whether a merged version has the clusters of the one in force, which it shares then. */
static bool has_same_clusters(const struct catalog_version *next, const struct catalog_version *now)
{
    bool is_same = next->clusters->count == now->clusters->count;
    for (size_t i = 0; i < next->clusters->count; i++)
        is_same &= next->clusters->items[i].version < next->number;
    return is_same;
}

int catalog_update(struct catalog *catalog, enum catalog_source source,
                   const struct catalog_change *change)
{
    const struct catalog_version *now = catalog_read(catalog);
    struct told *told = &catalog->told[source];
    struct catalog_change before = told->change, told_now = *change;
    struct catalog_version *next;

    if (change_equal(&before, &told_now)) {
        catalog_change_fini(&told_now);
        return 0;
    }
    told->change = told_now;
    if (merge(catalog, &next) != 0) {
        told->change = before;
        catalog_change_fini(&told_now);
        return -ENOMEM;
    }
    told->number++;
    catalog_change_fini(&before);
    if (told_now.clusters != NULL && told_now.clusters->fingerprints > 0)
        LOG_EVENT(catalog->log, LOG_LEVEL_WARN,
                  log_text("message", "tokens are given by their fingerprints, and match nothing"),
                  log_text("source", source_names[source]),
                  log_uint("tokens", told_now.clusters->fingerprints));

    if (has_same_clusters(next, now) && filters_equal(next->filters, now->filters) &&
        next->datacenters_number == now->datacenters_number) {
        version_free(&next->retired);
        return 0;
    }
    struct catalog_version *old = quiescent_publish(&catalog->slot, next);
    tell_watches(catalog);
    if (catalog->workers != NULL)
        workers_retire(catalog->workers, &old->retired, version_free);
    else
        version_free(&old->retired);
    return 0;
}

uint64_t catalog_changes(const struct catalog *catalog)
{
    uint64_t changes = 0;

    for (size_t i = 0; i < CATALOG_SOURCES; i++)
        changes += catalog->told[i].number;
    return changes;
}

/* Each filter with all three members, of which a file may leave two out. */
static json_t *show_filters(json_t *filters)
{
    json_t *list = json_array(), *filter;
    size_t i;

    json_array_foreach(filters, i, filter)
    {
        json_t *shown = json_pack("{s:n, s:n}", "label", "config");

        if (json_object_update(shown, filter) != 0 || json_array_append(list, shown) != 0) {
            json_decref(list);
            list = NULL;
        }
        json_decref(shown);
    }
    return list;
}

static json_t *show_source(const struct told *told)
{
    size_t endpoints = 0;

    for (size_t i = 0; told->change.clusters != NULL && i < told->change.clusters->count; i++)
        endpoints += told->change.clusters->items[i].cluster->endpoint_count;
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I}", "version", (json_int_t)told->number, "filters",
        (json_int_t)json_array_size(told->change.filters), "clusters",
        (json_int_t)(told->change.clusters != NULL ? told->change.clusters->count : 0), "endpoints",
        (json_int_t)endpoints, "datacenters",
        (json_int_t)(told->change.datacenters != NULL ? told->change.datacenters->count : 0));
}

int catalog_show(const struct catalog *catalog, json_t *json, bool with_tokens)
{
    const struct catalog_version *now = catalog_read(catalog);
    json_t *paddock = json_object_get(json, "paddock"), *sources = json_object();
    int error = sources == NULL ? -1 : 0;

    for (size_t i = 0; i < CATALOG_SOURCES && error == 0; i++) {
        if (catalog->told[i].number > 0)
            error = json_object_set_new(sources, source_names[i], show_source(&catalog->told[i]));
    }
    if (error == 0 && paddock == NULL) {
        paddock = json_object();
        error = json_object_set_new(json, "paddock", paddock);
    }
    if (error == 0)
        error = json_object_set(paddock, "sources", sources);
    if (error == 0)
        error = json_object_set_new(json, "filters", show_filters(now->filters));
    if (error == 0)
        error = json_object_set_new(
            json, "clusters",
            clusters_show(now->clusters, with_tokens ? NULL : &catalog->key, true));
    if (error == 0)
        error = json_object_set_new(json, "datacenters", json_object());
    json_t *shown = json_object_get(json, "datacenters");
    if (error == 0)
        error = json_object_set_new(shown, "map", datacenters_show(now->datacenters));
    if (error == 0)
        error = json_object_set_new(shown, "version",
                                    json_integer((json_int_t)now->datacenters_number));
    json_decref(sources);
    return error == 0 ? 0 : -ENOMEM;
}

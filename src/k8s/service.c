/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/service.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "k8s/configmaps.h"
#include "k8s/lease.h"
#include "k8s/servers.h"
#include "k8s/watcher.h"

#define MILLISECOND_NS INT64_C(1000000)
#define SECOND_NS INT64_C(1000000000)
#define MAX_SOURCES (K8S_MAX_NAMESPACES + 2)

/* Changes that come together are told together: a version of many servers takes a while to make. At
 * most a tenth of the time is spent on it. */
#define LEAST_PAUSE_NS (5 * MILLISECOND_NS)
#define MOST_PAUSE_NS SECOND_NS

/* One list that is followed. */
struct source {
    struct k8s *k8s;
    struct watcher watcher;
    unsigned list; /* its number in the store */
};

struct k8s {
    struct service_env env;
    struct k8s_settings settings;
    struct k8s_metrics metrics;
    struct api api;
    struct source sources[MAX_SOURCES];
    unsigned sources_count;
    struct server_store *servers;
    struct config_maps *maps; /* NULL: no filters are read */
    struct lease lease;
    struct catalog_watch watch;
    char locality[LOCALITY_TEXT_BYTES]; /* as it was told */
    struct loop_timer tell;
    bool is_waiting; /* the timer is set */
    int64_t pause_ns, told_ns;
    atomic_bool is_ready; /* relaxed: looked at for itself */
};

/* ---- what is told ---- */

/* Nothing is, before all lists were whole once: otherwise a restart would take servers away from
 * those who know them. */
static bool is_whole(const struct k8s *k8s)
{
    for (unsigned i = 0; i < k8s->sources_count; i++) {
        if (!k8s->sources[i].watcher.is_listed)
            return false;
    }
    return true;
}

static void schedule(struct k8s *k8s)
{
    if (k8s->is_waiting || !is_whole(k8s))
        return;
    k8s->is_waiting = true;
    loop_timer_set(k8s->env.control, &k8s->tell, k8s->told_ns + k8s->pause_ns);
}

static int make_clusters(struct k8s *k8s, struct catalog_change *change)
{
    struct cluster *cluster = server_store_cluster(k8s->servers, k8s->locality);

    change->clusters = cluster != NULL ? clusters_new() : NULL;
    if (change->clusters != NULL)
        return clusters_add(change->clusters, cluster);
    cluster_free(cluster);
    return -ENOMEM;
}

static void tell(void *user)
{
    struct k8s *k8s = user;
    int64_t begun_ns = clock_monotonic_ns(), spent_ns;
    struct catalog_change change = {.clusters = NULL};
    int error = 0;

    k8s->is_waiting = false;
    snprintf(k8s->locality, sizeof k8s->locality, "%s", catalog_self(k8s->env.catalog)->locality);
    if (k8s->settings.reads_game_servers || k8s->settings.service.name[0] != '\0')
        error = make_clusters(k8s, &change);
    if (k8s->maps != NULL)
        change.filters = json_incref(config_maps_filters(k8s->maps));
    atomic_store_explicit(&k8s->metrics.filters, json_array_size(change.filters),
                          memory_order_relaxed);
    atomic_store_explicit(&k8s->metrics.servers, server_store_count(k8s->servers),
                          memory_order_relaxed);
    if (error == 0)
        error = catalog_update(k8s->env.catalog, CATALOG_K8S, &change);
    else
        catalog_change_fini(&change);
    k8s->told_ns = clock_monotonic_ns();
    spent_ns = 10 * (k8s->told_ns - begun_ns);
    k8s->pause_ns = spent_ns < LEAST_PAUSE_NS ? LEAST_PAUSE_NS : spent_ns;
    k8s->pause_ns = k8s->pause_ns > MOST_PAUSE_NS ? MOST_PAUSE_NS : k8s->pause_ns;
    if (error == 0)
        return;
    LOG_EVENT(k8s->env.log, LOG_LEVEL_ERROR,
              log_text("message", "what kubernetes tells is not in force: out of memory"));
    k8s->pause_ns = MOST_PAUSE_NS;
    schedule(k8s);
}

static void changed(void *user)
{
    struct k8s *k8s = user;

    if (strcmp(k8s->locality, catalog_self(k8s->env.catalog)->locality) != 0)
        schedule(k8s);
}

/* ---- game servers ---- */

static void count_object(struct k8s *k8s, enum k8s_kind kind, const struct servers *servers,
                         json_t *object)
{
    char name[2 * K8S_NAME_BYTES];

    if (kind == K8S_GAME_SERVER)
        counter_add(servers->count > 0 ? &k8s->metrics.valid : &k8s->metrics.invalid, 1);
    counter_add(&k8s->metrics.errors[kind][K8S_FAILED_TOKEN], servers->bad_tokens);
    counter_add(&k8s->metrics.errors[kind][K8S_FAILED_OBJECT], servers->is_unfit);
    if (servers->bad_tokens == 0 && !servers->is_unfit)
        return;
    server_object_name(object, name);
    LOG_EVENT(k8s->env.log, LOG_LEVEL_WARN,
              log_text("message", servers->is_unfit
                                      ? "a game server has no fit address and port, and is left out"
                                      : "a game server has tokens that are no base64"),
              log_text("kind", k8s_kind_name(kind)), log_text("name", name));
}

static int put_servers(json_t *object, void *user)
{
    struct source *source = user;
    struct k8s *k8s = source->k8s;
    enum k8s_kind kind = source->watcher.options.kind;
    struct servers servers = {0};
    int error = kind == K8S_GAME_SERVER ? servers_read_game_server(&servers, object, &k8s->settings)
                                        : servers_read_slice(&servers, object);

    if (error != 0) {
        servers_fini(&servers);
        return error;
    }
    count_object(k8s, kind, &servers, object);
    if (server_store_put(k8s->servers, source->list, object, &servers) == SERVER_UNKNOWN)
        return -ENOMEM;
    if (server_store_is_changed(k8s->servers))
        schedule(k8s);
    return 0;
}

static void drop_servers(json_t *object, void *user)
{
    struct source *source = user;
    struct k8s *k8s = source->k8s;
    struct servers none = {0};
    enum server_change change = server_store_put(k8s->servers, source->list, object, &none);

    if (source->watcher.options.kind == K8S_GAME_SERVER)
        counter_add(change == SERVER_GONE ? &k8s->metrics.deleted : &k8s->metrics.undeleted, 1);
    if (change == SERVER_GONE)
        schedule(k8s);
}

static void begin_servers(void *user)
{
    const struct source *source = user;

    server_store_mark(source->k8s->servers, source->list);
}

static void end_servers(void *user)
{
    struct source *source = user;

    server_store_sweep(source->k8s->servers, source->list);
    LOG_EVENT(source->k8s->env.log, LOG_LEVEL_INFO, log_text("message", "kubernetes listed"),
              log_text("path", source->watcher.options.path),
              log_uint("servers", server_store_count(source->k8s->servers)));
    schedule(source->k8s);
}

/* ---- filters ---- */

static int put_map(json_t *object, void *user)
{
    const struct source *source = user;
    struct k8s *k8s = source->k8s;
    struct error error = {0};
    int code = config_maps_put(k8s->maps, object, &error);

    if (code == -ENOMEM)
        return code;
    if (code != 0) {
        counter_add(&k8s->metrics.errors[K8S_CONFIG_MAP][K8S_FAILED_OBJECT], 1);
        LOG_EVENT(k8s->env.log, LOG_LEVEL_ERROR,
                  log_text("message", "filters are not taken: what is in force stays"),
                  log_text("error", error.text));
    }
    schedule(k8s);
    return 0;
}

static void drop_map(json_t *object, void *user)
{
    const struct source *source = user;

    config_maps_drop(source->k8s->maps, object);
    schedule(source->k8s);
}

static void begin_maps(void *user)
{
    const struct source *source = user;

    config_maps_mark(source->k8s->maps);
}

static void end_maps(void *user)
{
    const struct source *source = user;

    config_maps_sweep(source->k8s->maps);
    LOG_EVENT(source->k8s->env.log, LOG_LEVEL_INFO, log_text("message", "kubernetes listed"),
              log_text("path", source->watcher.options.path),
              log_uint("filters", json_array_size(config_maps_filters(source->k8s->maps))));
    schedule(source->k8s);
}

/* ---- the service ---- */

static void free_k8s(struct k8s *k8s)
{
    catalog_unwatch(k8s->env.catalog, &k8s->watch);
    loop_timer_stop(k8s->env.control, &k8s->tell);
    for (unsigned i = 0; i < k8s->sources_count; i++)
        watcher_fini(&k8s->sources[i].watcher);
    lease_fini(&k8s->lease);
    fetcher_free(k8s->api.fetcher);
    credentials_free(k8s->api.credentials);
    server_store_free(k8s->servers);
    config_maps_free(k8s->maps);
    free(k8s);
}

static int follow(struct k8s *k8s, enum k8s_kind kind, const char *namespace, const char *selector)
{
    static const struct {
        const char *group, *plural;
    } paths[K8S_KINDS] = {[K8S_CONFIG_MAP] = {"api/v1", "configmaps"},
                          [K8S_GAME_SERVER] = {"apis/agones.dev/v1", "gameservers"},
                          [K8S_ENDPOINT_SLICE] = {"apis/discovery.k8s.io/v1", "endpointslices"}};
    struct source *source = &k8s->sources[k8s->sources_count];
    bool is_map = kind == K8S_CONFIG_MAP;
    struct watcher_options options = {.api = &k8s->api,
                                      .loop = k8s->env.control,
                                      .metrics = &k8s->metrics,
                                      .kind = kind,
                                      .begin = is_map ? begin_maps : begin_servers,
                                      .put = is_map ? put_map : put_servers,
                                      .drop = is_map ? drop_map : drop_servers,
                                      .end = is_map ? end_maps : end_servers,
                                      .user = source};

    source->k8s = k8s;
    source->list = k8s->sources_count;
    snprintf(options.path, sizeof options.path, "/%s/namespaces/%s/%s", paths[kind].group,
             namespace, paths[kind].plural);
    snprintf(options.selector, sizeof options.selector, "%s", selector);
    int error = watcher_init(&source->watcher, &options);
    k8s->sources_count += error == 0;
    return error;
}

static int follow_all(struct k8s *k8s)
{
    const struct k8s_settings *settings = &k8s->settings;
    char selector[WATCHER_SELECTOR_BYTES];
    int error = 0;

    if (settings->reads_filters)
        error = follow(k8s, K8S_CONFIG_MAP, settings->namespace,
                       "&labelSelector=quilkin.dev%2Fconfigmap%3Dtrue");
    for (size_t i = 0; settings->reads_game_servers && i < settings->namespaces.count && error == 0;
         i++)
        error = follow(k8s, K8S_GAME_SERVER, settings->namespaces.items[i], "");
    if (settings->service.name[0] != '\0' && error == 0) {
        snprintf(selector, sizeof selector, "&labelSelector=kubernetes.io%%2Fservice-name%%3D%s",
                 settings->service.name);
        error = follow(k8s, K8S_ENDPOINT_SLICE, settings->service.namespace, selector);
    }
    return error;
}

static void be_silent(struct k8s *k8s, bool is_silent)
{
    struct catalog_self self = *catalog_self(k8s->env.catalog);

    self.is_silent = is_silent;
    catalog_set_self(k8s->env.catalog, &self);
}

static void lead(bool is_leader, void *user)
{
    be_silent(user, !is_leader);
}

static int open_k8s(void **self, const struct service_env *env, const struct config *config,
                    struct error *error)
{
    struct k8s *k8s = calloc(1, sizeof *k8s);
    int code;

    if (k8s == NULL)
        return error_system(error, -ENOMEM, "cannot watch Kubernetes");
    k8s->env = *env;
    k8s->settings = *(const struct k8s_settings *)config_settings(config, &k8s_section);
    k8s->tell = (struct loop_timer){.fire = tell, .user = k8s};
    k8s->watch = (struct catalog_watch){.changed = changed, .user = k8s};
    k8s->api.log = env->log;
    k8s->servers = server_store_new();
    k8s->maps = k8s->settings.reads_filters ? config_maps_new() : NULL;
    code = k8s->servers == NULL || (k8s->settings.reads_filters && k8s->maps == NULL) ? -ENOMEM : 0;
    if (code == 0)
        code = fetcher_new(&k8s->api.fetcher, env->control);
    if (code == 0)
        code = follow_all(k8s);
    if (code != 0)
        error_system(error, code, "cannot watch Kubernetes");
    else
        code = credentials_new(&k8s->api.credentials, &k8s->settings.places, CREDENTIALS_ACCOUNT,
                               error);
    if (code != 0) {
        free_k8s(k8s);
        return code;
    }
    catalog_watch(env->catalog, &k8s->watch);
    if (k8s->settings.elects) /* before anything is told */
        be_silent(k8s, true);
    *self = k8s;
    return 0;
}

static int start(void *self, struct error *error)
{
    struct k8s *k8s = self;
    struct k8s_settings *settings = &k8s->settings;

    (void)error;
    if (settings->id[0] == '\0') /* as it is now: a reload does not make another replica of it */
        snprintf(settings->id, sizeof settings->id, "%s", catalog_self(k8s->env.catalog)->id);
    const struct lease_options lease = {.api = &k8s->api,
                                        .loop = k8s->env.control,
                                        .metrics = &k8s->metrics,
                                        .namespace = settings->namespace,
                                        .name = settings->lease,
                                        .id = settings->id,
                                        .changed = lead,
                                        .user = k8s};

    for (unsigned i = 0; i < k8s->sources_count; i++)
        watcher_start(&k8s->sources[i].watcher);
    if (k8s->settings.elects) {
        lease_init(&k8s->lease, &lease);
        lease_start(&k8s->lease);
    }
    LOG_EVENT(k8s->env.log, LOG_LEVEL_INFO, log_text("message", "k8s ready"),
              log_text("server", credentials_facts(k8s->api.credentials)->server));
    return 0;
}

/* All its settings are fixed. */
static int prepare(void *self, const struct config *next, struct error *error)
{
    (void)self;
    (void)next;
    (void)error;
    return 0;
}

static void commit(void *self)
{
    (void)self;
}

static void tick(void *self, int64_t now_ns)
{
    struct k8s *k8s = self;
    bool is_fine = k8s->maps == NULL || config_maps_filters(k8s->maps) != NULL;

    (void)now_ns;
    for (unsigned i = 0; i < k8s->sources_count; i++)
        is_fine &= watcher_is_ready(&k8s->sources[i].watcher);
    if (k8s->settings.elects)
        is_fine &= lease_is_ready(&k8s->lease);
    atomic_store_explicit(&k8s->is_ready, is_fine, memory_order_relaxed);
}

static bool is_ready(const void *self)
{
    const struct k8s *k8s = self;

    return atomic_load_explicit(&k8s->is_ready, memory_order_relaxed);
}

static void metrics(void *self, bool is_alive, struct metrics *out)
{
    struct k8s *k8s = self;

    (void)is_alive;
    k8s_metrics_write(&k8s->metrics, k8s->settings.elects, out);
}

static void failures(const void *self, struct metrics *out)
{
    const struct k8s *k8s = self;

    metrics_sample(out, counter_read(&k8s->metrics.failures), "task", "k8s_provider", NULL);
}

static void stop(void *self)
{
    struct k8s *k8s = self;

    if (k8s->settings.elects)
        lease_give_back(&k8s->lease);
    LOG_EVENT(k8s->env.log, LOG_LEVEL_INFO, log_text("message", "k8s stopped"));
    free_k8s(k8s);
}

static bool is_wanted(const struct config *config)
{
    const struct k8s_settings *settings = config_settings(config, &k8s_section);

    return settings->reads_filters || settings->reads_game_servers ||
           settings->service.name[0] != '\0';
}

const struct service_ops k8s_service = {.name = "k8s",
                                        .section = &k8s_section,
                                        .is_wanted = is_wanted,
                                        .open = open_k8s,
                                        .start = start,
                                        .prepare = prepare,
                                        .commit = commit,
                                        .abandon = commit,
                                        .tick = tick,
                                        .is_ready = is_ready,
                                        .metrics = metrics,
                                        .failures = failures,
                                        .stop = stop};

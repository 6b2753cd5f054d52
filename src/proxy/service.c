/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "proxy/entrances.h"
#include "proxy/fast.h"
#include "proxy/metrics.h"
#include "proxy/session_list.h"
#include "proxy/settings.h"
#include "proxy/worker.h"

/* What the rest of the process needs of descriptors, and the most that the default takes. */
#define SPARE_DESCRIPTORS 64
#define MOST_BY_DEFAULT 32768

/* Of one server in all workers: a bit more than half of the numbers that Linux gives by itself, so
 * that there are some for who is no flood. */
#define MAX_STRANGERS 16384
#define SECOND_NS INT64_C(1000000000)

/* Warnings of refused sessions are as far apart. */
#define WARNING_NS (10 * SECOND_NS)

struct proxy {
    struct service_env env;
    struct proxy_shared shared;
    struct entrances *entrances;
    struct proxy_listeners listeners, next_listeners;          /* in force; prepared */
    struct port_counters *player_counters, *upstream_counters; /* one a worker */
    struct proxy_counters *counters;
    struct proxy_worker *workers[WORKERS_MAX];
    struct chain_meter *meter;
    struct names *names;
    struct catalog_watch watch;
    struct health *health;
    struct policies *policies, *next_policies; /* in force; prepared */
    struct session_log *lines;
    struct proxy_fast *fast;           /* NULL: sockets alone */
    _Atomic(const char *) obstacle;    /* why the driver carries nothing, or NULL; static storage */
    int64_t traced_ns;                 /* when somebody looked last */
    uint32_t log_rate;                 /* lines a second of it */
    int64_t lines_ns;                  /* when some were written last */
    uint32_t max_sessions;             /* of each worker */
    bool is_started, is_behind;        /* is_behind: the catalog */
    const struct proxy_settings *next; /* prepared */
    uint64_t refused[PROXY_REFUSED];   /* as warned about */
    int64_t warned_ns;
    uint64_t looks;            /* at what workers trace */
    pthread_mutex_t lock;      /* over the next one */
    struct clusters *clusters; /* in force, for metrics */
};

/* Half of the descriptors that the process may have, which is raised to the hard limit. */
static uint32_t default_max(struct log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    uint64_t half =
        limit.rlim_cur > UINT64_C(2) * SPARE_DESCRIPTORS ? limit.rlim_cur / 2 : SPARE_DESCRIPTORS;
    uint32_t max = half < MOST_BY_DEFAULT ? (uint32_t)half : MOST_BY_DEFAULT;
    LOG_EVENT(log, LOG_LEVEL_INFO, log_text("message", "udp sessions are limited"),
              log_uint("max", max), log_uint("descriptors", limit.rlim_cur));
    return max;
}

/* Logs what filters have left to be logged. */
static void report_filters(struct proxy *proxy, const struct destinations *world)
{
    for (unsigned i = 0; i < world->chain->count; i++)
        chain_worker_report(world->chain->workers[i], proxy->env.log);
    for (size_t i = 0; i < world->listeners_count; i++)
        report_filters(proxy, world->listeners[i]);
}

/* What keeps the driver from carrying any session, or NULL. */
static const char *find_obstacle(const struct proxy *proxy)
{
    const struct destinations *world = proxy->shared.world.version;
    const char *obstacle = world->chain->unsteady;

    if (atomic_load_explicit(&proxy->shared.packet_rate, memory_order_relaxed) > 0)
        return "paddock.udp.sessions.max_packets_per_second";
    if (atomic_load_explicit(&proxy->shared.byte_rate, memory_order_relaxed) > 0)
        return "paddock.udp.sessions.max_bytes_per_second";
    for (size_t i = 0; i < world->listeners_count && obstacle != NULL; i++)
        obstacle = world->listeners[i]->chain->unsteady;
    return obstacle;
}

/* Says what the driver does. */
static void tell_fast(const struct proxy *proxy)
{
    const char *obstacle = atomic_load_explicit(&proxy->obstacle, memory_order_relaxed);
    if (obstacle == NULL)
        LOG_EVENT(proxy->env.log, LOG_LEVEL_INFO,
                  log_text("message", "xdp carries established sessions"),
                  log_text("interface", fastpath_interfaces(proxy->env.fastpath)),
                  log_uint("memory_bytes", proxy_fast_bytes(proxy->fast)));
    else
        LOG_EVENT(proxy->env.log, LOG_LEVEL_WARN,
                  log_text("message", "xdp leaves players' datagrams to the sockets"),
                  log_text("reason", obstacle));
}

/* Lets the driver carry sessions by what is in force now, if it can. */
static void resume_fast(struct proxy *proxy)
{
    if (proxy->fast == NULL)
        return;
    const char *before = atomic_load_explicit(&proxy->obstacle, memory_order_relaxed);
    const char *obstacle = find_obstacle(proxy);
    atomic_store_explicit(&proxy->obstacle, obstacle, memory_order_relaxed);
    if (obstacle == NULL)
        proxy_fast_resume(proxy->fast);
    if (obstacle != before && proxy->is_started)
        tell_fast(proxy);
}

static void suspend_fast(struct proxy *proxy)
{
    if (proxy->fast != NULL)
        proxy_fast_suspend(proxy->fast);
}

/* Takes over what the catalog says now. What cannot be made leaves the version before in force, and
 * is tried again: what the catalog has taken is right, so that it is memory that was missing. */
static void follow_catalog(void *user)
{
    struct proxy *proxy = user;
    struct destinations *before = proxy->shared.world.version, *next;
    const struct world_options options = {.workers = workers_count(proxy->env.workers),
                                          .meter = proxy->meter,
                                          .names = proxy->names,
                                          .health = proxy->health,
                                          .policies = proxy->policies,
                                          .listeners = &proxy->listeners};
    const struct catalog_version *told = catalog_read(proxy->env.catalog);
    struct error error = {0};
    int code = names_follow(proxy->names, told->clusters, clock_monotonic_ns());
    if (code != 0)
        error_system(&error, code, "cannot resolve names");
    else
        code = world_new(&next, told, before, &options, &error);
    proxy->is_behind = code != 0;
    if (code != 0) {
        LOG_EVENT(proxy->env.log, LOG_LEVEL_ERROR,
                  log_text("message", "endpoints and filters stay as they were for now"),
                  log_text("error", error.text));
        return;
    }
    struct clusters *clusters = clusters_copy(next->clusters);
    pthread_mutex_lock(&proxy->lock);
    struct clusters *shown = proxy->clusters;
    proxy->clusters = clusters;
    pthread_mutex_unlock(&proxy->lock);
    clusters_free(shown);
    suspend_fast(proxy);
    quiescent_publish(&proxy->shared.world, next);
    resume_fast(proxy);
    if (before != NULL) {
        report_filters(proxy, before);
        workers_retire(proxy->env.workers, &before->retired, world_free);
    }
}

/* Loads the driver's part, where XDP is on its interface. */
static int open_fast(struct proxy *proxy, const struct proxy_settings *settings,
                     struct error *error)
{
    const struct proxy_fast_options options = {.fastpath = proxy->env.fastpath,
                                               .workers = workers_count(proxy->env.workers),
                                               .max_sessions = proxy->max_sessions,
                                               .keeps_traffic = settings->dscp};
    if (options.fastpath == NULL)
        return 0;
    int code = proxy_fast_open(&proxy->fast, &options, error);
    if (code == 0 || !fastpath_is_automatic(options.fastpath))
        return code;
    LOG_EVENT(proxy->env.log, LOG_LEVEL_INFO,
              log_text("message", "sockets carry sessions without xdp"),
              log_text("reason", error->text));
    return 0;
}

static int make_workers(struct proxy *proxy, const struct proxy_settings *settings)
{
    unsigned count = workers_count(proxy->env.workers);

    proxy->player_counters = port_counters_new(count);
    proxy->upstream_counters = port_counters_new(count);
    proxy->counters =
        aligned_alloc(alignof(struct proxy_counters), count * sizeof *proxy->counters);
    if (proxy->player_counters == NULL || proxy->upstream_counters == NULL ||
        proxy->counters == NULL)
        return -ENOMEM;
    memset(proxy->counters, 0, count * sizeof *proxy->counters);
    int code = session_log_new(&proxy->lines, count);
    if (code == 0 && settings->migrate_by == PROXY_BY_TOKEN)
        code = homes_new(&proxy->shared.homes, (uint64_t)count * proxy->max_sessions);
    if (code == 0 && proxy->shared.homes != NULL && count > 1)
        code = handovers_new(&proxy->shared.handovers, count);
    for (unsigned i = 0; i < count && code == 0; i++) {
        const struct proxy_worker_options options = {.shared = &proxy->shared,
                                                     .worker = workers_get(proxy->env.workers, i),
                                                     .counters = &proxy->counters[i],
                                                     .upstream = &proxy->upstream_counters[i],
                                                     .lines = proxy->lines,
                                                     .fast = proxy->fast,
                                                     .max_sessions = proxy->max_sessions,
                                                     .max_per_address = settings->max_per_address,
                                                     .max_strangers = MAX_STRANGERS / count,
                                                     .timeout_ns = settings->session_timeout_ns,
                                                     .tells_traffic = settings->dscp,
                                                     .is_gathering = settings->gro};
        code = proxy_worker_new(&proxy->workers[i], &options);
    }
    const struct entrances_options entrances = {.workers = proxy->env.workers,
                                                .log = proxy->env.log,
                                                .fast = proxy->fast,
                                                .own = proxy->workers,
                                                .counters = proxy->player_counters,
                                                .listeners = (unsigned)settings->listeners.count};
    return code == 0 ? entrances_new(&proxy->entrances, &entrances) : code;
}

static void take_settings(struct proxy *proxy, const struct proxy_settings *settings)
{
    atomic_store_explicit(&proxy->shared.timeout_ns, settings->session_timeout_ns,
                          memory_order_relaxed);
    atomic_store_explicit(&proxy->shared.allows_loopback, settings->loopback, memory_order_relaxed);
    atomic_store_explicit(&proxy->shared.removed, settings->removed_endpoint, memory_order_relaxed);
    atomic_store_explicit(&proxy->shared.logs_sessions, settings->log_rate > 0,
                          memory_order_relaxed);
    proxy->log_rate = settings->log_rate;
    atomic_store_explicit(&proxy->shared.packet_rate, settings->max_packets_per_second,
                          memory_order_relaxed);
    atomic_store_explicit(&proxy->shared.byte_rate, settings->max_bytes_per_second,
                          memory_order_relaxed);
}

static void free_worker(struct worker *worker, void *user)
{
    struct proxy *proxy = user;
    proxy_worker_free(proxy->workers[worker->index]);
    proxy->workers[worker->index] = NULL;
}

static void end_sessions(struct proxy *proxy)
{
    workers_call(proxy->env.workers, free_worker, proxy);
    if (proxy->lines != NULL) {
        session_log_write(proxy->lines, proxy->env.log, proxy->log_rate);
        session_log_end(proxy->lines, proxy->env.log);
    }
}

static void proxy_free(struct proxy *proxy)
{
    end_sessions(proxy);
    session_log_free(proxy->lines);
    geo_free(proxy->shared.geo);
    homes_free(proxy->shared.homes);
    handovers_free(proxy->shared.handovers);
    entrances_free(proxy->entrances);
    proxy_listeners_fini(&proxy->listeners);
    world_free(proxy->shared.world.version);
    clusters_free(proxy->clusters);
    pthread_mutex_destroy(&proxy->lock);
    chain_meter_unref(proxy->meter);
    names_free(proxy->names);
    health_free(proxy->health);
    policies_free(proxy->policies);
    proxy_fast_close(proxy->fast);
    free(proxy->player_counters);
    free(proxy->upstream_counters);
    free(proxy->counters);
    free(proxy);
}

static int open_proxy(void **self, const struct service_env *env, const struct config *config,
                      struct error *error)
{
    const struct proxy_settings *settings = config_settings(config, &proxy_section);
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (proxy == NULL)
        return error_system(error, -ENOMEM, "cannot serve players");

    proxy->env = *env;
    pthread_mutex_init(&proxy->lock, NULL);
    proxy->meter = chain_meter_new(); /* without memory nothing is counted */
    take_settings(proxy, settings);
    const struct names_options names = {
        .loop = env->control, .log = env->log, .changed = follow_catalog, .user = proxy};
    int code = names_new(&proxy->names, &names);
    if (code == 0)
        code = health_new(&proxy->health, env->control, env->log);
    if (code == 0)
        code = policies_copy(&proxy->policies, settings->policies);
    if (code == 0)
        code = proxy_listeners_copy(&proxy->listeners, &settings->listeners);
    const struct geo_options places = {.loop = env->control,
                                       .workers = env->workers,
                                       .log = env->log,
                                       .sources = settings->places};
    if (code == 0 && settings->places[0] != '\0')
        code = geo_new(&proxy->shared.geo, &places);
    uint32_t max = settings->max_sessions > 0 ? settings->max_sessions : default_max(env->log);
    unsigned workers = workers_count(env->workers);
    proxy->max_sessions = (max + workers - 1) / workers;
    if (code == 0 && (code = open_fast(proxy, settings, error)) != 0) {
        proxy_free(proxy);
        return code;
    }
    if (code == 0)
        code = make_workers(proxy, settings);
    if (code != 0)
        error_system(error, code, "cannot serve players");
    if (code == 0)
        code = entrances_prepare(proxy->entrances, settings, error);
    if (code == 0) {
        follow_catalog(proxy);
        code = proxy->shared.world.version != NULL ? 0 : -ENOMEM;
    }
    if (code != 0) {
        proxy_free(proxy);
        return code;
    }
    entrances_commit(proxy->entrances);
    proxy->watch = (struct catalog_watch){.changed = follow_catalog, .user = proxy};
    catalog_watch(env->catalog, &proxy->watch);
    *self = proxy;
    return 0;
}

struct start {
    struct proxy *proxy;
    atomic_int code; /* of a worker that failed; relaxed: workers_call() orders */
};

static void start_worker(struct worker *worker, void *user)
{
    struct start *start = user;
    int code = proxy_worker_start(start->proxy->workers[worker->index]);
    if (code != 0)
        atomic_store_explicit(&start->code, code, memory_order_relaxed);
}

static int start(void *self, struct error *error)
{
    struct proxy *proxy = self;
    struct start starting = {.proxy = proxy};
    workers_call(proxy->env.workers, start_worker, &starting);
    int code = starting.code;
    if (code == 0)
        code = entrances_start(proxy->entrances);
    if (code != 0)
        return error_system(error, code, "cannot wait for players' datagrams");
    proxy->is_started = true;
    if (proxy->fast != NULL)
        tell_fast(proxy);
    entrances_log(proxy->entrances);
    return 0;
}

static void forget_next(struct proxy *proxy)
{
    policies_free(proxy->next_policies);
    proxy->next_policies = NULL;
    proxy_listeners_fini(&proxy->next_listeners);
}

static int prepare(void *self, const struct config *next, struct error *error)
{
    struct proxy *proxy = self;
    proxy->next = config_settings(next, &proxy_section);
    if (proxy->listeners.count != proxy->next->listeners.count)
        return error_set(error, -EINVAL,
                         "paddock.udp.listeners: expected as many as before, %zu, until a restart",
                         proxy->listeners.count);
    int code = policies_copy(&proxy->next_policies, proxy->next->policies);
    if (code == 0)
        code = proxy_listeners_copy(&proxy->next_listeners, &proxy->next->listeners);
    if (code != 0)
        error_system(error, code, "cannot serve players");
    else
        code = entrances_prepare(proxy->entrances, proxy->next, error);
    if (code != 0)
        forget_next(proxy);
    return code;
}

static void commit(void *self)
{
    struct proxy *proxy = self;
    suspend_fast(proxy);
    take_settings(proxy, proxy->next);
    bool is_same = policies_equal(proxy->policies, proxy->next_policies) &&
                   proxy_listeners_alike(&proxy->listeners, &proxy->next_listeners);
    policies_free(proxy->policies);
    proxy_listeners_fini(&proxy->listeners);
    proxy->policies = proxy->next_policies;
    proxy->listeners = proxy->next_listeners;
    proxy->next_policies = NULL;
    proxy->next_listeners = (struct proxy_listeners){0};
    if (!is_same)
        follow_catalog(proxy);
    entrances_commit(proxy->entrances);
    resume_fast(proxy);
}

static void abandon(void *self)
{
    struct proxy *proxy = self;
    forget_next(proxy);
    entrances_abandon(proxy->entrances);
}

static bool is_ready(const void *self)
{
    const struct proxy *proxy = self;
    return catalog_read(proxy->env.catalog)->number > 0;
}

static struct proxy_sum sum_up(struct proxy *proxy)
{
    struct proxy_sum sum = {.lines_lost = session_log_lost(proxy->lines),
                            .health = health_counters(proxy->health),
                            .geo = proxy->shared.geo,
                            .kernel_drops = {entrances_drops(proxy->entrances)}};
    unsigned count = workers_count(proxy->env.workers);
    sum.max_sessions = (uint64_t)count * proxy->max_sessions;
    port_counters_add(&sum.players, proxy->player_counters, count);
    port_counters_add(&sum.upstream, proxy->upstream_counters, count);
    proxy_sum_add(&sum, proxy->counters, count);
    if (proxy->fast != NULL) {
        sum.is_fast = atomic_load_explicit(&proxy->obstacle, memory_order_relaxed) == NULL &&
                      fastpath_is_attached(proxy->env.fastpath);
        proxy_sum_add_fast(&sum, proxy->fast);
    }
    return sum;
}

static void warn_of_refused(struct proxy *proxy, int64_t now_ns)
{
    struct proxy_sum sum = {0};
    if (proxy->warned_ns != 0 && now_ns - proxy->warned_ns < WARNING_NS)
        return;
    proxy_sum_add(&sum, proxy->counters, workers_count(proxy->env.workers));
    if (proxy_log_refused(proxy->env.log, &sum, proxy->refused))
        proxy->warned_ns = now_ns;
}

/* Ticks may be less than a second apart. */
static void write_lines(struct proxy *proxy, int64_t now_ns)
{
    int64_t since_ns = now_ns - proxy->lines_ns;
    int64_t most = proxy->log_rate * (since_ns < SECOND_NS ? since_ns : SECOND_NS) / SECOND_NS;
    session_log_write(proxy->lines, proxy->env.log, (uint32_t)most);
    if (most > 0)
        proxy->lines_ns = now_ns;
}

static void tick(void *self, int64_t now_ns)
{
    struct proxy *proxy = self;

    report_filters(proxy, proxy->shared.world.version);
    write_lines(proxy, now_ns);
    warn_of_refused(proxy, now_ns);
    if (proxy->fast != NULL && now_ns - proxy->traced_ns > TRACE_KEPT_NS)
        proxy_fast_sample(proxy->fast, false);
    world_pass_refused(proxy->shared.world.version, proxy->names);
    if (proxy->shared.geo != NULL)
        geo_tick(proxy->shared.geo, now_ns);
    if (proxy->is_behind)
        follow_catalog(proxy);
    names_tick(proxy->names, now_ns); /* the last, as it may change the world */
}

static void metrics(void *self, bool is_alive, struct metrics *out)
{
    struct proxy *proxy = self;
    struct proxy_sum sum = sum_up(proxy);
    (void)is_alive;
    pthread_mutex_lock(&proxy->lock);
    proxy_metrics_write(out, &sum, proxy->clusters);
    pthread_mutex_unlock(&proxy->lock);
    if (proxy->meter != NULL)
        chain_meter_write(proxy->meter, out);
}

static void show(const void *self, json_t *json)
{
    const struct proxy *proxy = self;
    json_t *udp = json_pack("{s:{s:i}}", "udp", "port", (int)entrances_number(proxy->entrances));
    json_t *paddock = json_object_get(json, "paddock");
    if (proxy->fast != NULL) {
        const char *obstacle = atomic_load_explicit(&proxy->obstacle, memory_order_relaxed);
        json_object_set_new(json_object_get(udp, "udp"), "xdp",
                            json_string(obstacle != NULL ? obstacle : "sessions"));
    }
    if (paddock == NULL)
        json_object_set_new(json, "paddock", udp);
    else
        json_object_update_new(paddock, udp);
}

/* Each look takes what there was since the one before, whoever had that: who misses the number that
 * comes after the last one of his own is not alone. */
static json_t *list(void *self, const struct service_list *wanted)
{
    struct proxy *proxy = self;
    int64_t now_ns = clock_monotonic_ns();

    if (wanted->subject == SERVICE_SESSIONS)
        return session_list(proxy->env.workers, proxy->workers, wanted, now_ns);
    if (proxy->fast != NULL)
        proxy_fast_sample(proxy->fast, true);
    proxy->traced_ns = now_ns;
    json_t *json = trace_look(proxy->env.workers, proxy->workers, wanted, now_ns);
    if (json != NULL)
        json_object_set_new(json, "look", json_integer((json_int_t)++proxy->looks));
    return json;
}

static void drain(void *self)
{
    struct proxy *proxy = self;
    atomic_store_explicit(&proxy->shared.is_draining, true, memory_order_relaxed);
}

static bool is_drained(const void *self)
{
    const struct proxy *proxy = self;
    uint64_t sessions = 0;
    for (unsigned i = 0; i < workers_count(proxy->env.workers); i++)
        sessions += counter_read(&proxy->counters[i].sessions);
    return sessions == 0;
}

static void stop(void *self)
{
    struct proxy *proxy = self;
    catalog_unwatch(proxy->env.catalog, &proxy->watch);
    if (proxy->is_started) {
        entrances_stop(proxy->entrances);
        report_filters(proxy, proxy->shared.world.version);
        end_sessions(proxy);
        struct proxy_sum sum = sum_up(proxy);
        proxy_log_stopped(proxy->env.log, &sum);
    }
    proxy_free(proxy);
}

/* Entries for addresses of this host alone are made, whichever the sockets are bound to. */
static size_t listen_addresses(const struct config *config, const struct in6_addr **addresses)
{
    (void)config;
    *addresses = &in6addr_any;
    return 1;
}

static bool is_wanted(const struct config *config)
{
    return ((const struct proxy_settings *)config_settings(config, &proxy_section))->enabled;
}

const struct service_ops proxy_service = {.name = "udp",
                                          .section = &proxy_section,
                                          .is_wanted = is_wanted,
                                          .listen = listen_addresses,
                                          .open = open_proxy,
                                          .start = start,
                                          .prepare = prepare,
                                          .commit = commit,
                                          .abandon = abandon,
                                          .tick = tick,
                                          .is_ready = is_ready,
                                          .metrics = metrics,
                                          .show = show,
                                          .list = list,
                                          .drain = drain,
                                          .is_drained = is_drained,
                                          .stop = stop};

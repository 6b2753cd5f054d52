/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "loop/ports.h"
#include "proxy/metrics.h"
#include "proxy/session_list.h"
#include "proxy/settings.h"
#include "proxy/worker.h"

/* What the rest of the process needs of descriptors, and the most that the default takes. */
#define SPARE_DESCRIPTORS 64
#define MOST_BY_DEFAULT 32768

/* Warnings of refused sessions are as far apart. */
#define WARNING_NS INT64_C(10000000000)

struct proxy {
    struct service_env env;
    struct proxy_shared shared;
    struct ports_slot ports;
    struct port_counters *player_counters, *upstream_counters; /* one a worker */
    struct proxy_counters *counters;
    struct proxy_worker *workers[WORKERS_MAX];
    struct chain_meter *meter;
    struct names *names;
    struct catalog_watch watch;
    uint32_t max_sessions; /* of each worker */
    bool is_started;
    const struct proxy_settings *next; /* prepared */
    uint64_t refused[PROXY_REFUSED];   /* as warned about */
    int64_t warned_ns;
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
}

/* Takes over what the catalog says now. What cannot be made leaves the version before in force. */
static void follow_catalog(void *user)
{
    struct proxy *proxy = user;
    struct destinations *before = proxy->shared.world.version, *next;
    const struct world_options options = {
        .workers = workers_count(proxy->env.workers), .meter = proxy->meter, .names = proxy->names};
    const struct catalog_version *told = catalog_read(proxy->env.catalog);
    struct error error = {0};
    int code = names_follow(proxy->names, told->clusters, clock_monotonic_ns());
    if (code != 0)
        error_system(&error, code, "cannot resolve names");
    else
        code = world_new(&next, told, before, &options, &error);
    if (code != 0) {
        LOG_EVENT(proxy->env.log, LOG_LEVEL_ERROR,
                  log_text("message", "endpoints and filters stay as they were"),
                  log_text("error", error.text));
        return;
    }
    struct clusters *clusters = clusters_copy(next->clusters);
    pthread_mutex_lock(&proxy->lock);
    struct clusters *shown = proxy->clusters;
    proxy->clusters = clusters;
    pthread_mutex_unlock(&proxy->lock);
    clusters_free(shown);
    quiescent_publish(&proxy->shared.world, next);
    if (before != NULL) {
        report_filters(proxy, before);
        workers_retire(proxy->env.workers, &before->retired, world_free);
    }
}

static int prepare_ports(struct proxy *proxy, const struct proxy_settings *settings,
                         struct error *error)
{
    void *users[WORKERS_MAX];
    for (unsigned i = 0; i < workers_count(proxy->env.workers); i++)
        users[i] = proxy->workers[i];

    const struct ports_options options = {.name = "players",
                                          .key = "paddock.udp.listen",
                                          .port = settings->port,
                                          .addresses = settings->listen,
                                          .addresses_count = settings->listen_count,
                                          .receive_buffer_ns = settings->receive_buffer_ns,
                                          .by_source = true,
                                          .tells_hops = true,
                                          .is_unstamped = true,
                                          .max_bytes = PACKET_MAX_BYTES,
                                          .counters = proxy->player_counters,
                                          .receive = proxy_receive,
                                          .users = users};
    return ports_slot_prepare(&proxy->ports, proxy->env.workers, &options, error);
}

static int make_workers(struct proxy *proxy, const struct proxy_settings *settings)
{
    unsigned count = workers_count(proxy->env.workers);
    uint32_t max =
        settings->max_sessions > 0 ? settings->max_sessions : default_max(proxy->env.log);
    int code = 0;

    proxy->player_counters = port_counters_new(count);
    proxy->upstream_counters = port_counters_new(count);
    proxy->counters =
        aligned_alloc(alignof(struct proxy_counters), count * sizeof *proxy->counters);
    if (proxy->player_counters == NULL || proxy->upstream_counters == NULL ||
        proxy->counters == NULL)
        return -ENOMEM;
    memset(proxy->counters, 0, count * sizeof *proxy->counters);
    for (unsigned i = 0; i < count && code == 0; i++) {
        const struct proxy_worker_options options = {.shared = &proxy->shared,
                                                     .worker = workers_get(proxy->env.workers, i),
                                                     .counters = &proxy->counters[i],
                                                     .upstream = &proxy->upstream_counters[i],
                                                     .max_sessions = (max + count - 1) / count,
                                                     .max_per_address = settings->max_per_address,
                                                     .timeout_ns = settings->session_timeout_ns};
        code = proxy_worker_new(&proxy->workers[i], &options);
    }
    return code;
}

static void take_settings(struct proxy *proxy, const struct proxy_settings *settings)
{
    atomic_store_explicit(&proxy->shared.timeout_ns, settings->session_timeout_ns,
                          memory_order_relaxed);
    atomic_store_explicit(&proxy->shared.allows_loopback, settings->loopback, memory_order_relaxed);
    atomic_store_explicit(&proxy->shared.removed, settings->removed_endpoint, memory_order_relaxed);
}

static void free_worker(struct worker *worker, void *user)
{
    struct proxy *proxy = user;
    proxy_worker_free(proxy->workers[worker->index]);
    proxy->workers[worker->index] = NULL;
}

static void proxy_free(struct proxy *proxy)
{
    workers_call(proxy->env.workers, free_worker, proxy);
    ports_slot_fini(&proxy->ports);
    world_free(proxy->shared.world.version);
    clusters_free(proxy->clusters);
    pthread_mutex_destroy(&proxy->lock);
    chain_meter_unref(proxy->meter);
    names_free(proxy->names);
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
    ports_slot_init(&proxy->ports);
    pthread_mutex_init(&proxy->lock, NULL);
    proxy->meter = chain_meter_new(); /* without memory nothing is counted */
    take_settings(proxy, settings);
    const struct names_options names = {
        .loop = env->control, .log = env->log, .changed = follow_catalog, .user = proxy};
    int code = names_new(&proxy->names, &names);
    if (code == 0)
        code = make_workers(proxy, settings);
    if (code != 0)
        error_system(error, code, "cannot serve players");
    if (code == 0)
        code = prepare_ports(proxy, settings, error);
    if (code == 0) {
        follow_catalog(proxy);
        code = proxy->shared.world.version != NULL ? 0 : -ENOMEM;
    }
    if (code != 0) {
        proxy_free(proxy);
        return code;
    }
    ports_slot_commit(&proxy->ports);
    proxy->watch = (struct catalog_watch){.changed = follow_catalog, .user = proxy};
    catalog_watch(env->catalog, &proxy->watch);
    *self = proxy;
    return 0;
}

static void start_worker(struct worker *worker, void *user)
{
    struct proxy *proxy = user;
    proxy_worker_start(proxy->workers[worker->index]);
}

static void log_port(const struct proxy *proxy, const char *message)
{
    char address[ADDRESS_TEXT_BYTES];
    struct in6_addr first = ports_first_address(proxy->ports.current);
    uint16_t port = ports_number(proxy->ports.current);
    address_format(&first, port, address);
    LOG_EVENT(proxy->env.log, LOG_LEVEL_INFO, log_text("message", message), log_uint("port", port),
              log_text("address", address));
}

static int start(void *self, struct error *error)
{
    struct proxy *proxy = self;
    ports_warn(proxy->ports.current, proxy->env.log);
    workers_call(proxy->env.workers, start_worker, proxy);
    int code = ports_start(proxy->ports.current);
    if (code != 0)
        return error_system(error, code, "cannot wait for players' datagrams");
    proxy->is_started = true;
    log_port(proxy, "udp ready");
    return 0;
}

static int prepare(void *self, const struct config *next, struct error *error)
{
    struct proxy *proxy = self;
    proxy->next = config_settings(next, &proxy_section);
    return prepare_ports(proxy, proxy->next, error);
}

static void move_sessions(struct worker *worker, void *user)
{
    struct proxy *proxy = user;
    proxy_worker_move(proxy->workers[worker->index], proxy->ports.leaving, proxy->ports.current);
}

static void commit(void *self)
{
    struct proxy *proxy = self;
    take_settings(proxy, proxy->next);
    if (!ports_slot_commit(&proxy->ports))
        return;
    log_port(proxy, "udp port changed");
    ports_warn(proxy->ports.current, proxy->env.log);
    ports_slot_empty(&proxy->ports); /* then no session takes one of the ports that leave */
    workers_call(proxy->env.workers, move_sessions, proxy);
    ports_slot_leave(&proxy->ports);
}

static void abandon(void *self)
{
    ports_slot_abandon(&((struct proxy *)self)->ports);
}

static bool is_ready(const void *self)
{
    const struct proxy *proxy = self;
    return catalog_read(proxy->env.catalog)->number > 0;
}

static struct proxy_sum sum_up(struct proxy *proxy)
{
    struct proxy_sum sum = {.kernel_drops = {ports_slot_drops(&proxy->ports)}};
    unsigned count = workers_count(proxy->env.workers);
    port_counters_add(&sum.players, proxy->player_counters, count);
    port_counters_add(&sum.upstream, proxy->upstream_counters, count);
    proxy_sum_add(&sum, proxy->counters, count);
    return sum;
}

/* Says which limit to raise, when sessions were refused since the last warning. */
static void warn_of_refused(struct proxy *proxy, int64_t now_ns)
{
    static const char *const raise[PROXY_REFUSED] = {
        [PROXY_REFUSED_NO_MEMORY] = "the memory of the process",
        [PROXY_REFUSED_NO_SOCKET] = "the limit on open files (LimitNOFILE, ulimit -n)",
        [PROXY_REFUSED_NO_PORT] = "net.ipv4.ip_local_port_range, or the number of game servers",
        [PROXY_REFUSED_TOO_MANY_OF_ONE] = "paddock.udp.sessions.max_per_address"};
    struct proxy_sum sum = {0};

    if (proxy->warned_ns != 0 && now_ns - proxy->warned_ns < WARNING_NS)
        return;
    proxy_sum_add(&sum, proxy->counters, workers_count(proxy->env.workers));
    for (unsigned i = 0; i < PROXY_REFUSED; i++) {
        uint64_t more = sum.refused[i] - proxy->refused[i];
        if (raise[i] == NULL || more == 0)
            continue;
        LOG_EVENT(proxy->env.log, LOG_LEVEL_WARN, log_text("message", "udp sessions were refused"),
                  log_uint("datagrams", more), log_text("reason", proxy_refusal_reason(i)),
                  log_text("raise", raise[i]));
        proxy->refused[i] = sum.refused[i];
        proxy->warned_ns = now_ns;
    }
}

static void tick(void *self, int64_t now_ns)
{
    struct proxy *proxy = self;

    report_filters(proxy, proxy->shared.world.version);
    warn_of_refused(proxy, now_ns);
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
    json_t *udp = json_pack("{s:{s:i}}", "udp", "port", (int)ports_number(proxy->ports.current));
    json_t *paddock = json_object_get(json, "paddock");
    if (paddock == NULL)
        json_object_set_new(json, "paddock", udp);
    else
        json_object_update_new(paddock, udp);
}

static json_t *list_sessions(void *self, const struct service_list *wanted)
{
    struct proxy *proxy = self;
    return session_list(proxy->env.workers, proxy->workers, wanted, clock_monotonic_ns());
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
        ports_slot_stop(&proxy->ports);
        report_filters(proxy, proxy->shared.world.version);
        struct proxy_sum sum = sum_up(proxy);
        proxy_log_stopped(proxy->env.log, &sum);
    }
    proxy_free(proxy);
}

static bool is_wanted(const struct config *config)
{
    return ((const struct proxy_settings *)config_settings(config, &proxy_section))->enabled;
}

const struct service_ops proxy_service = {.name = "udp",
                                          .section = &proxy_section,
                                          .is_wanted = is_wanted,
                                          .open = open_proxy,
                                          .start = start,
                                          .prepare = prepare,
                                          .commit = commit,
                                          .abandon = abandon,
                                          .tick = tick,
                                          .is_ready = is_ready,
                                          .metrics = metrics,
                                          .show = show,
                                          .sessions = list_sessions,
                                          .drain = drain,
                                          .is_drained = is_drained,
                                          .stop = stop};

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

/* The port of the service, or of one of its listeners. */
struct entrance {
    struct ports_slot ports;
    struct proxy_entry entries[WORKERS_MAX];
};

struct proxy {
    struct service_env env;
    struct proxy_shared shared;
    struct entrance entrances[1 + PROXY_MAX_LISTENERS];
    unsigned entrances_count;
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

/* Lets players' datagrams come to the driver's part first, or no more. */
static void claim(struct proxy *proxy, const struct ports *ports, bool is_claimed)
{
    if (proxy->fast != NULL)
        proxy_fast_claim(proxy->fast, ports_number(ports), is_claimed);
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

struct move {
    struct proxy *proxy;
    const struct ports_slot *ports;
};

static void move_sessions(struct worker *worker, void *user)
{
    const struct move *move = user;
    proxy_worker_move(move->proxy->workers[worker->index], move->ports->leaving,
                      move->ports->current);
}

/* Closes ports that leave; no session keeps one of them. */
static void leave_ports(struct proxy *proxy, struct ports_slot *ports)
{
    struct move move = {proxy, ports};
    ports_slot_empty(ports); /* then no session takes one of the ports that leave */
    workers_call(proxy->env.workers, move_sessions, &move);
    ports_slot_leave(ports);
}

static void abandon_ports(struct proxy *proxy)
{
    for (unsigned i = 0; i < proxy->entrances_count; i++) {
        struct ports_slot *ports = &proxy->entrances[i].ports;
        if (ports_slot_revoke(ports)) /* players may have found it already */
            leave_ports(proxy, ports);
        else
            ports_slot_abandon(ports);
    }
}

static int prepare_entrance(struct proxy *proxy, unsigned index,
                            const struct proxy_settings *settings, struct error *error)
{
    struct entrance *entrance = &proxy->entrances[index];
    char port_key[48] = "paddock.udp.port, --service.udp.port";
    void *users[WORKERS_MAX];
    if (index > 0)
        snprintf(port_key, sizeof port_key, "paddock.udp.listeners[%u].port", index - 1);
    for (unsigned i = 0; i < workers_count(proxy->env.workers); i++)
        users[i] = &entrance->entries[i];

    uint16_t port = index == 0 ? settings->port : settings->listeners.items[index - 1].port;
    const struct ports_options options = {.name = "players",
                                          .key = "paddock.udp.listen",
                                          .port_key = port_key,
                                          .port = port,
                                          .addresses = settings->listen,
                                          .addresses_count = settings->listen_count,
                                          .receive_buffer_ns = settings->receive_buffer_ns,
                                          .by_source = true,
                                          .tells_hops = true,
                                          .tells_traffic = settings->dscp,
                                          .is_unstamped = true,
                                          .is_gathering = settings->gro,
                                          .max_bytes = PACKET_MAX_BYTES,
                                          .counters = proxy->player_counters,
                                          .receive = proxy_receive,
                                          .users = users};
    return ports_slot_prepare(&entrance->ports, proxy->env.workers, &options, error);
}

static int prepare_ports(struct proxy *proxy, const struct proxy_settings *settings,
                         struct error *error)
{
    int code = 0;
    for (unsigned i = 0; i < proxy->entrances_count && code == 0; i++)
        code = prepare_entrance(proxy, i, settings, error);
    if (code != 0)
        abandon_ports(proxy);
    return code;
}

static void free_listeners(struct proxy_listeners *listeners)
{
    for (size_t i = 0; i < listeners->count; i++)
        json_decref(listeners->items[i].filters);
    free(listeners->items);
    *listeners = (struct proxy_listeners){0};
}

static int copy_listeners(struct proxy_listeners *copy, const struct proxy_listeners *listeners)
{
    struct proxy_listener *items = calloc(listeners->count + 1, sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < listeners->count; i++) {
        items[i] = listeners->items[i];
        json_incref(items[i].filters);
    }
    *copy = (struct proxy_listeners){.items = items, .count = listeners->count};
    return 0;
}

/* They are as many, whatever their ports. */
static bool are_listeners_alike(const struct proxy_listeners *a, const struct proxy_listeners *b)
{
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].locality, b->items[i].locality) != 0 ||
            json_equal(a->items[i].filters, b->items[i].filters) == 0)
            return false;
    }
    return true;
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

/* What lets sessions migrate between workers. */
static int make_homes(struct proxy *proxy)
{
    unsigned count = workers_count(proxy->env.workers);
    int code = homes_new(&proxy->shared.homes, (uint64_t)count * proxy->max_sessions);
    if (code == 0 && count > 1)
        code = handovers_new(&proxy->shared.handovers, count);
    return code;
}

static int make_workers(struct proxy *proxy, const struct proxy_settings *settings)
{
    unsigned count = workers_count(proxy->env.workers);
    int code = 0;

    proxy->player_counters = port_counters_new(count);
    proxy->upstream_counters = port_counters_new(count);
    proxy->counters =
        aligned_alloc(alignof(struct proxy_counters), count * sizeof *proxy->counters);
    if (proxy->player_counters == NULL || proxy->upstream_counters == NULL ||
        proxy->counters == NULL)
        return -ENOMEM;
    memset(proxy->counters, 0, count * sizeof *proxy->counters);
    code = session_log_new(&proxy->lines, count);
    if (code == 0 && settings->migrate_by == PROXY_BY_TOKEN)
        code = make_homes(proxy);
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
        for (unsigned j = 0; j < proxy->entrances_count; j++)
            proxy->entrances[j].entries[i] = (struct proxy_entry){proxy->workers[i], (uint16_t)j};
    }
    return code;
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
    for (unsigned i = 0; i < proxy->entrances_count; i++)
        ports_slot_fini(&proxy->entrances[i].ports);
    free_listeners(&proxy->listeners);
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
    proxy->entrances_count = 1 + (unsigned)settings->listeners.count;
    for (unsigned i = 0; i < proxy->entrances_count; i++)
        ports_slot_init(&proxy->entrances[i].ports);
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
        code = copy_listeners(&proxy->listeners, &settings->listeners);
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
        code = prepare_ports(proxy, settings, error);
    if (code == 0) {
        follow_catalog(proxy);
        code = proxy->shared.world.version != NULL ? 0 : -ENOMEM;
    }
    if (code != 0) {
        proxy_free(proxy);
        return code;
    }
    for (unsigned i = 0; i < proxy->entrances_count; i++)
        ports_slot_commit(&proxy->entrances[i].ports);
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

static void log_port(const struct proxy *proxy, const struct entrance *entrance,
                     const char *message)
{
    char address[ADDRESS_TEXT_BYTES];
    struct in6_addr first = ports_first_address(entrance->ports.current);
    uint16_t port = ports_number(entrance->ports.current);
    ports_warn(entrance->ports.current, proxy->env.log);
    address_format(&first, port, address);
    LOG_EVENT(proxy->env.log, LOG_LEVEL_INFO, log_text("message", message), log_uint("port", port),
              log_text("address", address));
}

static int start(void *self, struct error *error)
{
    struct proxy *proxy = self;
    struct start starting = {.proxy = proxy};
    workers_call(proxy->env.workers, start_worker, &starting);
    int code = starting.code;
    for (unsigned i = 0; i < proxy->entrances_count && code == 0; i++)
        code = ports_start(proxy->entrances[i].ports.current);
    if (code != 0)
        return error_system(error, code, "cannot wait for players' datagrams");
    proxy->is_started = true;
    for (unsigned i = 0; i < proxy->entrances_count; i++)
        claim(proxy, proxy->entrances[i].ports.current, true);
    if (proxy->fast != NULL)
        tell_fast(proxy);
    for (unsigned i = 1; i < proxy->entrances_count; i++)
        log_port(proxy, &proxy->entrances[i], "udp listener ready");
    log_port(proxy, &proxy->entrances[0], "udp ready");
    return 0;
}

static void forget_next(struct proxy *proxy)
{
    policies_free(proxy->next_policies);
    proxy->next_policies = NULL;
    free_listeners(&proxy->next_listeners);
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
        code = copy_listeners(&proxy->next_listeners, &proxy->next->listeners);
    if (code != 0)
        error_system(error, code, "cannot serve players");
    else
        code = prepare_ports(proxy, proxy->next, error);
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
                   are_listeners_alike(&proxy->listeners, &proxy->next_listeners);
    policies_free(proxy->policies);
    free_listeners(&proxy->listeners);
    proxy->policies = proxy->next_policies;
    proxy->listeners = proxy->next_listeners;
    proxy->next_policies = NULL;
    proxy->next_listeners = (struct proxy_listeners){0};
    if (!is_same)
        follow_catalog(proxy);
    for (unsigned i = 0; i < proxy->entrances_count; i++) {
        struct entrance *entrance = &proxy->entrances[i];
        if (!ports_slot_commit(&entrance->ports))
            continue;
        log_port(proxy, entrance, i == 0 ? "udp port changed" : "udp listener changed");
        claim(proxy, entrance->ports.leaving, false);
        claim(proxy, entrance->ports.current, true);
        leave_ports(proxy, &entrance->ports);
    }
    resume_fast(proxy);
}

static void abandon(void *self)
{
    struct proxy *proxy = self;
    forget_next(proxy);
    abandon_ports(proxy);
}

static bool is_ready(const void *self)
{
    const struct proxy *proxy = self;
    return catalog_read(proxy->env.catalog)->number > 0;
}

/* What the driver has carried was received and sent, or received and dropped. It took less than any
 * bound of durations. */
static void add_fast(struct proxy_sum *sum, const struct proxy *proxy)
{
    struct port_sum *in[2] = {&sum->players, &sum->upstream};
    struct port_sum *out[2] = {&sum->upstream, &sum->players};
    const struct proxy_fast_counters counted = proxy_fast_count(proxy->fast);

    sum->overtakings += counted.left;
    sum->is_fast = atomic_load_explicit(&proxy->obstacle, memory_order_relaxed) == NULL &&
                   fastpath_is_attached(proxy->env.fastpath);
    sum->fast_sessions = sum->is_fast ? proxy_fast_sessions(proxy->fast) : 0;
    for (unsigned i = 0; i < 2; i++) {
        sum->fast_packets[i] = counted.packets[i];
        in[i]->received += sum->fast_packets[i];
        in[i]->packets[PROXY_FORWARDED] += sum->fast_packets[i];
        out[i]->sent += sum->fast_packets[i];
        out[i]->sent_bytes += counted.bytes[i];
        sum->processing_ns[i].buckets[0] += sum->fast_packets[i];
    }
    sum->fast_dropped = counted.over_limit;
    sum->players.received += sum->fast_dropped;
    sum->players.packets[PROXY_FILTERED + chain_reason_number(FILTER_LIMIT_REASON)] +=
        sum->fast_dropped;
    sum->processing_ns[0].buckets[0] += sum->fast_dropped;
}

static struct proxy_sum sum_up(struct proxy *proxy)
{
    struct proxy_sum sum = {.lines_lost = session_log_lost(proxy->lines),
                            .health = health_counters(proxy->health),
                            .geo = proxy->shared.geo};
    for (unsigned i = 0; i < proxy->entrances_count; i++)
        sum.kernel_drops[0] += ports_slot_drops(&proxy->entrances[i].ports);
    unsigned count = workers_count(proxy->env.workers);
    sum.max_sessions = (uint64_t)count * proxy->max_sessions;
    port_counters_add(&sum.players, proxy->player_counters, count);
    port_counters_add(&sum.upstream, proxy->upstream_counters, count);
    proxy_sum_add(&sum, proxy->counters, count);
    if (proxy->fast != NULL)
        add_fast(&sum, proxy);
    return sum;
}

/* Says which limit to raise, when sessions were refused since the last warning. */
static void warn_of_refused(struct proxy *proxy, int64_t now_ns)
{
    static const char *const raise[PROXY_REFUSED] = {
        [PROXY_REFUSED_NO_MEMORY] = "the memory of the process",
        [PROXY_REFUSED_NO_SOCKET] = "the limit on open files (LimitNOFILE, ulimit -n)",
        [PROXY_REFUSED_NO_PORT] = "net.ipv4.ip_local_port_range, or the number of game servers",
        [PROXY_REFUSED_TOO_MANY_OF_ONE] = "paddock.udp.sessions.max_per_address",
        [PROXY_REFUSED_TOO_MANY_REST] = "paddock.udp.sessions.max, or lower the session time-out"};
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
    json_t *udp =
        json_pack("{s:{s:i}}", "udp", "port", (int)ports_number(proxy->entrances[0].ports.current));
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

/* What workers have traced, in exchange for what they trace from now on. */
struct exchange {
    struct proxy *proxy;
    struct trace *traces[WORKERS_MAX];
};

static void exchange_trace(struct worker *worker, void *user)
{
    struct exchange *exchange = user;
    struct trace **trace = &exchange->traces[worker->index];
    *trace = proxy_worker_trace(exchange->proxy->workers[worker->index], *trace);
}

/* Each look takes what there was since the one before, whoever had that: who misses the number that
 * comes after the last one of his own is not alone. */
static json_t *list_traced(struct proxy *proxy, const struct service_list *wanted)
{
    struct exchange exchange = {.proxy = proxy};
    unsigned count = workers_count(proxy->env.workers);
    int64_t now_ns = clock_monotonic_ns();
    bool is_whole = true;
    json_t *json = NULL;

    for (unsigned i = 0; i < count && is_whole; i++) {
        exchange.traces[i] = trace_new(wanted, now_ns);
        is_whole = exchange.traces[i] != NULL;
    }
    if (is_whole) {
        if (proxy->fast != NULL)
            proxy_fast_sample(proxy->fast, true);
        proxy->traced_ns = now_ns;
        workers_call(proxy->env.workers, exchange_trace, &exchange);
        json = trace_show(exchange.traces, count, wanted, now_ns);
        json_object_set_new(json, "look", json_integer((json_int_t)++proxy->looks));
    }
    for (unsigned i = 0; i < count; i++)
        trace_free(exchange.traces[i]);
    return json;
}

static json_t *list(void *self, const struct service_list *wanted)
{
    struct proxy *proxy = self;
    return wanted->subject == SERVICE_SESSIONS
               ? session_list(proxy->env.workers, proxy->workers, wanted, clock_monotonic_ns())
               : list_traced(proxy, wanted);
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
        for (unsigned i = 0; i < proxy->entrances_count; i++)
            claim(proxy, proxy->entrances[i].ports.current, false);
        for (unsigned i = 0; i < proxy->entrances_count; i++)
            ports_slot_stop(&proxy->entrances[i].ports);
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

/* SPDX-License-Identifier: Apache-2.0 */
#include "phoenix/service.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "guard/guard.h"
#include "http/server.h"
#include "phoenix/metrics.h"
#include "phoenix/prober.h"
#include "phoenix/settings.h"
#include "phoenix/table.h"

/* What strangers may take. A connection that sends nothing has about 300 bytes, one that sends a
 * head up to the limit has all of that. */
#define CONNECTIONS 1024
#define PER_ADDRESS 256
#define HEADER_BYTES 8192

enum document {
    LATENCIES,
    COORDINATES,
    DOCUMENTS
};

struct phoenix {
    struct service_env env;
    struct prober *prober;
    struct http_server *server, *next_server; /* in use, and prepared */
    const struct phoenix_settings *next;      /* prepared */
    struct in6_addr first_address;            /* to listen on, for the log */
    uint16_t wanted_port;                     /* 0: any */
    uint64_t followed;                        /* datacenters_number of the catalog; 0: none yet */
    struct guard_set *table;
    uint32_t swept; /* sets of it */
    struct siphash_key *key;
    atomic_bool has_table; /* relaxed: a fact by itself */
    pthread_mutex_t lock;  /* over the rest, which the HTTP thread reads */
    struct guard_parameters *limits;
    bool cors;
    struct http_blob *documents[DOCUMENTS]; /* NULL: the first round is not over */
    uint64_t admitted, refused;
};

static bool admits(const struct http_request *request, void *user)
{
    struct phoenix *phoenix = user;
    struct sockaddr_storage peer = {.ss_family = request->peer->sa_family};

    memcpy(&peer, request->peer,
           peer.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    const struct in6_addr address = address_from_socket(&peer);
    const struct guard_address source = guard_address(&address);
    pthread_mutex_lock(&phoenix->lock);
    bool is_admitted = guard_decide(phoenix->limits, &source, (uint64_t)clock_monotonic_ns(),
                                    guard_table_find, phoenix->table) == GUARD_ANSWER;
    phoenix->admitted += is_admitted;
    phoenix->refused += !is_admitted;
    pthread_mutex_unlock(&phoenix->lock);
    return is_admitted;
}

static const char *allow_origin(const struct http_request *request, void *user)
{
    struct phoenix *phoenix = user;

    (void)request;
    pthread_mutex_lock(&phoenix->lock);
    bool cors = phoenix->cors;
    pthread_mutex_unlock(&phoenix->lock);
    return cors ? "*" : NULL;
}

static int answer(struct phoenix *phoenix, enum document document, struct http_reply *reply)
{
    reply->type = "application/json";
    reply->cache_control = "no-cache"; /* to be asked for again, with its ETag */
    pthread_mutex_lock(&phoenix->lock);
    if (phoenix->documents[document] != NULL)
        reply->blob = http_blob_ref(phoenix->documents[document]);
    pthread_mutex_unlock(&phoenix->lock);
    if (reply->blob == NULL)
        fputs("{}\n", reply->out);
    return 0;
}

static int answer_latencies(const struct http_request *request, struct http_reply *reply,
                            void *user)
{
    (void)request;
    return answer(user, LATENCIES, reply);
}

static int answer_coordinates(const struct http_request *request, struct http_reply *reply,
                              void *user)
{
    (void)request;
    return answer(user, COORDINATES, reply);
}

static const struct http_route routes[] = {
    {"/", answer_latencies}, {"/network-coordinates", answer_coordinates}, {NULL, NULL}};

/* Without memory what was told stays, until the next change. */
static void take_table(const struct nodes *nodes, void *user)
{
    struct phoenix *phoenix = user;
    struct http_blob *documents[DOCUMENTS] = {table_latencies(nodes), table_coordinates(nodes)};

    pthread_mutex_lock(&phoenix->lock);
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        struct http_blob *before = phoenix->documents[i];
        if (documents[i] == NULL)
            continue;
        phoenix->documents[i] = documents[i];
        documents[i] = before;
    }
    pthread_mutex_unlock(&phoenix->lock);
    atomic_store_explicit(&phoenix->has_table, phoenix->documents[LATENCIES] != NULL,
                          memory_order_relaxed);
    for (unsigned i = 0; i < DOCUMENTS; i++)
        http_blob_unref(documents[i]);
}

static void take_settings(struct phoenix *phoenix, const struct phoenix_settings *settings)
{
    const uint32_t rate = settings->requests_per_second;
    struct guard_rules rules = guard_default_rules;

    /* A wider prefix has ten times as much as the narrow one, as by default. */
    rules.ipv4.items[0].rate = rules.ipv6.items[0].rate = rate;
    rules.ipv4.items[0].burst = rules.ipv6.items[0].burst = 2 * rate;
    rules.ipv4.items[1].rate = rules.ipv6.items[1].rate = 10 * rate;
    rules.ipv4.items[1].burst = rules.ipv6.items[1].burst = 20 * rate;
    rules.loopback = settings->loopback;
    pthread_mutex_lock(&phoenix->lock);
    guard_parameters_init(phoenix->limits, &rules, phoenix->key);
    phoenix->cors = settings->cors;
    pthread_mutex_unlock(&phoenix->lock);
}

static void began(void *user)
{
    const struct phoenix *phoenix = user;
    phoenix->env.http_began(phoenix->env.http_user);
}

/* A server that listens by these settings. */
static int listen_by(struct phoenix *phoenix, const struct phoenix_settings *settings,
                     struct http_server **server, struct error *error)
{
    const struct http_options options = {.name = "phoenix",
                                         .routes = routes,
                                         .limits = {.connections = CONNECTIONS,
                                                    .per_address = PER_ADDRESS,
                                                    .header_bytes = HEADER_BYTES},
                                         .began = phoenix->env.http_began != NULL ? began : NULL,
                                         .admits = admits,
                                         .allow_origin = allow_origin,
                                         .user = phoenix};
    struct http_server *made = NULL;
    uint16_t port = settings->port;

    int code = http_server_new(&made, &options);
    if (code != 0)
        return error_system(error, code, "cannot serve HTTP");
    for (size_t i = 0; i < settings->listen_count && code == 0; i++) {
        struct sockaddr_storage address;
        address_to_socket(&settings->listen[i], port, &address);
        code = http_server_listen(made, (const struct sockaddr *)&address, error);
        port = code == 0 ? http_server_port(made) : port;
    }
    if (code != 0) {
        http_server_stop(made);
        return code;
    }
    *server = made;
    return 0;
}

/* Takes over the data centres of the catalog, where they are others. */
static void follow_catalog(struct phoenix *phoenix)
{
    const struct catalog_version *version = catalog_read(phoenix->env.catalog);
    if (phoenix->followed == version->datacenters_number)
        return;
    if (prober_follow(phoenix->prober, version->datacenters) == 0)
        phoenix->followed = version->datacenters_number;
    else
        LOG_EVENT(phoenix->env.log, LOG_LEVEL_ERROR,
                  log_text("message", "data centres stay as they were"),
                  log_text("error", strerrordesc_np(ENOMEM)));
}

static void phoenix_free(struct phoenix *phoenix)
{
    http_server_stop(phoenix->next_server);
    http_server_stop(phoenix->server);
    prober_free(phoenix->prober);
    for (unsigned i = 0; i < DOCUMENTS; i++)
        http_blob_unref(phoenix->documents[i]);
    guard_table_free(phoenix->table);
    guard_secret_free(phoenix->limits, sizeof *phoenix->limits);
    guard_secret_free(phoenix->key, sizeof *phoenix->key);
    pthread_mutex_destroy(&phoenix->lock);
    free(phoenix);
}

static int open_phoenix(void **self, const struct service_env *env, const struct config *config,
                        struct error *error)
{
    const struct phoenix_settings *settings = config_settings(config, &phoenix_section);
    struct phoenix *phoenix = calloc(1, sizeof *phoenix);
    if (phoenix == NULL)
        return error_system(error, -ENOMEM, "cannot serve Phoenix");

    phoenix->env = *env;
    phoenix->first_address = settings->listen[0];
    phoenix->wanted_port = settings->port;
    pthread_mutex_init(&phoenix->lock, NULL);
    const struct prober_options options = {.loop = env->control,
                                           .log = env->log,
                                           .bounds = settings->interval,
                                           .changed = take_table,
                                           .user = phoenix};
    phoenix->table = guard_table_new();
    phoenix->limits = guard_secret_new(sizeof *phoenix->limits);
    phoenix->key = guard_secret_new(sizeof *phoenix->key);
    int code = phoenix->table != NULL && phoenix->limits != NULL && phoenix->key != NULL
                   ? siphash_key_init(phoenix->key)
                   : -ENOMEM;
    if (code == 0)
        code = prober_new(&phoenix->prober, &options);
    if (code != 0)
        error_system(error, code, "cannot serve Phoenix");
    else
        code = listen_by(phoenix, settings, &phoenix->server, error);
    if (code != 0) {
        phoenix_free(phoenix);
        return code;
    }
    take_settings(phoenix, settings);
    *self = phoenix;
    return 0;
}

static void log_port(const struct phoenix *phoenix, const char *message)
{
    char address[ADDRESS_TEXT_BYTES];
    uint16_t port = http_server_port(phoenix->server);
    address_format(&phoenix->first_address, port, address);
    LOG_EVENT(phoenix->env.log, LOG_LEVEL_INFO, log_text("message", message),
              log_uint("port", port), log_text("address", address));
}

static int start(void *self, struct error *error)
{
    struct phoenix *phoenix = self;
    follow_catalog(phoenix);
    int code = prober_start(phoenix->prober);
    if (code == 0)
        code = http_server_start(phoenix->server);
    if (code != 0)
        return error_system(error, code, "cannot serve Phoenix");
    log_port(phoenix, "phoenix ready");
    return 0;
}

static void abandon(void *self)
{
    struct phoenix *phoenix = self;
    http_server_stop(phoenix->next_server);
    phoenix->next_server = NULL;
}

static int prepare(void *self, const struct config *next, struct error *error)
{
    struct phoenix *phoenix = self;
    phoenix->next = config_settings(next, &phoenix_section);
    if (phoenix->next->port == phoenix->wanted_port)
        return 0;
    int code = listen_by(phoenix, phoenix->next, &phoenix->next_server, error);
    if (code == 0) {
        code = http_server_start(phoenix->next_server);
        if (code != 0)
            error_system(error, code, "cannot serve HTTP");
    }
    if (code != 0)
        abandon(phoenix);
    return code;
}

static void commit(void *self)
{
    struct phoenix *phoenix = self;
    struct http_server *before = phoenix->server;

    take_settings(phoenix, phoenix->next);
    prober_set_bounds(phoenix->prober, &phoenix->next->interval);
    if (phoenix->next_server == NULL)
        return;
    phoenix->server = phoenix->next_server;
    phoenix->next_server = NULL;
    phoenix->wanted_port = phoenix->next->port;
    log_port(phoenix, "phoenix port changed");
    http_server_stop(before);
}

static void tick(void *self, int64_t now_ns)
{
    struct phoenix *phoenix = self;

    follow_catalog(phoenix);
    prober_tick(phoenix->prober, now_ns);
    guard_table_sweep(phoenix->table, phoenix->swept, (uint64_t)now_ns);
    phoenix->swept = (phoenix->swept + GUARD_SWEEP_SETS) % GUARD_SETS;
}

static bool is_ready(const void *self)
{
    const struct phoenix *phoenix = self;
    return atomic_load_explicit(&phoenix->has_table, memory_order_relaxed);
}

static void write_metrics(const struct nodes *nodes, const uint64_t *others, void *user)
{
    phoenix_metrics_write(user, nodes, others);
}

static void metrics(void *self, bool is_alive, struct metrics *out)
{
    struct phoenix *phoenix = self;
    (void)is_alive;
    prober_look(phoenix->prober, write_metrics, out);
    pthread_mutex_lock(&phoenix->lock);
    uint64_t admitted = phoenix->admitted, refused = phoenix->refused;
    pthread_mutex_unlock(&phoenix->lock);
    metrics_family(out, "paddock_phoenix_requests", METRICS_COUNTER, NULL,
                   "Well-formed HTTP requests, by whether the limit of their address was kept.");
    metrics_sample(out, admitted, "result", "admitted", NULL);
    metrics_sample(out, refused, "result", "refused", NULL);
}

static void show(const void *self, json_t *json)
{
    const struct phoenix *phoenix = self;
    json_t *own = json_pack("{s:{s:i}}", "phoenix", "port", (int)http_server_port(phoenix->server));
    json_t *paddock = json_object_get(json, "paddock");
    if (paddock == NULL)
        json_object_set_new(json, "paddock", own);
    else
        json_object_update_new(paddock, own);
}

static void log_stopped(const struct nodes *nodes, const uint64_t *others, void *user)
{
    uint64_t sent = 0, answered = 0;
    (void)others;
    for (size_t i = 0; i < nodes->count; i++) {
        sent += nodes->items[i]->sent;
        answered += nodes->items[i]->answered;
    }
    LOG_EVENT((struct log *)user, LOG_LEVEL_INFO, log_text("message", "phoenix stopped"),
              log_uint("pings", sent), log_uint("answered", answered));
}

static void stop(void *self)
{
    struct phoenix *phoenix = self;
    prober_look(phoenix->prober, log_stopped, phoenix->env.log);
    phoenix_free(phoenix);
}

static bool is_wanted(const struct config *config)
{
    return ((const struct phoenix_settings *)config_settings(config, &phoenix_section))->enabled;
}

const struct service_ops phoenix_service = {.name = "phoenix",
                                            .section = &phoenix_section,
                                            .is_wanted = is_wanted,
                                            .open = open_phoenix,
                                            .start = start,
                                            .prepare = prepare,
                                            .commit = commit,
                                            .abandon = abandon,
                                            .tick = tick,
                                            .is_ready = is_ready,
                                            .metrics = metrics,
                                            .show = show,
                                            .stop = stop};

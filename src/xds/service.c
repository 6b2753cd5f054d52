/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/service.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "xds/mds.h"
#include "xds/server.h"
#include "xds/settings.h"

#define SECOND_NS INT64_C(1000000000)

/* Agents and servers that were there before a restart are back within this time: their back-off
 * has at most 32 s. */
#define SETTLE_NS (40 * SECOND_NS)

/* Messages under way, of all strangers together. */
#define SERVER_MEMORY_BYTES (UINT64_C(256) << 20)

struct xds {
    struct service_env env;
    struct xds_metrics *metrics;
    struct publications *publications;
    struct mds_relay *relay;
    struct server *xds, *mds;
    struct ads_client *ads;
    struct mds_client *agent;
    struct tls *server_tls, *client_tls;
    struct grpc_memory server_memory, client_memory;
    const struct xds_settings *next;             /* prepared */
    atomic_bool xds_is_ready, mds_is_ready;      /* relaxed: looked at for themselves */
    _Atomic uint64_t xds_failures, mds_failures; /* relaxed, likewise */
};

static void call_ads(struct grpc_call *call, const struct h2_headers *headers, void *user)
{
    struct xds *xds = user;

    (void)headers;
    ads_take_subscriber(xds->publications, call);
}

static void call_mds(struct grpc_call *call, const struct h2_headers *headers, void *user)
{
    struct xds *xds = user;

    mds_relay_take_agent(xds->relay, call, headers);
}

static const struct grpc_method xds_methods[] = {{ADS_PATH, &ads_events, call_ads}, {.path = NULL}};
static const struct grpc_method mds_methods[] = {{ADS_RELAY_PATH, &ads_events, call_ads},
                                                 {MDS_PATH, &mds_relay_events, call_mds},
                                                 {.path = NULL}};

static void xds_free(struct xds *xds)
{
    ads_client_free(xds->ads);
    mds_client_free(xds->agent);
    server_free(xds->xds);
    server_free(xds->mds);
    publications_free(xds->publications);
    mds_relay_free(xds->relay);
    tls_free(xds->server_tls);
    tls_free(xds->client_tls);
    xds_metrics_free(xds->metrics);
    free(xds);
}

/* For the admin server's thread. */
static void note_state(void *user)
{
    struct xds *xds = user;

    if (xds->ads != NULL) {
        atomic_store_explicit(&xds->xds_is_ready,
                              ads_client_is_ready(xds->ads, clock_monotonic_ns()),
                              memory_order_relaxed);
        atomic_store_explicit(&xds->xds_failures, ads_client_failures(xds->ads),
                              memory_order_relaxed);
    }
    if (xds->agent != NULL) {
        atomic_store_explicit(&xds->mds_is_ready, mds_client_is_ready(xds->agent),
                              memory_order_relaxed);
        atomic_store_explicit(&xds->mds_failures, mds_client_failures(xds->agent),
                              memory_order_relaxed);
    }
}

static int open_tls(struct xds *xds, const struct xds_settings *settings, struct error *error)
{
    const struct tls_files server = {settings->certificates, settings->key, settings->authorities};
    const struct tls_files client = {settings->client_certificates, settings->client_key,
                                     settings->client_authorities};
    int code = 0;

    if (*server.certificates != '\0')
        code = tls_new(&xds->server_tls, &server, true, error);
    if (code == 0 && *client.authorities != '\0')
        code = tls_new(&xds->client_tls, &client, false, error);
    return code;
}

static int open_server(struct xds *xds, const struct xds_settings *settings, bool is_relay,
                       struct error *error)
{
    struct server_options options = {.loop = xds->env.control,
                                     .log = xds->env.log,
                                     .port = is_relay ? settings->mds_port : settings->xds_port,
                                     .tls = xds->server_tls,
                                     .per_address = settings->per_address,
                                     .metrics = xds->metrics,
                                     .methods = is_relay ? mds_methods : xds_methods,
                                     .message_bytes = settings->request_bytes,
                                     .memory = &xds->server_memory,
                                     .user = xds};
    int code = server_open(is_relay ? &xds->mds : &xds->xds, &options);

    return code == 0 ? 0
                     : error_system(error, code, "cannot serve %s on port %u",
                                    is_relay ? "mDS" : "xDS", options.port);
}

static int open_relay(struct xds *xds, const struct xds_settings *settings, struct error *error)
{
    const struct mds_relay_options options = {
        .log = xds->env.log, .catalog = xds->env.catalog, .metrics = xds->metrics};
    int code = mds_relay_new(&xds->relay, &options);

    if (code == 0)
        code = mds_relay_admit(xds->relay, &settings->agents, &settings->trusted_proxies);
    return code == 0 ? 0 : error_system(error, code, "cannot be a relay");
}

static struct dialer_options dialer_for(struct xds *xds, const struct xds_settings *settings,
                                        const char *name, const struct xds_urls *urls)
{
    return (struct dialer_options){.loop = xds->env.control,
                                   .log = xds->env.log,
                                   .name = name,
                                   .urls = urls,
                                   .tls = xds->client_tls,
                                   .ping_ns = settings->ping_ns,
                                   .message_bytes = settings->response_bytes,
                                   .memory = &xds->client_memory,
                                   .metrics = xds->metrics};
}

static int open_xds(void **self, const struct service_env *env, const struct config *config,
                    struct error *error)
{
    const struct xds_settings *settings = config_settings(config, &xds_section);
    struct xds *xds = calloc(1, sizeof *xds);
    bool learns = settings->serves_mds || settings->servers.count > 0;
    int code;

    if (xds == NULL)
        return error_system(error, -ENOMEM, "cannot open the control plane");
    xds->env = *env;
    xds->server_memory.most = SERVER_MEMORY_BYTES;
    xds->client_memory.most = settings->response_bytes;
    xds->metrics = xds_metrics_new();
    const struct publications_options publications = {
        .loop = env->control,
        .log = env->log,
        .catalog = env->catalog,
        .metrics = xds->metrics,
        .settled_ns = learns ? clock_monotonic_ns() + SETTLE_NS : 0};
    code = xds->metrics != NULL ? publications_new(&xds->publications, &publications) : -ENOMEM;
    if (code != 0)
        error_system(error, code, "cannot open the control plane");
    if (code == 0)
        code = open_tls(xds, settings, error);
    if (code == 0 && settings->serves_mds)
        code = open_relay(xds, settings, error);
    if (code == 0 && settings->serves_mds)
        code = open_server(xds, settings, true, error);
    if (code == 0 && settings->serves_xds)
        code = open_server(xds, settings, false, error);
    if (code == 0 && settings->servers.count > 0) {
        const struct ads_client_options options = {
            .dialer = dialer_for(xds, settings, "xds", &settings->servers),
            .catalog = env->catalog,
            .changed = note_state,
            .user = xds};

        code = ads_client_new(&xds->ads, &options);
        if (code != 0)
            error_system(error, code, "cannot be a client of xDS");
    }
    if (code == 0 && settings->relays.count > 0) {
        const struct mds_client_options options = {
            .dialer = dialer_for(xds, settings, "mds", &settings->relays),
            .catalog = env->catalog,
            .publications = xds->publications,
            .changed = note_state,
            .user = xds};

        code = mds_client_new(&xds->agent, &options);
        if (code != 0)
            error_system(error, code, "cannot be an agent");
    }
    if (code != 0) {
        xds_free(xds);
        return code;
    }
    *self = xds;
    return 0;
}

static int start_server(struct xds *xds, struct server *server, const char *message,
                        struct error *error)
{
    int code = server != NULL ? server_start(server) : 0;

    if (code != 0)
        return error_system(error, code, "cannot wait for clients of the control plane");
    if (server != NULL)
        LOG_EVENT(xds->env.log, LOG_LEVEL_INFO, log_text("message", message),
                  log_uint("port", server_port(server)), log_bool("tls", xds->server_tls != NULL));
    return 0;
}

static int start(void *self, struct error *error)
{
    struct xds *xds = self;
    int code = start_server(xds, xds->xds, "xds ready", error);

    if (code == 0)
        code = start_server(xds, xds->mds, "mds ready", error);
    if (code != 0)
        return code;
    if (xds->ads != NULL)
        ads_client_start(xds->ads);
    if (xds->agent != NULL)
        mds_client_start(xds->agent);
    return 0;
}

static int prepare(void *self, const struct config *next, struct error *error)
{
    struct xds *xds = self;

    (void)error;
    xds->next = config_settings(next, &xds_section);
    return 0;
}

/* Who is connected stays; the lists are for streams that come. */
static void commit(void *self)
{
    struct xds *xds = self;

    if (xds->relay != NULL &&
        mds_relay_admit(xds->relay, &xds->next->agents, &xds->next->trusted_proxies) != 0)
        LOG_EVENT(xds->env.log, LOG_LEVEL_ERROR,
                  log_text("message", "who may push stays as it was: out of memory"));
}

static void abandon(void *self)
{
    (void)self;
}

static void tick(void *self, int64_t now_ns)
{
    struct xds *xds = self;

    tls_tick(xds->server_tls, xds->env.log);
    tls_tick(xds->client_tls, xds->env.log);
    if (xds->xds != NULL)
        server_tick(xds->xds, now_ns);
    if (xds->mds != NULL)
        server_tick(xds->mds, now_ns);
    if (xds->relay != NULL)
        mds_relay_tick(xds->relay, now_ns);
    if (xds->ads != NULL)
        ads_client_tick(xds->ads, now_ns);
    if (xds->agent != NULL)
        mds_client_tick(xds->agent, now_ns);
    note_state(xds);
    publications_tick(xds->publications, now_ns);
}

static bool is_ready(const void *self)
{
    const struct xds *xds = self;

    return (xds->ads == NULL || atomic_load_explicit(&xds->xds_is_ready, memory_order_relaxed)) &&
           (xds->agent == NULL || atomic_load_explicit(&xds->mds_is_ready, memory_order_relaxed));
}

static void metrics(void *self, bool is_alive, struct metrics *out)
{
    struct xds *xds = self;

    (void)is_alive;
    xds_metrics_write(xds->metrics, out);
    metrics_family(
        out, "paddock_provider_ready", METRICS_GAUGE, NULL,
        "Whether a provider of the control plane has a peer, and has passed on what there is.");
    if (xds->agent != NULL)
        metrics_sample(out, atomic_load_explicit(&xds->mds_is_ready, memory_order_relaxed), "task",
                       "mds_provider", NULL);
    if (xds->ads != NULL)
        metrics_sample(out, atomic_load_explicit(&xds->xds_is_ready, memory_order_relaxed), "task",
                       "xds_provider", NULL);
}

static void failures(const void *self, struct metrics *out)
{
    const struct xds *xds = self;

    if (xds->agent != NULL)
        metrics_sample(out, atomic_load_explicit(&xds->mds_failures, memory_order_relaxed), "task",
                       "mds_provider", NULL);
    if (xds->ads != NULL)
        metrics_sample(out, atomic_load_explicit(&xds->xds_failures, memory_order_relaxed), "task",
                       "xds_provider", NULL);
}

static void show(const void *self, json_t *json)
{
    const struct xds *xds = self;
    json_t *ports = json_object(), *paddock = json_object_get(json, "paddock");

    if (xds->xds != NULL)
        json_object_set_new(ports, "port", json_integer(server_port(xds->xds)));
    if (xds->mds != NULL)
        json_object_set_new(ports, "mds_port", json_integer(server_port(xds->mds)));
    if (paddock != NULL)
        json_object_set(paddock, "control", ports);
    json_decref(ports);
}

static json_t *peers(void *self)
{
    struct xds *xds = self;
    json_t *list = publications_show(xds->publications);

    if (list != NULL && xds->ads != NULL)
        json_array_append_new(list, ads_client_show(xds->ads));
    if (list != NULL && xds->agent != NULL)
        mds_client_show(xds->agent, list);
    if (list != NULL && xds->relay != NULL)
        mds_relay_show(xds->relay, list);
    return list;
}

static void stop(void *self)
{
    struct xds *xds = self;

    LOG_EVENT(xds->env.log, LOG_LEVEL_INFO, log_text("message", "control plane stopped"));
    xds_free(xds);
}

static bool is_wanted(const struct config *config)
{
    const struct xds_settings *settings = config_settings(config, &xds_section);

    return settings->serves_xds || settings->serves_mds || settings->servers.count > 0 ||
           settings->relays.count > 0;
}

const struct service_ops xds_service = {.name = "xds",
                                        .section = &xds_section,
                                        .is_wanted = is_wanted,
                                        .open = open_xds,
                                        .start = start,
                                        .prepare = prepare,
                                        .commit = commit,
                                        .abandon = abandon,
                                        .tick = tick,
                                        .is_ready = is_ready,
                                        .metrics = metrics,
                                        .show = show,
                                        .peers = peers,
                                        .failures = failures,
                                        .stop = stop};

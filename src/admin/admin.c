/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/admin.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct admin {
    struct http_server *server;
    struct admin_callbacks callbacks;
    bool shows_sessions;
    void (*began)(void *user);
    void *user;
};

static int answer_live(const struct http_request *request, struct http_reply *reply, void *user)
{
    const struct admin *admin = user;
    bool live = admin->callbacks.live(admin->user);

    (void)request;
    reply->status = live ? 200 : 500;
    fputs(live ? "ok\n" : "broken\n", reply->out);
    return 0;
}

static int answer_ready(const struct http_request *request, struct http_reply *reply, void *user)
{
    const struct admin *admin = user;
    bool ready = admin->callbacks.ready(admin->user);

    (void)request;
    reply->status = ready ? 200 : 500;
    fputs(ready ? "ok\n" : "not ready\n", reply->out);
    return 0;
}

static int answer_metrics(const struct http_request *request, struct http_reply *reply, void *user)
{
    const struct admin *admin = user;
    const char *accept = http_request_header(request, "Accept");
    bool openmetrics = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
    struct metrics out = {.out = reply->out,
                          .format = openmetrics ? METRICS_OPENMETRICS : METRICS_TEXT};

    reply->type = metrics_content_type(out.format);
    admin->callbacks.metrics(&out, admin->user);
    return metrics_end(&out);
}

static int answer_config(const struct http_request *request, struct http_reply *reply, void *user)
{
    const struct admin *admin = user;
    const char *access = http_request_query(request, "access");

    reply->type = "application/json";
    reply->blob =
        admin->callbacks.config(access != NULL && strcmp(access, "true") == 0, admin->user);
    return reply->blob != NULL ? 0 : -EIO;
}

static void began(void *user)
{
    struct admin *admin = user;
    admin->began(admin->user);
}

static bool is_from_here(const struct sockaddr *peer)
{
    if (peer->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)peer)->sin_addr.s_addr) >> 24 ==
               IN_LOOPBACKNET;
    const struct in6_addr *address = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == IN_LOOPBACKNET);
}

/* Who plays where is nobody else's business. */
static int answer_list(const struct http_request *request, struct http_reply *reply, void *user)
{
    const struct admin *admin = user;
    struct error error = {.code = 0};

    if (!admin->shows_sessions && !is_from_here(request->peer)) {
        reply->status = 403;
        fputs("for this host alone\n", reply->out);
        return 0;
    }
    reply->cache_control = "no-store";
    reply->blob = admin->callbacks.list(request, &error, admin->user);
    if (error.code != 0) {
        reply->status = 400;
        fprintf(reply->out, "%s\n", error.text);
        return 0;
    }
    reply->type = "application/json";
    return reply->blob != NULL ? 0 : -EIO;
}

int admin_start(struct admin **admin, const struct admin_options *options, struct error *error)
{
    static const struct http_route routes[] = {
        {"/live", answer_live},       {"/livez", answer_live},
        {"/ready", answer_ready},     {"/readyz", answer_ready},
        {"/metrics", answer_metrics}, {"/config", answer_config},
        {"/sessions", answer_list},   {"/trace", answer_list},
        {"/control", answer_list},    {NULL, NULL}};

    struct admin *started = calloc(1, sizeof *started);
    if (started == NULL)
        return error_system(error, -ENOMEM, "cannot serve HTTP");
    started->callbacks = options->callbacks;
    started->shows_sessions = options->shows_sessions;
    started->began = options->began;
    started->user = options->user;
    const struct http_options http = {.name = "admin",
                                      .routes = routes,
                                      .limits = options->limits,
                                      .began = options->began != NULL ? began : NULL,
                                      .user = started};
    int code = http_server_new(&started->server, &http);
    if (code != 0)
        error_system(error, code, "cannot serve HTTP");
    else
        code = http_server_listen(started->server, options->address, error);
    if (code == 0) {
        code = http_server_start(started->server);
        if (code != 0)
            error_system(error, code, "cannot serve HTTP");
    }
    if (code != 0) {
        admin_stop(started);
        return code;
    }
    *admin = started;
    return 0;
}

uint16_t admin_port(const struct admin *admin)
{
    return http_server_port(admin->server);
}

void admin_stop(struct admin *admin)
{
    if (admin == NULL)
        return;
    http_server_stop(admin->server);
    free(admin);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/listener.h"
#include "net/address.h"

/* In one turn, so that a flood of connections does not starve those that there are. */
#define ACCEPTS_A_TURN 64

struct client {
    struct h2_connection *connection;
    struct in6_addr source; /* an IPv4 address, or a /64 */
};

struct server {
    struct server_options options;
    struct grpc_server grpc;
    struct loop_watch watch;
    struct client *clients;
    size_t count, capacity;
    bool is_watched;
    bool has_told; /* that somebody has too many connections; once a tick */
};

static void forget(struct h2_connection *connection, void *owner)
{
    struct server *server = owner;

    for (size_t i = 0; i < server->count; i++) {
        if (server->clients[i].connection == connection) {
            server->clients[i] = server->clients[--server->count];
            return;
        }
    }
}

static struct in6_addr source_of(const struct sockaddr_storage *peer)
{
    struct in6_addr source = address_from_socket(peer);

    if (!IN6_IS_ADDR_V4MAPPED(&source))
        memset(source.s6_addr + 8, 0, 8);
    return source;
}

/* A host must not take the place of all others. */
static bool has_too_many(const struct server *server, const struct in6_addr *source)
{
    size_t count = 0;

    for (size_t i = 0; i < server->count; i++)
        count += memcmp(&server->clients[i].source, source, sizeof *source) == 0;
    return count >= server->options.per_address;
}

static void refuse(struct server *server, const struct sockaddr_storage *peer)
{
    struct in6_addr address = address_from_socket(peer);
    char text[INET6_ADDRSTRLEN];

    xds_metrics_add(server->options.metrics, XDS_ERRORS, "server", "too_many_of_one_address", 1);
    if (server->has_told)
        return;
    server->has_told = true;
    address_format_host(&address, text);
    LOG_EVENT(server->options.log, LOG_LEVEL_WARN,
              log_text("message", "an address has too many connections to the control plane"),
              log_text("address", text));
}

static int add(struct server *server, int fd, const struct in6_addr *source)
{
    const struct h2_options options = {.loop = server->options.loop,
                                       .events = &grpc_server_events,
                                       .user = &server->grpc,
                                       .is_server = true,
                                       .tls = tls_context(server->options.tls)};

    if (server->count == server->capacity) {
        size_t capacity = server->capacity > 0 ? server->capacity * 2 : 64;
        struct client *clients = realloc(server->clients, capacity * sizeof *clients);

        if (clients == NULL) {
            close(fd);
            return -ENOMEM;
        }
        server->clients = clients;
        server->capacity = capacity;
    }
    struct client *client = &server->clients[server->count];
    client->source = *source;
    int error = h2_open(&client->connection, fd, &options);
    server->count += error == 0;
    return error;
}

/* Without descriptors or memory nobody is accepted until the next tick: the loop would find the
 * port ready again and again. */
static void accept_all(uint32_t events, void *user)
{
    struct server *server = user;

    (void)events;
    for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
        struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
        socklen_t peer_bytes = sizeof peer;
        int fd = accept4(server->watch.fd, (struct sockaddr *)&peer, &peer_bytes,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        int error = fd >= 0 ? 0 : -errno;

        if (error == -EAGAIN)
            return;
        if (error == -ECONNABORTED || error == -EINTR)
            continue;
        struct in6_addr source = source_of(&peer);
        if (error == 0 && has_too_many(server, &source)) {
            close(fd);
            refuse(server, &peer);
            continue;
        }
        if (error == 0 && server->count >= SERVER_MAX_CONNECTIONS) {
            close(fd);
            error = -EUSERS;
        } else if (error == 0) {
            error = add(server, fd, &source);
        }
        if (error == 0)
            continue;
        xds_metrics_add(server->options.metrics, XDS_ERRORS, "server", "not_accepted", 1);
        LOG_EVENT(server->options.log, LOG_LEVEL_WARN,
                  log_text("message", "a client of the control plane is not accepted"),
                  log_text("error", strerrordesc_np(-error)));
        loop_remove(server->options.loop, &server->watch);
        server->is_watched = false;
        return;
    }
}

int server_open(struct server **server, const struct server_options *options)
{
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(options->port)};
    struct server *made = calloc(1, sizeof *made);

    if (made == NULL)
        return -ENOMEM;
    int fd = listener_open((const struct sockaddr *)&any);
    if (fd < 0) {
        free(made);
        return fd;
    }
    *made = (struct server){.options = *options,
                            .grpc = {.methods = options->methods,
                                     .user = options->user,
                                     .message_bytes = options->message_bytes,
                                     .memory = options->memory,
                                     .ended = forget,
                                     .owner = made},
                            .watch = {.fd = fd, .ready = accept_all, .user = made}};
    *server = made;
    return 0;
}

int server_start(struct server *server)
{
    int error = loop_add(server->options.loop, &server->watch, EPOLLIN);

    server->is_watched = error == 0;
    return error;
}

void server_free(struct server *server)
{
    if (server == NULL)
        return;
    if (server->is_watched)
        loop_remove(server->options.loop, &server->watch);
    close(server->watch.fd);
    for (size_t i = 0; i < server->count; i++) {
        h2_close(server->clients[i].connection, "the server stops");
        h2_free(server->clients[i].connection);
    }
    free(server->clients);
    free(server);
}

void server_tick(struct server *server, int64_t now_ns)
{
    for (size_t i = 0; i < server->count; i++)
        h2_tick(server->clients[i].connection, now_ns);
    server->has_told = false;
    if (!server->is_watched)
        (void)server_start(server);
}

uint16_t server_port(const struct server *server)
{
    return address_bound_port(server->watch.fd);
}

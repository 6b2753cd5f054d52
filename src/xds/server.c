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

struct server {
    struct server_options options;
    struct grpc_server grpc;
    struct loop_watch watch;
    struct h2_connection **connections;
    size_t count, capacity;
    bool is_watched;
};

static void forget(struct h2_connection *connection, void *owner)
{
    struct server *server = owner;

    for (size_t i = 0; i < server->count; i++) {
        if (server->connections[i] == connection) {
            server->connections[i] = server->connections[--server->count];
            return;
        }
    }
}

static int add(struct server *server, int fd)
{
    const struct h2_options options = {.loop = server->options.loop,
                                       .events = &grpc_server_events,
                                       .user = &server->grpc,
                                       .is_server = true,
                                       .tls = tls_context(server->options.tls)};

    if (server->count == server->capacity) {
        size_t capacity = server->capacity > 0 ? server->capacity * 2 : 64;
        struct h2_connection **connections =
            realloc(server->connections, capacity * sizeof(struct h2_connection *));

        if (connections == NULL) {
            close(fd);
            return -ENOMEM;
        }
        server->connections = connections;
        server->capacity = capacity;
    }
    int error = h2_open(&server->connections[server->count], fd, &options);
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
        int fd = accept4(server->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        int error = fd >= 0 ? 0 : -errno;

        if (error == -EAGAIN)
            return;
        if (error == -ECONNABORTED || error == -EINTR)
            continue;
        if (error == 0 && server->count >= SERVER_MAX_CONNECTIONS) {
            close(fd);
            error = -EUSERS;
        } else if (error == 0) {
            error = add(server, fd);
        }
        if (error == 0)
            continue;
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
        h2_close(server->connections[i], "the server stops");
        h2_free(server->connections[i]);
    }
    free(server->connections);
    free(server);
}

void server_tick(struct server *server, int64_t now_ns)
{
    for (size_t i = 0; i < server->count; i++)
        h2_tick(server->connections[i], now_ns);
    if (!server->is_watched)
        (void)server_start(server);
}

uint16_t server_port(const struct server *server)
{
    return address_bound_port(server->watch.fd);
}

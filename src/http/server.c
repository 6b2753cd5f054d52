/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/listener.h"
#include "http/request.h"
#include "net/address.h"

#define NS_PER_MS 1000000
#define ACCEPT_RETRY_MS 5
#define RELIEF_MS 100
#define TEXT_BYTES 1024 /* room for a head, at first */
#define PIECE_BYTES 65536
#define EVENTS 64

enum phase {
    READING,  /* a head */
    SENDING,  /* the reply */
    LINGERING /* what the client still sends is read, since unread bytes would make the kernel reset
                 the connection, and the reply might be lost */
};

struct connection {
    int fd; /* -1: free */
    enum phase phase;
    int64_t since_ns;
    struct sockaddr_storage peer;
    char *text; /* the head, with room for a terminator */
    size_t text_bytes, text_capacity;
    char *head;
    size_t head_bytes;
    char *written;          /* the reply's body, */
    struct http_blob *blob; /* or the one in its place */
    char *body;
    size_t body_bytes;
    size_t sent; /* bytes of head and body */
};

struct http_server {
    int epoll_fd; /* for all connections */
    int listen_fds[HTTP_ADDRESSES];
    unsigned listen_count;
    int wake_fd;
    pthread_t thread;
    bool is_started;
    struct http_options options;
    struct http_limits limits; /* without zeros */
    int64_t accept_after_ns;   /* not before, after an error */
    int64_t relief_after_ns;   /* no other connection is dropped for want of descriptors before */
    struct connection connections[];
};

static void drop(struct connection *c)
{
    close(c->fd);
    free(c->text);
    free(c->head);
    free(c->written);
    http_blob_unref(c->blob);
    *c = (struct connection){.fd = -1};
}

/* Those that have their reply go first. */
static bool goes_before(const struct connection *a, const struct connection *b)
{
    bool a_is_done = a->phase == LINGERING, b_is_done = b->phase == LINGERING;

    return a_is_done != b_is_done ? a_is_done : a->since_ns < b->since_ns;
}

/* The connection that can best be spared, of one peer's address where it is not NULL. @param[out]
 * count of those to choose from. */
static struct connection *find_spare(struct http_server *server, const struct in6_addr *address,
                                     unsigned *count)
{
    struct connection *spare = NULL;

    *count = 0;
    for (unsigned i = 0; i < server->limits.connections; i++) {
        struct connection *c = &server->connections[i];
        if (c->fd < 0)
            continue;
        if (address != NULL) {
            struct in6_addr peer = address_from_socket(&c->peer);
            if (memcmp(&peer, address, sizeof peer) != 0)
                continue;
        }
        *count += 1;
        if (spare == NULL || goes_before(c, spare))
            spare = c;
    }
    return spare;
}

/* Drops what is past its deadline. Returns the deadline that comes next, INT64_MAX where there is
 * none. */
static int64_t drop_late(struct http_server *server, int64_t now_ns)
{
    int64_t next_ns = INT64_MAX;

    for (unsigned i = 0; i < server->limits.connections; i++) {
        struct connection *c = &server->connections[i];
        int64_t end_ns = c->since_ns + (int64_t)server->limits.deadline_ms * NS_PER_MS;
        if (c->fd >= 0 && end_ns <= now_ns)
            drop(c);
        else if (c->fd >= 0 && end_ns < next_ns)
            next_ns = end_ns;
    }
    return next_ns;
}

static const char *reason_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {204, "No Content"},
                   {304, "Not Modified"},
                   {400, "Bad Request"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {429, "Too Many Requests"},
                   {431, "Request Header Fields Too Large"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"},
                   {505, "HTTP Version Not Supported"}};

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "";
}

/* Makes a text the reply, in place of what there is. */
static void refuse(struct http_reply *reply, unsigned status, const char *text)
{
    http_blob_unref(reply->blob);
    *reply = (struct http_reply){.status = status,
                                 .type = "text/plain; charset=utf-8",
                                 .out = reply->out,
                                 .allow_origin = reply->allow_origin};
    rewind(reply->out);
    fprintf(reply->out, "%s\n", text);
}

static bool is_large(const struct http_blob *blob)
{
    return blob != NULL && blob->bytes > HTTP_LARGE_BYTES;
}

static unsigned count_large(const struct http_server *server)
{
    unsigned count = 0;

    for (unsigned i = 0; i < server->limits.connections; i++)
        count += is_large(server->connections[i].blob);
    return count;
}

/* Fills the reply to a request that is well-formed. */
static void route(const struct http_server *server, const struct http_request *request,
                  struct http_reply *reply)
{
    const struct http_route *found = server->options.routes;

    if (server->options.allow_origin != NULL)
        reply->allow_origin = server->options.allow_origin(request, server->options.user);
    if (server->options.admits != NULL && !server->options.admits(request, server->options.user)) {
        refuse(reply, 429, "too many requests");
        reply->retry_after_s = 1;
        return;
    }
    while (found->path != NULL && strcmp(found->path, request->path) != 0)
        found++;
    if (found->path == NULL) {
        refuse(reply, 404, "not found");
        return;
    }
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        bool is_preflight = reply->allow_origin != NULL &&
                            strcmp(request->method, "OPTIONS") == 0 &&
                            http_request_header(request, "Access-Control-Request-Method") != NULL;
        refuse(reply, is_preflight ? 204 : 405, "only GET and HEAD");
        reply->allow = "GET, HEAD";
        return;
    }
    /* What was written when a handler failed must not be taken for the whole. */
    if (found->answer(request, reply, server->options.user) != 0) {
        refuse(reply, 500, "failed");
        return;
    }
    if (reply->blob == NULL)
        return;

    const char *known = http_request_header(request, "If-None-Match");
    if (known != NULL && (strcmp(known, "*") == 0 || strstr(known, reply->blob->etag) != NULL)) {
        reply->status = 304;
    } else if (is_large(reply->blob) && count_large(server) >= server->limits.large_replies) {
        refuse(reply, 503, "busy");
        reply->retry_after_s = 1;
    }
}

static bool has_body(const struct http_reply *reply)
{
    return reply->status != 204 && reply->status != 304;
}

static void write_head(FILE *out, const struct http_reply *reply, size_t body_bytes)
{
    char date[64];
    struct tm now;

    gmtime_r(&(time_t){time(NULL)}, &now);
    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", &now);
    fprintf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n", reply->status,
            reason_of(reply->status), date);
    if (has_body(reply))
        fprintf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", reply->type, body_bytes);
    if (reply->blob != NULL)
        fprintf(out, "ETag: %s\r\n", reply->blob->etag);
    if (reply->cache_control != NULL)
        fprintf(out, "Cache-Control: %s\r\n", reply->cache_control);
    if (reply->allow_origin != NULL)
        fprintf(out, "Access-Control-Allow-Origin: %s\r\n", reply->allow_origin);
    if (reply->status == 204)
        fputs("Access-Control-Allow-Methods: GET, HEAD\r\nAccess-Control-Allow-Headers: *\r\n"
              "Access-Control-Max-Age: 86400\r\n",
              out);
    if (reply->allow != NULL)
        fprintf(out, "Allow: %s\r\n", reply->allow);
    if (reply->retry_after_s != 0)
        fprintf(out, "Retry-After: %u\r\n", reply->retry_after_s);
    fputs("\r\n", out);
}

/* Ends a stream over memory. Returns whether all of it is there. */
static bool stream_end(FILE *stream)
{
    bool is_whole = ferror(stream) == 0;

    return fclose(stream) == 0 && is_whole;
}

/* Makes the reply to what was read: @p end bytes of a head, 0 when it is too long. Returns false
 * when memory is short. */
static bool answer(struct http_server *server, struct connection *c, size_t end)
{
    struct http_request request = {.method = ""};
    struct http_reply reply = {.status = 200, .type = "text/plain; charset=utf-8"};

    reply.out = open_memstream(&c->written, &c->body_bytes);
    if (reply.out == NULL)
        return false;
    unsigned refusal = end > 0 ? http_request_parse(c->text, end, &request) : 431;
    request.peer = (const struct sockaddr *)&c->peer;
    if (refusal != 0)
        refuse(&reply, refusal, reason_of(refusal));
    else
        route(server, &request, &reply);
    c->blob = reply.blob;
    if (!stream_end(reply.out))
        return false;
    c->body = c->written;
    if (c->blob != NULL) {
        c->body = c->blob->data;
        c->body_bytes = c->blob->bytes;
    }

    FILE *head = open_memstream(&c->head, &c->head_bytes);
    if (head == NULL)
        return false;
    write_head(head, &reply, c->body_bytes);
    if (!stream_end(head))
        return false;
    if (!has_body(&reply) || strcmp(request.method, "HEAD") == 0)
        c->body_bytes = 0;

    free(c->text);
    c->text = NULL;
    c->phase = SENDING;
    return true;
}

/* Reads more of a head. Returns how many bytes came, 0 or less as recv() does. */
static ssize_t read_text(const struct http_server *server, struct connection *c)
{
    if (c->text_bytes == c->text_capacity) {
        size_t capacity = c->text_capacity != 0 ? c->text_capacity * 2 : TEXT_BYTES;
        if (capacity > server->limits.header_bytes)
            capacity = server->limits.header_bytes;
        char *text = realloc(c->text, capacity + 1);
        if (text == NULL)
            return 0;
        c->text = text;
        c->text_capacity = capacity;
    }
    ssize_t bytes = recv(c->fd, c->text + c->text_bytes, c->text_capacity - c->text_bytes, 0);
    if (bytes > 0)
        c->text_bytes += (size_t)bytes;
    return bytes;
}

/* Sends what the kernel takes. Returns false when the connection is lost. */
static bool send_more(struct connection *c)
{
    size_t head_sent = c->sent < c->head_bytes ? c->sent : c->head_bytes;
    size_t body_sent = c->sent - head_sent;
    struct iovec pieces[] = {{c->head + head_sent, c->head_bytes - head_sent},
                             {c->body + body_sent, c->body_bytes - body_sent}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};

    ssize_t bytes = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (bytes < 0)
        return errno == EAGAIN || errno == EINTR;
    c->sent += (size_t)bytes;
    if (c->sent < c->head_bytes + c->body_bytes)
        return true;

    free(c->head);
    free(c->written);
    http_blob_unref(c->blob);
    c->head = c->written = NULL;
    c->blob = NULL;
    c->phase = LINGERING;
    return shutdown(c->fd, SHUT_WR) == 0;
}

/* Does what can be done for a connection without waiting. Its phase says what that is; the event
 * need not be looked at, because the calls tell of errors as well. */
static void serve_connection(struct http_server *server, struct connection *c)
{
    char piece[PIECE_BYTES];
    enum phase before = c->phase;
    bool lost = false;

    if (c->phase == READING) {
        size_t searched = c->text_bytes;
        ssize_t bytes = read_text(server, c);
        size_t end = bytes > 0 ? http_request_end(c->text, c->text_bytes, searched) : 0;
        lost = bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR);
        if (end > 0 || (bytes > 0 && c->text_bytes == server->limits.header_bytes))
            lost = !answer(server, c, end);
    } else if (c->phase == LINGERING) {
        ssize_t bytes = recv(c->fd, piece, sizeof piece, 0);
        lost = bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EINTR);
    }
    if (!lost && c->phase == SENDING)
        lost = !send_more(c);

    struct epoll_event event = {.events = c->phase == SENDING ? EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (!lost && c->phase != before)
        lost = epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) != 0;
    if (lost)
        drop(c);
}

/* Another error may last, and must not become a busy loop. One connection less helps against a
 * shortage, where this server made it; the next only if that was not enough, since each may be an
 * answer under way. */
static void pause_accepting(struct http_server *server, int error)
{
    unsigned count;
    int64_t now_ns = clock_monotonic_ns();

    server->accept_after_ns = now_ns + (int64_t)ACCEPT_RETRY_MS * NS_PER_MS;
    bool is_shortage = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
    if (!is_shortage || now_ns < server->relief_after_ns)
        return;
    server->relief_after_ns = now_ns + (int64_t)RELIEF_MS * NS_PER_MS;
    struct connection *spare = find_spare(server, NULL, &count);
    if (spare != NULL)
        drop(spare);
}

static void accept_one(struct http_server *server, int listen_fd)
{
    unsigned count;
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof peer;

    int fd =
        accept4(listen_fd, (struct sockaddr *)&peer, &peer_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        /* After these there is nothing to do but to accept again: the error took the connection
         * with it, or there was none. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED && errno != EPERM)
            pause_accepting(server, errno);
        return;
    }

    struct connection *spare;
    if (server->limits.per_address < server->limits.connections) {
        struct in6_addr address = address_from_socket(&peer);
        spare = find_spare(server, &address, &count);
        if (count >= server->limits.per_address)
            drop(spare);
    }
    spare = find_spare(server, NULL, &count);
    if (count >= server->limits.connections)
        drop(spare);

    struct connection *c = server->connections;
    while (c->fd >= 0)
        c++;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    *c = (struct connection){.fd = fd, .since_ns = clock_monotonic_ns(), .peer = peer};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        drop(c);
}

static void *serve(void *argument)
{
    struct http_server *server = argument;
    struct epoll_event events[EVENTS];

    if (server->options.began != NULL)
        server->options.began(server->options.user);
    for (;;) {
        int64_t now_ns = clock_monotonic_ns();
        int64_t next_ns = drop_late(server, now_ns);
        bool accepting = now_ns >= server->accept_after_ns;
        if (!accepting && server->accept_after_ns < next_ns)
            next_ns = server->accept_after_ns;

        struct pollfd fds[2 + HTTP_ADDRESSES] = {{.fd = server->wake_fd, .events = POLLIN},
                                                 {.fd = server->epoll_fd, .events = POLLIN}};
        nfds_t fds_count = accepting ? 2 + server->listen_count : 2;
        for (nfds_t i = 2; i < fds_count; i++)
            fds[i] = (struct pollfd){.fd = server->listen_fds[i - 2], .events = POLLIN};
        struct timespec timeout = {.tv_sec = (next_ns - now_ns) / 1000000000,
                                   .tv_nsec = (next_ns - now_ns) % 1000000000};
        ppoll(fds, fds_count, next_ns < INT64_MAX ? &timeout : NULL, NULL);
        if (fds[0].revents != 0)
            return NULL;

        int count = epoll_wait(server->epoll_fd, events, EVENTS, 0);
        for (int i = 0; i < count; i++)
            serve_connection(server, events[i].data.ptr);
        for (nfds_t i = 2; i < fds_count; i++)
            if (fds[i].revents != 0)
                accept_one(server, fds[i].fd);
    }
}

int http_server_new(struct http_server **server, const struct http_options *options)
{
    struct http_limits limits = options->limits;

    struct rlimit descriptors;

    if (limits.connections == 0)
        limits.connections = HTTP_CONNECTIONS;
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0 &&
        descriptors.rlim_cur / 2 < limits.connections)
        limits.connections = (unsigned)(descriptors.rlim_cur / 2);
    if (limits.per_address == 0)
        limits.per_address = limits.connections;
    if (limits.deadline_ms == 0)
        limits.deadline_ms = HTTP_DEADLINE_MS;
    if (limits.header_bytes == 0)
        limits.header_bytes = HTTP_HEADER_BYTES;
    if (limits.large_replies == 0)
        limits.large_replies = HTTP_LARGE_REPLIES;

    struct http_server *made =
        calloc(1, sizeof *made + limits.connections * sizeof made->connections[0]);
    if (made == NULL)
        return -ENOMEM;
    made->options = *options;
    made->limits = limits;
    for (unsigned i = 0; i < limits.connections; i++)
        made->connections[i].fd = -1;
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    made->epoll_fd = made->wake_fd < 0 ? -1 : epoll_create1(EPOLL_CLOEXEC);
    if (made->epoll_fd < 0) {
        int error = -errno;
        http_server_stop(made);
        return error;
    }
    *server = made;
    return 0;
}

int http_server_listen(struct http_server *server, const struct sockaddr *address,
                       struct error *error)
{
    char where[ADDRESS_TEXT_BYTES] = "an address that is no IP address";

    int fd = server->listen_count < HTTP_ADDRESSES ? listener_open(address) : -E2BIG;
    if (fd >= 0) {
        server->listen_fds[server->listen_count++] = fd;
        return 0;
    }
    if (address->sa_family == AF_INET || address->sa_family == AF_INET6) {
        struct sockaddr_storage storage = {0};
        memcpy(&storage, address,
               address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                             : sizeof(struct sockaddr_in6));
        struct in6_addr ip = address_from_socket(&storage);
        address_format(&ip, ntohs(((const struct sockaddr_in *)&storage)->sin_port), where);
    }
    return error_system(error, fd, "cannot serve HTTP on %s", where);
}

int http_server_start(struct http_server *server)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits it */
    int error = pthread_create(&server->thread, NULL, serve, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    server->is_started = error == 0;
    if (server->is_started)
        pthread_setname_np(server->thread, server->options.name);
    return -error;
}

uint16_t http_server_port(const struct http_server *server)
{
    return address_bound_port(server->listen_fds[0]);
}

void http_server_stop(struct http_server *server)
{
    if (server == NULL)
        return;
    if (server->is_started) {
        eventfd_write(server->wake_fd, 1);
        pthread_join(server->thread, NULL);
    }
    for (unsigned i = 0; i < server->limits.connections; i++)
        if (server->connections[i].fd >= 0)
            drop(&server->connections[i]);
    for (unsigned i = 0; i < server->listen_count; i++)
        close(server->listen_fds[i]);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    if (server->epoll_fd >= 0)
        close(server->epoll_fd);
    free(server);
}

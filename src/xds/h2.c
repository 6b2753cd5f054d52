/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/h2.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/endpoint.h"

#define SECOND_NS INT64_C(1000000000)
#define START_NS (5 * SECOND_NS)
#define PING_NS (20 * SECOND_NS)
#define SILENCE_NS (30 * SECOND_NS)
#define PONG_NS (5 * SECOND_NS)
#define STALL_NS (10 * SECOND_NS)

/* What one turn reads of a connection, so that a flood on one does not starve the others. */
#define READ_BYTES 65536
#define READS_A_TURN 8
#define PREFACE_BYTES 24
#define FRAME_HEAD_BYTES 9
#define FRAME_BYTES (16384 + FRAME_HEAD_BYTES)
#define WRITE_BYTES ((size_t)3 * FRAME_BYTES)
#define HEADER_BLOCK_BYTES 16384

#define SERVER_WINDOW (1 << 20)
#define CLIENT_WINDOW (2 << 20)
#define CONNECTION_WINDOW (5 << 20)

struct piece {
    struct piece *next;
    struct http_blob *blob;
    size_t sent;
};

struct h2_stream {
    struct h2_connection *connection;
    struct h2_stream *next, **place;
    void *user;
    int32_t id;
    struct h2_headers *headers; /* of the block under way */
    size_t header_bytes;
    struct piece *first, **last;
    size_t queued;
    bool has_responded, is_finishing, is_closed, is_half;
    unsigned status;
    char *message;
};

struct h2_connection {
    struct h2_options options;
    struct loop_watch watch;
    struct loop_timer end;
    nghttp2_session *session;
    SSL *tls;
    char host[256];
    struct sockaddr_in6 peer;
    struct h2_stream *streams;
    uint8_t *batch; /* during h2_flush() */
    size_t batch_bytes;
    uint8_t *unsent; /* written by the session, not taken by the socket */
    size_t unsent_bytes, unsent_done;
    uint32_t events;
    bool is_connecting, is_handshaking, is_settled, is_busy, is_ending, is_pinging;
    const char *reason;
    int64_t began_ns, pinged_ns, heard_ns;
    uint8_t head[FRAME_HEAD_BYTES]; /* of the frame under way */
    size_t head_bytes, frame_left;
};

static void end(struct h2_connection *connection, const char *reason)
{
    if (connection->is_ending)
        return;
    connection->is_ending = true;
    connection->reason = reason;
    loop_timer_set(connection->options.loop, &connection->end, 0);
}

static void watch_for(struct h2_connection *connection, uint32_t events)
{
    if (connection->events == events)
        return;
    connection->events = events;
    if (loop_change(connection->options.loop, &connection->watch, events) != 0)
        end(connection, "the loop is full");
}

/* ---- streams ---- */

static struct h2_stream *stream_new(struct h2_connection *connection, int32_t id)
{
    struct h2_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL)
        return NULL;
    *stream = (struct h2_stream){.connection = connection, .id = id, .next = connection->streams};
    stream->place = &connection->streams;
    stream->last = &stream->first;
    if (stream->next != NULL)
        stream->next->place = &stream->next;
    connection->streams = stream;
    return stream;
}

static void stream_free(struct h2_stream *stream, uint32_t code)
{
    const struct h2_events *events = stream->connection->options.events;

    stream->is_closed = true;
    if (events->closed != NULL && stream->user != NULL)
        events->closed(stream, code);
    *stream->place = stream->next;
    if (stream->next != NULL)
        stream->next->place = stream->place;
    while (stream->first != NULL) {
        struct piece *piece = stream->first;

        stream->first = piece->next;
        http_blob_unref(piece->blob);
        free(piece);
    }
    free(stream->headers);
    free(stream->message);
    free(stream);
}

static nghttp2_nv pair(const char *name, const char *value)
{
    /* The library copies both, and changes neither. */
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static size_t status_headers(const struct h2_stream *stream, char number[12], nghttp2_nv headers[2])
{
    size_t count = 0;

    snprintf(number, 12, "%u", stream->status);
    headers[count++] = pair("grpc-status", number);
    if (stream->message != NULL)
        headers[count++] = pair("grpc-message", stream->message);
    return count;
}

/* NOLINTNEXTLINE(readability-function-size): the library's interface */
static ssize_t read_queue(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *stream = source->ptr;
    size_t used = stream->queued < room ? stream->queued : room;

    (void)to;
    (void)user;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (used == stream->queued && stream->is_finishing) {
        nghttp2_nv headers[2];
        char number[12];
        size_t count = status_headers(stream, number, headers);

        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, headers, count) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        return (ssize_t)used;
    }
    return used > 0 ? (ssize_t)used : NGHTTP2_ERR_DEFERRED;
}

static void take_pieces(struct h2_stream *stream, uint8_t *to, size_t wanted)
{
    stream->queued -= wanted;
    while (wanted > 0) {
        struct piece *piece = stream->first;
        assert(piece != NULL);
        size_t bytes = piece->blob->bytes - piece->sent;
        bytes = bytes < wanted ? bytes : wanted;
        memcpy(to, piece->blob->data + piece->sent, bytes);
        to += bytes;
        wanted -= bytes;
        piece->sent += bytes;
        if (piece->sent < piece->blob->bytes)
            return;
        stream->first = piece->next;
        if (stream->first == NULL)
            stream->last = &stream->first;
        http_blob_unref(piece->blob);
        free(piece);
    }
}

/* A frame of data goes into the batch that h2_flush() makes, and not first into a buffer of the
 * session, which would keep 16 KiB for each connection. */
/* NOLINTNEXTLINE(readability-function-size): the library's interface */
static int write_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                      size_t bytes, nghttp2_data_source *source, void *user)
{
    struct h2_connection *connection = user;
    struct h2_stream *stream = source->ptr;

    (void)session;
    (void)frame; /* never padded */
    /* The session may go on to a frame that it hands out, for which there has to be room. */
    if (connection->batch_bytes + FRAME_HEAD_BYTES + bytes + FRAME_BYTES > WRITE_BYTES)
        return NGHTTP2_ERR_WOULDBLOCK;
    memcpy(connection->batch + connection->batch_bytes, head, FRAME_HEAD_BYTES);
    take_pieces(stream, connection->batch + connection->batch_bytes + FRAME_HEAD_BYTES, bytes);
    connection->batch_bytes += FRAME_HEAD_BYTES + bytes;
    return 0;
}

/* ---- what the session says ---- */

static struct h2_stream *find(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_connection *connection = user;
    struct h2_stream *stream = find(session, frame->hd.stream_id);

    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (stream == NULL && connection->options.is_server &&
        frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        stream = stream_new(connection, frame->hd.stream_id);
        if (stream == NULL)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    }
    if (stream == NULL)
        return 0;
    free(stream->headers);
    stream->headers = calloc(1, sizeof *stream->headers);
    stream->header_bytes = 0;
    return stream->headers != NULL ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

#define MEMBER(name, member)                                                                       \
    {                                                                                              \
        name, offsetof(struct h2_headers, member), sizeof((struct h2_headers *)0)->member          \
    }
static const struct {
    const char *name;
    size_t offset, bytes;
} members[] = {
    MEMBER(":method", method),
    MEMBER(":path", path),
    MEMBER(":status", status),
    MEMBER("content-type", content_type),
    MEMBER("grpc-encoding", grpc_encoding),
    MEMBER("grpc-status", grpc_status),
    MEMBER("grpc-message", grpc_message),
    MEMBER("forwarded", forwarded),
    MEMBER("x-forwarded-for", forwarded_for),
    MEMBER("x-envoy-external-address", envoy_address),
};

/* The first of several of one name counts. */
/* NOLINTNEXTLINE(readability-function-size): the library's interface */
static int take_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                       size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                       void *user)
{
    struct h2_stream *stream = find(session, frame->hd.stream_id);

    (void)flags;
    (void)user;
    if (stream == NULL || stream->headers == NULL)
        return 0;
    stream->header_bytes += name_bytes + value_bytes + 32;
    if (stream->header_bytes > HEADER_BLOCK_BYTES)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        char *text = (char *)stream->headers + members[i].offset;

        if (strlen(members[i].name) == name_bytes &&
            memcmp(members[i].name, name, name_bytes) == 0 && text[0] == '\0' &&
            value_bytes < members[i].bytes && memchr(value, 0, value_bytes) == NULL) {
            memcpy(text, value, value_bytes);
            text[value_bytes] = '\0';
        }
    }
    return 0;
}

static int take_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_connection *connection = user;
    const struct h2_events *events = connection->options.events;
    struct h2_stream *stream = find(session, frame->hd.stream_id);

    if (frame->hd.type == NGHTTP2_SETTINGS && !connection->is_settled) {
        connection->is_settled = true;
        if (events->ready != NULL)
            events->ready(connection, connection->options.user);
    }
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        connection->is_pinging = false;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        end(connection, "the peer went away");
    if (frame->hd.type == NGHTTP2_HEADERS && stream != NULL && stream->headers != NULL) {
        struct h2_headers *headers = stream->headers;

        stream->headers = NULL;
        if (connection->options.is_server && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            events->request(stream, headers, connection->options.user);
        else if (!connection->options.is_server && stream->user != NULL)
            events->response(stream, headers);
        free(headers);
    }
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && stream != NULL &&
        stream->user != NULL && events->finished != NULL)
        events->finished(stream);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the library's interface */
static int take_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                     size_t bytes, void *user)
{
    struct h2_connection *connection = user;
    struct h2_stream *stream = find(session, id);

    (void)flags;
    if (stream != NULL && stream->user != NULL)
        connection->options.events->data(stream, data, bytes);
    return 0;
}

static int take_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct h2_stream *stream = find(session, id);

    (void)user;
    if (stream != NULL)
        stream_free(stream, code);
    return 0;
}

/* A server that has sent its trailers wants no more of the request (RFC 9113, section 8.1). */
static int sent_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    const struct h2_connection *connection = user;

    if (connection->options.is_server && frame->hd.type == NGHTTP2_HEADERS &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_NO_ERROR);
    return 0;
}

/* ---- the socket ---- */

static bool must_wait(const struct h2_connection *connection, int result)
{
    if (connection->tls == NULL)
        return errno == EAGAIN || errno == EINTR;
    int error = SSL_get_error(connection->tls, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static ssize_t socket_read(struct h2_connection *connection, uint8_t *data, size_t bytes)
{
    if (connection->tls == NULL)
        return recv(connection->watch.fd, data, bytes, 0);
    ERR_clear_error();
    return SSL_read(connection->tls, data, (int)bytes);
}

static ssize_t socket_write(struct h2_connection *connection, const uint8_t *data, size_t bytes)
{
    if (connection->tls == NULL)
        return send(connection->watch.fd, data, bytes, MSG_NOSIGNAL);
    ERR_clear_error();
    return SSL_write(connection->tls, data, (int)bytes);
}

/* Returns what the socket has taken. */
static size_t put(struct h2_connection *connection, const uint8_t *data, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t taken = socket_write(connection, data + done, bytes - done);

        if (taken <= 0) {
            if (!must_wait(connection, (int)taken))
                end(connection, "the connection was lost");
            break;
        }
        done += (size_t)taken;
    }
    return done;
}

static bool put_unsent(struct h2_connection *connection)
{
    if (connection->unsent != NULL)
        connection->unsent_done += put(connection, connection->unsent + connection->unsent_done,
                                       connection->unsent_bytes - connection->unsent_done);
    if (connection->unsent_done < connection->unsent_bytes)
        return false;
    free(connection->unsent);
    connection->unsent = NULL;
    connection->unsent_bytes = connection->unsent_done = 0;
    return true;
}

static void keep(struct h2_connection *connection, const uint8_t *data, size_t bytes)
{
    connection->unsent = malloc(bytes);
    if (connection->unsent == NULL) {
        end(connection, "out of memory");
        return;
    }
    memcpy(connection->unsent, data, bytes);
    connection->unsent_bytes = bytes;
    connection->unsent_done = 0;
}

void h2_flush(struct h2_connection *connection)
{
    uint8_t batch[WRITE_BYTES];
    const uint8_t *data;
    bool is_done = false;

    /* Within a callback the session must not be asked; who called it flushes afterwards. */
    if (connection->is_busy || connection->is_connecting || connection->is_handshaking)
        return;
    connection->is_busy = true;
    connection->batch = batch;
    while (!is_done && put_unsent(connection)) {
        connection->batch_bytes = 0;
        while (!is_done && connection->batch_bytes + FRAME_BYTES <= sizeof batch) {
            size_t before = connection->batch_bytes;
            ssize_t bytes = nghttp2_session_mem_send(connection->session, &data);

            if (bytes < 0)
                end(connection, nghttp2_strerror((int)bytes));
            if (bytes > 0) {
                memcpy(batch + connection->batch_bytes, data, (size_t)bytes);
                connection->batch_bytes += (size_t)bytes;
            }
            is_done = bytes < 0 || connection->batch_bytes == before;
        }
        size_t done = put(connection, batch, connection->batch_bytes);
        if (done < connection->batch_bytes)
            keep(connection, batch + done, connection->batch_bytes - done);
    }
    connection->batch = NULL;
    connection->is_busy = false;
    if (!connection->is_ending && nghttp2_session_want_read(connection->session) == 0 &&
        nghttp2_session_want_write(connection->session) == 0)
        end(connection, "the connection is over");
    watch_for(connection, EPOLLIN | (connection->unsent_bytes > 0 ? (uint32_t)EPOLLOUT : 0));
}

/* The library does not say whether it waits for the rest of a frame. */
static void follow_frames(struct h2_connection *connection, const uint8_t *data, size_t bytes)
{
    while (bytes > 0) {
        size_t skipped = connection->frame_left < bytes ? connection->frame_left : bytes;

        connection->frame_left -= skipped;
        data += skipped;
        bytes -= skipped;
        if (bytes == 0)
            return;
        connection->head[connection->head_bytes++] = *data++;
        bytes--;
        if (connection->head_bytes == FRAME_HEAD_BYTES) {
            const uint8_t *head = connection->head;

            connection->frame_left = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
            connection->head_bytes = 0;
        }
    }
}

static bool is_half_way(const struct h2_connection *connection)
{
    const struct h2_stream *stream = connection->streams;

    while (stream != NULL && !stream->is_half && stream->headers == NULL)
        stream = stream->next;
    return stream != NULL || connection->frame_left > 0 || connection->head_bytes > 0;
}

static void take_input(struct h2_connection *connection)
{
    uint8_t data[READ_BYTES];

    connection->is_busy = true;
    for (unsigned i = 0; i < READS_A_TURN && !connection->is_ending; i++) {
        ssize_t got = socket_read(connection, data, sizeof data);

        if (got <= 0) {
            if (got == 0 && connection->tls == NULL)
                end(connection, "the peer hung up");
            else if (!must_wait(connection, (int)got))
                end(connection, "the connection was lost");
            break;
        }
        connection->heard_ns = clock_monotonic_ns();
        follow_frames(connection, data, (size_t)got);
        ssize_t used = nghttp2_session_mem_recv(connection->session, data, (size_t)got);
        if (used < 0)
            end(connection, nghttp2_strerror((int)used));
        if ((size_t)got < sizeof data && connection->tls == NULL)
            break;
    }
    connection->is_busy = false;
}

static int begin_session(struct h2_connection *connection)
{
    bool is_server = connection->options.is_server;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, is_server ? SERVER_WINDOW : CLIENT_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_BLOCK_BYTES},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_MAX_STREAMS}};
    size_t count = sizeof settings / sizeof settings[0];
    int error = nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, count);

    if (error == 0)
        error = nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                      CONNECTION_WINDOW);
    return error;
}

/* Goes on with connecting and shaking hands. Returns whether frames can pass. */
static bool advance(struct h2_connection *connection)
{
    const unsigned char *protocol = NULL;
    unsigned protocol_bytes = 0;
    int failure = 0, result = 1;
    socklen_t bytes = sizeof failure;

    if (connection->is_connecting) {
        if (getsockopt(connection->watch.fd, SOL_SOCKET, SO_ERROR, &failure, &bytes) != 0 ||
            failure != 0) {
            end(connection, failure != 0 ? strerrordesc_np(failure) : "not connected");
            return false;
        }
        connection->is_connecting = false;
    }
    if (connection->tls != NULL) {
        ERR_clear_error();
        result = SSL_do_handshake(connection->tls);
        if (result != 1 && !must_wait(connection, result)) {
            const char *why = ERR_reason_error_string(ERR_peek_last_error());

            end(connection, why != NULL ? why : "TLS failed");
            return false;
        }
        if (result != 1) {
            watch_for(connection, SSL_want_write(connection->tls) ? EPOLLOUT : EPOLLIN);
            return false;
        }
        SSL_get0_alpn_selected(connection->tls, &protocol, &protocol_bytes);
        if (protocol_bytes != 2 || memcmp(protocol, "h2", 2) != 0) {
            end(connection, "TLS without h2");
            return false;
        }
    }
    connection->is_handshaking = false;
    if (begin_session(connection) != 0)
        end(connection, "out of memory");
    return !connection->is_ending;
}

static void handle(uint32_t events, void *user)
{
    struct h2_connection *connection = user;

    if (connection->is_ending)
        return;
    if ((connection->is_connecting || connection->is_handshaking) && !advance(connection))
        return;
    if ((events & ~(uint32_t)EPOLLOUT) != 0)
        take_input(connection);
    if (!connection->is_ending)
        h2_flush(connection);
}

static void release(struct h2_connection *connection)
{
    connection->is_busy = true;
    while (connection->streams != NULL) {
        struct h2_stream *stream = connection->streams;

        nghttp2_session_set_stream_user_data(connection->session, stream->id, NULL);
        stream_free(stream, NGHTTP2_CANCEL);
    }
    loop_timer_stop(connection->options.loop, &connection->end);
    loop_remove(connection->options.loop, &connection->watch);
    nghttp2_session_del(connection->session);
    SSL_free(connection->tls);
    close(connection->watch.fd);
    free(connection->unsent);
}

static void fire_end(void *user)
{
    struct h2_connection *connection = user;

    release(connection);
    if (connection->options.events->ended != NULL)
        connection->options.events->ended(connection, connection->reason, connection->options.user);
    free(connection);
}

void h2_free(struct h2_connection *connection)
{
    if (connection == NULL)
        return;
    connection->is_ending = true;
    release(connection);
    free(connection);
}

void h2_close(struct h2_connection *connection, const char *reason)
{
    if (connection->is_ending)
        return;
    end(connection, reason); /* first, since a session without more to do is an end, too */
    (void)nghttp2_session_terminate_session(connection->session, NGHTTP2_NO_ERROR);
    h2_flush(connection);
}

/* ---- the start ---- */

static int make_session(struct h2_connection *connection)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int error = nghttp2_session_callbacks_new(&callbacks);

    if (error == 0)
        error = nghttp2_option_new(&option);
    if (error == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, take_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, take_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, take_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, take_close);
        nghttp2_session_callbacks_set_send_data_callback(callbacks, write_data);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, sent_frame);
        nghttp2_option_set_max_outbound_ack(option, 100);
        nghttp2_option_set_stream_reset_rate_limit(option, 100, 10);
        nghttp2_option_set_max_deflate_dynamic_table_size(option, 0); /* few headers, many peers */
        nghttp2_option_set_peer_max_concurrent_streams(option, H2_MAX_STREAMS);
        error =
            connection->options.is_server
                ? nghttp2_session_server_new2(&connection->session, callbacks, connection, option)
                : nghttp2_session_client_new2(&connection->session, callbacks, connection, option);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return error == 0 ? 0 : -ENOMEM;
}

static int make_tls(struct h2_connection *connection)
{
    SSL *tls = SSL_new(connection->options.tls);
    struct in6_addr address;

    if (tls == NULL || SSL_set_fd(tls, connection->watch.fd) != 1) {
        SSL_free(tls);
        return -ENOMEM;
    }
    connection->tls = tls;
    SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                          SSL_MODE_RELEASE_BUFFERS);
    if (connection->options.is_server) {
        SSL_set_accept_state(tls);
        return 0;
    }
    SSL_set_connect_state(tls);
    bool is_address = inet_pton(AF_INET, connection->host, &address) == 1 ||
                      inet_pton(AF_INET6, connection->host, &address) == 1;
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), connection->host) == 1 ? 0
                                                                                         : -EINVAL;
    return SSL_set1_host(tls, connection->host) == 1 &&
                   SSL_set_tlsext_host_name(tls, connection->host) == 1
               ? 0
               : -EINVAL;
}

static void set_keepalive(int fd)
{
    static const int on = 1, idle = 20, interval = 5, count = 3, unacknowledged_ms = 20000;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
}

static struct sockaddr_in6 find_peer(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6};
    socklen_t bytes = sizeof address;

    if (getpeername(fd, (struct sockaddr *)&address, &bytes) == 0) {
        struct endpoint endpoint = endpoint_from_socket((struct sockaddr *)&address);

        peer.sin6_addr = endpoint.address;
        peer.sin6_port = endpoint.port;
    }
    return peer;
}

int h2_open(struct h2_connection **connection, int fd, const struct h2_options *options)
{
    struct h2_connection *made = calloc(1, sizeof *made);
    int error = made != NULL ? 0 : -ENOMEM;

    if (error == 0) {
        *made = (struct h2_connection){.options = *options,
                                       .watch = {.fd = fd, .ready = handle, .user = made},
                                       .end = {.fire = fire_end, .user = made},
                                       .is_connecting = !options->is_server,
                                       .is_handshaking = true,
                                       .events = options->is_server ? EPOLLIN : EPOLLOUT,
                                       .began_ns = clock_monotonic_ns(),
                                       .frame_left = options->is_server ? PREFACE_BYTES : 0,
                                       .peer = find_peer(fd)};
        made->pinged_ns = made->began_ns - (options->is_server ? 0 : options->ping_ns);
        snprintf(made->host, sizeof made->host, "%s", options->host != NULL ? options->host : "");
        set_keepalive(fd);
        error = make_session(made);
    }
    if (error == 0 && options->tls != NULL)
        error = make_tls(made);
    if (error == 0)
        error = loop_add(options->loop, &made->watch, made->events);
    if (error != 0) {
        if (made != NULL) {
            nghttp2_session_del(made->session);
            SSL_free(made->tls);
        }
        free(made);
        close(fd);
        return error;
    }
    *connection = made;
    return 0;
}

/* Whether to send a PING, where none is on its way. */
static bool is_ping_due(const struct h2_connection *connection, int64_t now_ns)
{
    int64_t since_ping_ns = now_ns - connection->pinged_ns, ping_ns = connection->options.ping_ns;

    if (connection->options.is_server)
        return since_ping_ns >= PING_NS;
    return since_ping_ns >= ping_ns &&
           now_ns - connection->heard_ns >= (ping_ns < SILENCE_NS ? ping_ns : SILENCE_NS);
}

void h2_tick(struct h2_connection *connection, int64_t now_ns)
{
    if (connection->is_ending)
        return;
    if (!connection->is_settled) {
        if (now_ns - connection->began_ns >= START_NS)
            end(connection, "the peer says nothing");
        return;
    }
    if (now_ns - connection->heard_ns >= STALL_NS && is_half_way(connection))
        h2_close(connection, "the peer has stopped in the middle of a message");
    if (connection->is_ending)
        return;
    if (connection->is_pinging && now_ns - connection->pinged_ns >= PONG_NS) {
        h2_close(connection, "the peer does not answer");
    } else if (!connection->is_pinging && is_ping_due(connection, now_ns)) {
        connection->is_pinging = true;
        connection->pinged_ns = now_ns;
        (void)nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL);
        h2_flush(connection);
    }
}

struct sockaddr_in6 h2_peer(const struct h2_connection *connection)
{
    return connection->peer;
}

size_t h2_unsent(const struct h2_connection *connection)
{
    return connection->unsent_bytes - connection->unsent_done;
}

struct h2_stream *h2_request(struct h2_connection *connection, const char *path)
{
    nghttp2_nv headers[] = {
        pair(":method", "POST"),      pair(":scheme", connection->tls != NULL ? "https" : "http"),
        pair(":path", path),          pair(":authority", connection->host),
        pair("te", "trailers"),       pair("content-type", "application/grpc"),
        pair("user-agent", "paddock")};
    struct h2_stream *stream = connection->is_ending ? NULL : stream_new(connection, -1);

    if (stream == NULL)
        return NULL;
    const nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_queue};
    stream->id = nghttp2_submit_request(connection->session, NULL, headers,
                                        sizeof headers / sizeof headers[0], &body, stream);
    if (stream->id < 0) {
        stream_free(stream, NGHTTP2_INTERNAL_ERROR);
        return NULL;
    }
    return stream;
}

void h2_respond(struct h2_stream *stream)
{
    const nghttp2_nv headers[] = {pair(":status", "200"), pair("content-type", "application/grpc")};
    const nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_queue};

    stream->has_responded = true;
    (void)nghttp2_submit_response(stream->connection->session, stream->id, headers,
                                  sizeof headers / sizeof headers[0], &body);
}

int h2_send(struct h2_stream *stream, struct http_blob *blob)
{
    struct piece *piece = malloc(sizeof *piece);

    if (piece == NULL) {
        http_blob_unref(blob);
        return -ENOMEM;
    }
    *piece = (struct piece){.blob = blob};
    *stream->last = piece;
    stream->last = &piece->next;
    stream->queued += blob->bytes;
    (void)nghttp2_session_resume_data(stream->connection->session, stream->id);
    return 0;
}

/* A message in a header is percent-encoded (the protocol of gRPC over HTTP/2). */
static char *encode_message(const char *message)
{
    char *text = malloc(3 * strlen(message) + 1), *to = text;

    for (; text != NULL && *message != '\0'; message++) {
        unsigned char byte = (unsigned char)*message;

        if (byte >= ' ' && byte <= '~' && byte != '%')
            *to++ = (char)byte;
        else
            to += sprintf(to, "%%%02X", byte);
    }
    if (text != NULL)
        *to = '\0';
    return text;
}

void h2_finish(struct h2_stream *stream, unsigned status, const char *message)
{
    nghttp2_nv headers[4] = {pair(":status", "200"), pair("content-type", "application/grpc")};
    char number[12];

    if (stream->is_finishing)
        return;
    stream->is_finishing = true;
    stream->status = status;
    stream->message = message != NULL ? encode_message(message) : NULL;
    if (stream->has_responded) {
        (void)nghttp2_session_resume_data(stream->connection->session, stream->id);
        return;
    }
    size_t count = status_headers(stream, number, headers + 2);
    (void)nghttp2_submit_response(stream->connection->session, stream->id, headers, 2 + count,
                                  NULL);
}

void h2_reset(struct h2_stream *stream, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(stream->connection->session, NGHTTP2_FLAG_NONE, stream->id,
                                    code);
}

size_t h2_queued(const struct h2_stream *stream)
{
    return stream->queued;
}

void h2_set_half(struct h2_stream *stream, bool is_half)
{
    stream->is_half = is_half;
}

struct h2_connection *h2_connection_of(const struct h2_stream *stream)
{
    return stream->connection;
}

void *h2_user(const struct h2_stream *stream)
{
    return stream->user;
}

void h2_set_user(struct h2_stream *stream, void *user)
{
    stream->user = user;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/h2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "xds/h2_stream.h"
#include "xds/transport.h"

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

#define SERVER_WINDOW (1 << 20)
#define CLIENT_WINDOW (2 << 20)
#define CONNECTION_WINDOW (5 << 20)

struct h2_connection {
    struct h2_options options;
    struct loop_watch watch;
    struct loop_timer end;
    nghttp2_session *session;
    struct transport transport;
    char host[256];
    struct h2_stream *streams;
    uint8_t *batch; /* during h2_flush() */
    size_t batch_bytes;
    uint32_t events;
    bool is_settled, is_busy, is_ending, is_pinging;
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

static void end_if_failed(struct h2_connection *connection)
{
    if (connection->transport.failure != NULL)
        end(connection, connection->transport.failure);
}

static void watch_for(struct h2_connection *connection, uint32_t events)
{
    if (connection->events == events)
        return;
    connection->events = events;
    if (loop_change(connection->options.loop, &connection->watch, events) != 0)
        end(connection, "the loop is full");
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
    h2_stream_take(stream, connection->batch + connection->batch_bytes + FRAME_HEAD_BYTES, bytes);
    connection->batch_bytes += FRAME_HEAD_BYTES + bytes;
    return 0;
}

/* ---- what the session says ---- */

static void close_stream(struct h2_stream *stream, uint32_t code)
{
    const struct h2_events *events = stream->connection->options.events;

    if (events->closed != NULL && stream->user != NULL)
        events->closed(stream, code);
    h2_stream_free(stream);
}

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
        stream = h2_stream_new(connection, &connection->streams, session, frame->hd.stream_id);
        if (stream == NULL)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
    }
    return stream == NULL || h2_stream_begin_headers(stream) == 0
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* NOLINTNEXTLINE(readability-function-size): the library's interface */
static int take_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                       size_t name_bytes, const uint8_t *value, size_t value_bytes, uint8_t flags,
                       void *user)
{
    struct h2_stream *stream = find(session, frame->hd.stream_id);

    (void)flags;
    (void)user;
    return stream == NULL ||
                   h2_stream_take_header(stream, name, name_bytes, value, value_bytes) == 0
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
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
        close_stream(stream, code);
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

void h2_flush(struct h2_connection *connection)
{
    uint8_t batch[WRITE_BYTES];
    const uint8_t *data;
    bool is_done = false;

    /* Within a callback the session must not be asked; who called it flushes afterwards. */
    if (connection->is_busy || !connection->transport.is_open)
        return;
    connection->is_busy = true;
    connection->batch = batch;
    while (!is_done && transport_flush(&connection->transport)) {
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
        transport_write(&connection->transport, batch, connection->batch_bytes);
    }
    end_if_failed(connection);
    connection->batch = NULL;
    connection->is_busy = false;
    if (!connection->is_ending && nghttp2_session_want_read(connection->session) == 0 &&
        nghttp2_session_want_write(connection->session) == 0)
        end(connection, "the connection is over");
    watch_for(connection, EPOLLIN | (h2_unsent(connection) > 0 ? (uint32_t)EPOLLOUT : 0));
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
        size_t got = transport_read(&connection->transport, data, sizeof data);

        end_if_failed(connection);
        if (got == 0)
            break;
        connection->heard_ns = clock_monotonic_ns();
        follow_frames(connection, data, got);
        ssize_t used = nghttp2_session_mem_recv(connection->session, data, got);
        if (used < 0)
            end(connection, nghttp2_strerror((int)used));
        if (got < sizeof data && connection->options.tls == NULL)
            break;
    }
    connection->is_busy = false;
}

static int begin_session(struct h2_connection *connection)
{
    bool is_server = connection->options.is_server;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, is_server ? SERVER_WINDOW : CLIENT_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADER_BLOCK_BYTES},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_MAX_STREAMS}};
    size_t count = sizeof settings / sizeof settings[0];
    int error = nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings, count);

    if (error == 0)
        error = nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                                      CONNECTION_WINDOW);
    return error;
}

static void handle(uint32_t events, void *user)
{
    struct h2_connection *connection = user;

    if (connection->is_ending)
        return;
    if (!connection->transport.is_open) {
        uint32_t awaited = transport_advance(&connection->transport);

        end_if_failed(connection);
        if (awaited != 0)
            watch_for(connection, awaited);
        else if (!connection->is_ending && begin_session(connection) != 0)
            end(connection, "out of memory");
        if (awaited != 0 || connection->is_ending)
            return;
    }
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
        close_stream(stream, NGHTTP2_CANCEL);
    }
    loop_timer_stop(connection->options.loop, &connection->end);
    loop_remove(connection->options.loop, &connection->watch);
    nghttp2_session_del(connection->session);
    transport_close(&connection->transport);
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

int h2_open(struct h2_connection **connection, int fd, const struct h2_options *options)
{
    bool is_server = options->is_server;
    struct h2_connection *made = calloc(1, sizeof *made);

    if (made == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *made = (struct h2_connection){.options = *options,
                                   .watch = {.fd = fd, .ready = handle, .user = made},
                                   .end = {.fire = fire_end, .user = made},
                                   .events = is_server ? EPOLLIN : EPOLLOUT,
                                   .began_ns = clock_monotonic_ns(),
                                   .frame_left = is_server ? PREFACE_BYTES : 0};
    made->pinged_ns = made->began_ns - (is_server ? 0 : options->ping_ns);
    snprintf(made->host, sizeof made->host, "%s", options->host != NULL ? options->host : "");
    int error = transport_open(&made->transport, fd, is_server, options->tls, made->host);
    if (error == 0)
        error = make_session(made);
    if (error == 0)
        error = loop_add(options->loop, &made->watch, made->events);
    if (error != 0) {
        nghttp2_session_del(made->session);
        transport_close(&made->transport);
        free(made);
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
    return connection->transport.peer;
}

size_t h2_unsent(const struct h2_connection *connection)
{
    return transport_unsent(&connection->transport);
}

struct h2_stream *h2_request(struct h2_connection *connection, const char *path)
{
    const char *scheme = connection->options.tls != NULL ? "https" : "http";
    struct h2_stream *stream =
        connection->is_ending
            ? NULL
            : h2_stream_new(connection, &connection->streams, connection->session, -1);

    if (stream != NULL && h2_stream_request(stream, scheme, connection->host, path) != 0) {
        h2_stream_free(stream);
        stream = NULL;
    }
    return stream;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/grpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "xds/h2_stream.h"

#define PREFIX_BYTES 5
#define FIRST_ROOM 4096
#define H2_CANCEL 8

struct grpc_call {
    struct h2_stream *stream;
    const struct grpc_events *events;
    void *user;
    struct grpc_memory *memory;
    size_t most; /* of one message */
    bool is_server, is_answered, is_finished;
    uint8_t prefix[PREFIX_BYTES];
    size_t prefix_bytes;
    uint8_t *body; /* of the message under way */
    size_t wanted, got, room;
    enum grpc_status status; /* as it is told at the end */
    char message[256];
};

static struct grpc_call *call_new(struct h2_stream *stream, const struct grpc_events *events)
{
    struct grpc_call *call = calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    call->stream = stream;
    call->events = events;
    call->status = GRPC_UNAVAILABLE;
    snprintf(call->message, sizeof call->message, "the stream ended without a status");
    stream->user = call;
    return call;
}

static void drop_body(struct grpc_call *call)
{
    free(call->body);
    if (call->memory != NULL)
        call->memory->used -= call->room;
    call->body = NULL;
    call->room = call->got = call->prefix_bytes = 0;
}

void grpc_finish(struct grpc_call *call, enum grpc_status status, const char *message)
{
    if (call->is_finished)
        return;
    call->is_finished = true;
    call->status = status;
    snprintf(call->message, sizeof call->message, "%s", message);
    if (call->is_server)
        h2_finish(call->stream, status, message);
    else
        h2_reset(call->stream, H2_CANCEL);
    h2_flush(call->stream->connection);
}

/* Room grows with what has come, not with what was announced. */
static bool make_room(struct grpc_call *call)
{
    size_t room = call->room > 0 ? call->room * 2 : FIRST_ROOM;

    room = room > call->wanted ? call->wanted : room;
    if (call->memory->most - call->memory->used < room - call->room)
        return false;
    uint8_t *body = realloc(call->body, room > 0 ? room : 1);
    if (body == NULL)
        return false;
    call->memory->used += room - call->room;
    call->body = body;
    call->room = room;
    return true;
}

static void begin_message(struct grpc_call *call)
{
    const uint8_t *prefix = call->prefix;
    char text[96];

    call->wanted = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
                   (size_t)prefix[4];
    if (prefix[0] != 0) {
        grpc_finish(call, GRPC_INTERNAL, "compressed messages are not taken");
    } else if (call->wanted > call->most) {
        snprintf(text, sizeof text, "a message of %zu bytes is longer than %zu", call->wanted,
                 call->most);
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, text);
    }
}

static void take_messages(struct grpc_call *call, const uint8_t *data, size_t bytes)
{
    while (!call->is_finished) {
        if (call->prefix_bytes < PREFIX_BYTES) {
            if (bytes == 0)
                return;
            call->prefix[call->prefix_bytes++] = *data++;
            bytes--;
            if (call->prefix_bytes == PREFIX_BYTES)
                begin_message(call);
            continue;
        }
        if (call->got < call->wanted && bytes == 0)
            return;
        if (call->got == call->room && call->got < call->wanted && !make_room(call)) {
            grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, "too many messages are under way");
            return;
        }
        size_t take = call->wanted - call->got;
        take = take < bytes ? take : bytes;
        take = take < call->room - call->got ? take : call->room - call->got;
        if (take > 0)
            memcpy(call->body + call->got, data, take);
        call->got += take;
        data += take;
        bytes -= take;
        if (call->got == call->wanted) {
            static const uint8_t nothing[1];

            call->events->message(call, call->body != NULL ? call->body : nothing, call->got);
            drop_body(call);
        }
    }
}

static void take_data(struct h2_stream *stream, const uint8_t *data, size_t bytes)
{
    struct grpc_call *call = stream->user;

    take_messages(call, data, bytes);
    stream->is_half = call->prefix_bytes > 0 && !call->is_finished;
}

static void take_close(struct h2_stream *stream, uint32_t code)
{
    struct grpc_call *call = stream->user;
    enum grpc_status status = call->status;

    (void)code;
    drop_body(call);
    call->is_finished = true;
    call->events->closed(call, status, call->message);
    free(call);
}

/* ---- a server ---- */

static void take_request(struct h2_stream *stream, const struct h2_headers *headers, void *user)
{
    const struct grpc_server *server = user;
    const struct grpc_method *method = server->methods;

    if (strcmp(headers->method, "POST") != 0 ||
        strncmp(headers->content_type, "application/grpc", 16) != 0) {
        h2_finish(stream, GRPC_INVALID_ARGUMENT, "a request is a POST of application/grpc");
        return;
    }
    while (method->path != NULL && strcmp(method->path, headers->path) != 0)
        method++;
    if (method->path == NULL) {
        h2_finish(stream, GRPC_UNIMPLEMENTED, "no such method here");
        return;
    }
    if (headers->grpc_encoding[0] != '\0' && strcmp(headers->grpc_encoding, "identity") != 0) {
        h2_finish(stream, GRPC_UNIMPLEMENTED, "compressed messages are not taken");
        return;
    }
    struct grpc_call *call = call_new(stream, method->events);
    if (call == NULL) {
        h2_finish(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    call->is_server = true;
    call->most = server->message_bytes;
    call->memory = server->memory;
    method->called(call, headers, server->user);
    if (!call->is_finished)
        h2_respond(stream); /* at once: a client waits for it 5 s, whether or not there is data */
}

/* A client that half-closes is gone, as far as these methods go. */
static void end_request(struct h2_stream *stream)
{
    struct grpc_call *call = stream->user;

    grpc_finish(call, GRPC_OK, "");
}

static void server_ended(struct h2_connection *connection, const char *reason, void *user)
{
    const struct grpc_server *server = user;

    (void)reason;
    server->ended(connection, server->owner);
}

const struct h2_events grpc_server_events = {.request = take_request,
                                             .data = take_data,
                                             .finished = end_request,
                                             .closed = take_close,
                                             .ended = server_ended};

/* ---- a client ---- */

struct grpc_call *grpc_call(struct h2_connection *connection, const char *path,
                            const struct grpc_events *events, const struct grpc_client *client,
                            void *user)
{
    struct h2_stream *stream = h2_request(connection, path);
    struct grpc_call *call = stream != NULL ? call_new(stream, events) : NULL;

    if (stream != NULL && call == NULL)
        h2_reset(stream, H2_CANCEL);
    if (call == NULL)
        return NULL;
    call->user = user;
    call->most = client->message_bytes;
    call->memory = client->memory;
    return call;
}

static void note_status(struct grpc_call *call, const struct h2_headers *headers)
{
    uint64_t status;

    if (number_parse(headers->grpc_status, 0, 16, &status) != 0)
        return;
    call->status = (enum grpc_status)status;
    snprintf(call->message, sizeof call->message, "%s", headers->grpc_message);
}

static void take_response(struct h2_stream *stream, const struct h2_headers *headers)
{
    struct grpc_call *call = stream->user;

    if (headers->grpc_status[0] != '\0') {
        note_status(call, headers);
        return;
    }
    if (call->is_answered || headers->status[0] == '1')
        return;
    if (strcmp(headers->status, "200") != 0 ||
        strncmp(headers->content_type, "application/grpc", 16) != 0)
        grpc_finish(call, GRPC_UNKNOWN, "the server does not speak gRPC");
    call->is_answered = true;
}

/* The server has said its last word; what this end would have said does not matter. */
static void end_response(struct h2_stream *stream)
{
    h2_reset(stream, H2_CANCEL);
}

static void client_ready(struct h2_connection *connection, void *user)
{
    const struct grpc_client *client = user;

    (void)connection;
    client->ready(client->user);
}

static void client_ended(struct h2_connection *connection, const char *reason, void *user)
{
    const struct grpc_client *client = user;

    (void)connection;
    client->ended(reason, client->user);
}

const struct h2_events grpc_client_events = {.ready = client_ready,
                                             .response = take_response,
                                             .data = take_data,
                                             .finished = end_response,
                                             .closed = take_close,
                                             .ended = client_ended};

bool grpc_is_answered(const struct grpc_call *call)
{
    return call->is_answered;
}

/* ---- both ---- */

static struct http_blob *make_prefix(size_t bytes)
{
    uint8_t *data = malloc(PREFIX_BYTES);

    if (data == NULL)
        return NULL;
    data[0] = 0;
    data[1] = (uint8_t)(bytes >> 24);
    data[2] = (uint8_t)(bytes >> 16);
    data[3] = (uint8_t)(bytes >> 8);
    data[4] = (uint8_t)bytes;
    return http_blob_new((char *)data, PREFIX_BYTES);
}

int grpc_send(struct grpc_call *call, struct http_blob *const *pieces, size_t count)
{
    size_t bytes = 0, i = 0;
    int error;

    for (; i < count; i++)
        bytes += pieces[i]->bytes;
    struct http_blob *prefix = make_prefix(bytes);
    error = prefix != NULL ? h2_send(call->stream, prefix) : -ENOMEM;
    for (i = 0; i < count && error == 0; i++)
        error = h2_send(call->stream, pieces[i]);
    for (; i < count; i++)
        http_blob_unref(pieces[i]);
    if (error != 0) /* half a message is worse than none */
        h2_reset(call->stream, H2_CANCEL);
    return error;
}

void grpc_flush(struct grpc_call *call)
{
    h2_flush(call->stream->connection);
}

size_t grpc_queued(const struct grpc_call *call)
{
    return call->stream->queued;
}

struct h2_connection *grpc_connection(const struct grpc_call *call)
{
    return call->stream->connection;
}

void *grpc_user(const struct grpc_call *call)
{
    return call->user;
}

void grpc_set_user(struct grpc_call *call, void *user)
{
    call->user = user;
}

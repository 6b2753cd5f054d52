/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/h2_stream.h"

#include <assert.h>
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct h2_piece {
    struct h2_piece *next;
    struct http_blob *blob;
    size_t sent;
};

struct h2_stream *h2_stream_new(struct h2_connection *connection, struct h2_stream **list,
                                struct nghttp2_session *session, int32_t id)
{
    struct h2_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL)
        return NULL;
    *stream = (struct h2_stream){
        .connection = connection, .session = session, .id = id, .next = *list, .place = list};
    stream->last = &stream->first;
    if (stream->next != NULL)
        stream->next->place = &stream->next;
    *list = stream;
    return stream;
}

static void drop_piece(struct h2_stream *stream)
{
    struct h2_piece *piece = stream->first;

    stream->first = piece->next;
    if (stream->first == NULL)
        stream->last = &stream->first;
    http_blob_unref(piece->blob);
    free(piece);
}

void h2_stream_free(struct h2_stream *stream)
{
    *stream->place = stream->next;
    if (stream->next != NULL)
        stream->next->place = stream->place;
    while (stream->first != NULL)
        drop_piece(stream);
    free(stream->headers);
    free(stream->message);
    free(stream);
}

int h2_stream_begin_headers(struct h2_stream *stream)
{
    free(stream->headers);
    stream->headers = calloc(1, sizeof *stream->headers);
    stream->header_bytes = 0;
    return stream->headers != NULL ? 0 : -ENOMEM;
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

int h2_stream_take_header(struct h2_stream *stream, const uint8_t *name, size_t name_bytes,
                          const uint8_t *value, size_t value_bytes)
{
    if (stream->headers == NULL)
        return 0;
    stream->header_bytes += name_bytes + value_bytes + 32;
    if (stream->header_bytes > H2_HEADER_BLOCK_BYTES)
        return -E2BIG;
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

void h2_stream_take(struct h2_stream *stream, uint8_t *to, size_t bytes)
{
    stream->queued -= bytes;
    while (bytes > 0) {
        struct h2_piece *piece = stream->first;
        assert(piece != NULL);
        size_t left = piece->blob->bytes - piece->sent, taken = left < bytes ? left : bytes;

        memcpy(to, piece->blob->data + piece->sent, taken);
        to += taken;
        bytes -= taken;
        piece->sent += taken;
        if (taken == left)
            drop_piece(stream);
    }
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

int h2_stream_request(struct h2_stream *stream, const char *scheme, const char *authority,
                      const char *path)
{
    const nghttp2_nv headers[] = {
        pair(":method", "POST"),      pair(":scheme", scheme),
        pair(":path", path),          pair(":authority", authority),
        pair("te", "trailers"),       pair("content-type", "application/grpc"),
        pair("user-agent", "paddock")};
    const nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_queue};

    stream->id = nghttp2_submit_request(stream->session, NULL, headers,
                                        sizeof headers / sizeof headers[0], &body, stream);
    return stream->id < 0 ? -ENOMEM : 0;
}

void h2_respond(struct h2_stream *stream)
{
    const nghttp2_nv headers[] = {pair(":status", "200"), pair("content-type", "application/grpc")};
    const nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_queue};

    stream->has_responded = true;
    (void)nghttp2_submit_response(stream->session, stream->id, headers,
                                  sizeof headers / sizeof headers[0], &body);
}

int h2_send(struct h2_stream *stream, struct http_blob *blob)
{
    struct h2_piece *piece = malloc(sizeof *piece);

    if (piece == NULL) {
        http_blob_unref(blob);
        return -ENOMEM;
    }
    *piece = (struct h2_piece){.blob = blob};
    *stream->last = piece;
    stream->last = &piece->next;
    stream->queued += blob->bytes;
    (void)nghttp2_session_resume_data(stream->session, stream->id);
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
        (void)nghttp2_session_resume_data(stream->session, stream->id);
        return;
    }
    size_t count = status_headers(stream, number, headers + 2);
    (void)nghttp2_submit_response(stream->session, stream->id, headers, 2 + count, NULL);
}

void h2_reset(struct h2_stream *stream, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(stream->session, NGHTTP2_FLAG_NONE, stream->id, code);
}

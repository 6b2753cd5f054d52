/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * One stream of a connection of HTTP/2 (xds/h2.h): the headers of gRPC both ways, and what waits to
 * be sent. Its owner heard of it by struct h2_events, or has asked for it by h2_request().
 */
#ifndef PADDOCK_XDS_H2_STREAM_H
#define PADDOCK_XDS_H2_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/blob.h"

/** The most bytes of one block of headers, each name and value with 32 more. */
#define H2_HEADER_BLOCK_BYTES 16384

/** Headers of one block that are looked at; "" where one did not come. A longer one than its member
 * is as if it had not come. */
struct h2_headers {
    char method[8], path[128], status[4];
    char content_type[64], grpc_encoding[16], grpc_status[12], grpc_message[256];
    char forwarded[256], forwarded_for[256], envoy_address[64]; /**< of who came by a proxy */
};

struct h2_connection;
struct h2_piece;
struct nghttp2_session;

/** A stream. Its owner reads the first members, and changes what is the owner's. */
struct h2_stream {
    struct h2_connection *connection;
    size_t queued; /**< how much of what was sent is still here, in bytes */
    void *user;    /**< the owner's; without it the stream has no events but its request */
    bool is_half;  /**< the owner's: it waits for the rest of something */

    struct nghttp2_session *session;
    struct h2_stream *next, **place; /* in the connection's list */
    int32_t id;
    struct h2_headers *headers; /* of the block under way */
    size_t header_bytes;
    struct h2_piece *first, **last;
    bool has_responded, is_finishing;
    unsigned status;
    char *message;
};

/** Answers a request with status 200 and the headers of gRPC. */
void h2_respond(struct h2_stream *stream);

/** Adds to what a stream sends. @param blob its reference is taken over. @return 0 or -ENOMEM. */
int h2_send(struct h2_stream *stream, struct http_blob *blob);

/** Ends a server's stream, behind what was sent, with the trailers of gRPC; without h2_respond()
 * before, they are the response. @param message borrowed. */
void h2_finish(struct h2_stream *stream, unsigned status, const char *message);

/** Ends a stream at once. @param code of HTTP/2. */
void h2_reset(struct h2_stream *stream, uint32_t code);

/* What follows is for the connection. */

/** Adds a stream to a connection's list.
 * @param id of the session, or negative: h2_stream_request() gives it one.
 * @return NULL without memory; freed with h2_stream_free(). */
struct h2_stream *h2_stream_new(struct h2_connection *connection, struct h2_stream **list,
                                struct nghttp2_session *session, int32_t id);

/** Takes it off the list. Its session must not use it any more. */
void h2_stream_free(struct h2_stream *stream);

/** Sends a POST of gRPC. @return 0 or -ENOMEM. */
int h2_stream_request(struct h2_stream *stream, const char *scheme, const char *authority,
                      const char *path);

/** Begins a block of headers that comes in; `headers` is it, until the connection frees it.
 * @return 0 or -ENOMEM. */
int h2_stream_begin_headers(struct h2_stream *stream);

/** Takes a header of the block; the first of several of one name counts.
 * @return 0, or -E2BIG where the block has become too long. */
int h2_stream_take_header(struct h2_stream *stream, const uint8_t *name, size_t name_bytes,
                          const uint8_t *value, size_t value_bytes);

/** Moves the oldest bytes that wait to be sent. @param bytes at most `queued`. */
void h2_stream_take(struct h2_stream *stream, uint8_t *to, size_t bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * HTTP/2 on a loop, as a client and as a server, in the clear or over TLS. Prior knowledge, or ALPN
 * `h2`. Nothing blocks; what a peer may cost is bounded: header bytes, streams, control frames that
 * ask for answers, and reading from one connection in one turn.
 *
 * No function frees a connection or a stream while its owner uses it: what goes wrong is noted, and
 * told at the end of the loop's turn.
 */
#ifndef PADDOCK_XDS_H2_H
#define PADDOCK_XDS_H2_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/blob.h"
#include "loop/loop.h"

/** Headers of one block that are looked at; "" where one did not come. A longer one than its member
 * is as if it had not come. */
struct h2_headers {
    char method[8], path[128], status[4];
    char content_type[64], grpc_encoding[16], grpc_status[12], grpc_message[256];
    char forwarded[256], forwarded_for[256], envoy_address[64]; /**< of who came by a proxy */
};

struct h2_connection;
struct h2_stream;

/** What an owner hears. Each may be NULL. The owner may call any function of a stream or connection
 * from any of them, and must not use either after its last event. */
struct h2_events {
    /** The peer has answered: a client's connection can have streams. */
    void (*ready)(struct h2_connection *connection, void *user);
    /** A server's new stream. */
    void (*request)(struct h2_stream *stream, const struct h2_headers *headers, void *user);
    /** A client's response, or its trailers. */
    void (*response)(struct h2_stream *stream, const struct h2_headers *headers);
    void (*data)(struct h2_stream *stream, const uint8_t *data, size_t bytes);
    /** The peer sends no more on it. */
    void (*finished)(struct h2_stream *stream);
    /** The last of a stream. @param code of HTTP/2. */
    void (*closed)(struct h2_stream *stream, uint32_t code);
    /** The last of a connection, behind that of its streams. @param reason a few words. */
    void (*ended)(struct h2_connection *connection, const char *reason, void *user);
};

struct h2_options {
    struct loop *loop;
    const struct h2_events *events; /**< borrowed, as long as there are connections */
    void *user;
    bool is_server;
    SSL_CTX *tls;     /**< NULL: in the clear */
    const char *host; /**< of a client: whom the certificate must name; ":authority" */
    int64_t ping_ns;  /**< of a client: the least time between two PINGs, above 0 */
};

/** The most streams that a client of ours may have at a time on one connection. */
#define H2_MAX_STREAMS 16

/** Begins a connection on a socket.
 * @param fd non-blocking; of a client it may still be connecting. Taken over, also on failure.
 * @param[out] connection untouched on failure.
 * @return 0 or a negative errno value. */
int h2_open(struct h2_connection **connection, int fd, const struct h2_options *options);

/** Ends it at the end of the turn, after a GOAWAY where that can be sent. More calls do nothing. */
void h2_close(struct h2_connection *connection, const char *reason);

/** Frees it at once; its owner hears of its streams, but not of itself. */
void h2_free(struct h2_connection *connection);

/** Looks at its times, each second: a client or a server that says nothing for 5 s at the start,
 * or for 10 s in the middle of a frame or of what its owner waits for, or that does not answer a
 * PING within 5 s. A client is sent one every 20 s. A server is sent one when it has said nothing
 * for 30 s, or ping_ns if that is less, but not within ping_ns of the one before: servers of gRPC
 * end a connection with more than one in 5 minutes, and those that send PINGs are never silent.
 * @param now_ns monotonic. */
void h2_tick(struct h2_connection *connection, int64_t now_ns);

/** Sends what is to be sent, as far as the socket takes it; the rest follows by itself. */
void h2_flush(struct h2_connection *connection);

/** The peer's address; v4-mapped for IPv4. */
struct sockaddr_in6 h2_peer(const struct h2_connection *connection);

/** What it holds for a peer that does not read, in bytes. */
size_t h2_unsent(const struct h2_connection *connection);

/** Opens a stream of a client with a POST of gRPC.
 * @return NULL without memory or where the connection ends. */
struct h2_stream *h2_request(struct h2_connection *connection, const char *path);

/** Answers a request with status 200 and the headers of gRPC. */
void h2_respond(struct h2_stream *stream);

/** Adds to what a stream sends. @param blob its reference is taken over. @return 0 or -ENOMEM. */
int h2_send(struct h2_stream *stream, struct http_blob *blob);

/** Ends a server's stream, behind what was sent, with the trailers of gRPC; without h2_respond()
 * before, they are the response. @param message borrowed. */
void h2_finish(struct h2_stream *stream, unsigned status, const char *message);

/** Ends a stream at once. @param code of HTTP/2. */
void h2_reset(struct h2_stream *stream, uint32_t code);

/** How much of what was sent is still here, in bytes. */
size_t h2_queued(const struct h2_stream *stream);

/** Notes whether the owner waits for the rest of something. */
void h2_set_half(struct h2_stream *stream, bool is_half);

struct h2_connection *h2_connection_of(const struct h2_stream *stream);

/** What the owner has of a stream. */
void *h2_user(const struct h2_stream *stream);
void h2_set_user(struct h2_stream *stream, void *user);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * gRPC over HTTP/2: messages, status, and the time that a client waits for the first sign of its
 * server. Bidirectional streams alone. Messages are never compressed.
 */
#ifndef PADDOCK_XDS_GRPC_H
#define PADDOCK_XDS_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/blob.h"
#include "xds/h2.h"

/** Codes of gRPC's status. */
enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14
};

/** One stream, of either end. */
struct grpc_call;

/** What its owner hears. */
struct grpc_events {
    /** A whole message, borrowed during the call. */
    void (*message)(struct grpc_call *call, const uint8_t *data, size_t bytes);
    /** The last: the call is gone when this returns.
     * @param status the peer's, or what this end makes of a broken stream.
     * @param message for people, borrowed. */
    void (*closed)(struct grpc_call *call, enum grpc_status status, const char *message);
};

/** What messages under way may take in all. */
struct grpc_memory {
    size_t used, most;
};

/** A method of a server. */
struct grpc_method {
    const char *path; /**< "/SERVICE/METHOD" */
    const struct grpc_events *events;
    /** A client calls it. grpc_set_user() with something, or grpc_finish(). */
    void (*called)(struct grpc_call *call, const struct h2_headers *headers, void *user);
};

/** What a server answers to, in its owner's memory. */
struct grpc_server {
    const struct grpc_method *methods; /**< ended by one without a path */
    void *user;                        /**< of the methods */
    size_t message_bytes;              /**< the most of one message */
    struct grpc_memory *memory;
    /** A connection ended. */
    void (*ended)(struct h2_connection *connection, void *owner);
    void *owner;
};

/** The events of a server's connections, whose user is a struct grpc_server. */
extern const struct h2_events grpc_server_events;

/** A client's connection, in its owner's memory. */
struct grpc_client {
    void (*ready)(void *user);
    void (*ended)(const char *reason, void *user);
    void *user;
    size_t message_bytes;
    struct grpc_memory *memory;
};

/** The events of a client's connection, whose user is a struct grpc_client. */
extern const struct h2_events grpc_client_events;

/** Calls a method. @return NULL without memory, or where the connection ends. */
struct grpc_call *grpc_call(struct h2_connection *connection, const char *path,
                            const struct grpc_events *events, const struct grpc_client *client,
                            void *user);

/** Whether the server's headers have come; from then on a client is served. */
bool grpc_is_answered(const struct grpc_call *call);

/** Puts a message in line: what pieces hold, one behind the other. They go with grpc_flush().
 * @param pieces their references are taken over, also on failure.
 * @return 0 or -ENOMEM: the stream is of no use any more, and ends by itself. */
int grpc_send(struct grpc_call *call, struct http_blob *const *pieces, size_t count);

/** Sends what stands in line. */
void grpc_flush(struct grpc_call *call);

/** Bytes of messages that have not left yet. */
size_t grpc_queued(const struct grpc_call *call);

/** Ends a call: a server's with a status, a client's by a reset, after which it is closed with this
 * status at its own end. */
void grpc_finish(struct grpc_call *call, enum grpc_status status, const char *message);

struct h2_connection *grpc_connection(const struct grpc_call *call);
void *grpc_user(const struct grpc_call *call);
void grpc_set_user(struct grpc_call *call, void *user);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * An HTTP server with routes that are given, for GET and HEAD.
 *
 * One thread of its own serves all connections. A connection carries one request and has one
 * deadline for all of it, from its arrival to the last byte of the answer. When there are as many
 * connections as there may be, in all or from one address, a new one takes the place of the oldest.
 * A request that is whole is answered at once, so the oldest are those that are not whole, or whose
 * answers are not read: strangers who hold connections open cannot keep others out. Several servers
 * may run in one process.
 */
#ifndef PADDOCK_HTTP_SERVER_H
#define PADDOCK_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/error.h"
#include "http/blob.h"

#define HTTP_CONNECTIONS 256
#define HTTP_DEADLINE_MS 10000
#define HTTP_HEADER_BYTES 32768
#define HTTP_LARGE_REPLIES 8
#define HTTP_ADDRESSES 16

/** A reply with more bytes is large. */
#define HTTP_LARGE_BYTES 262144

/** A request, valid as long as its handler runs. */
struct http_request {
    const char *method;
    const char *path; /**< without query, scheme and host; decoded */
    const struct sockaddr
        *peer;           /**< AF_INET or AF_INET6; the latter's IPv4 addresses are v4-mapped */
    const char *query;   /**< for http_request_query() */
    const char *headers; /**< for http_request_header() */
};

/** The value of a header, by its name in any case; NULL = there is none. */
const char *http_request_header(const struct http_request *request, const char *name);

/** The percent-decoded value of a key in the query; NULL = there is none, or it has no `=`. */
const char *http_request_query(const struct http_request *request, const char *key);

/** Goes on to the next key of the query that has a value.
 * @param key NULL, or what the call before returned.
 * @param[in,out] value of the key; as the call before left it.
 * @return NULL behind the last. */
const char *http_request_next(const struct http_request *request, const char *key,
                              const char **value);

/** What a handler fills. Its texts are borrowed until the handler returns and a little longer: they
 * are static, or the user's. */
struct http_reply {
    unsigned status;  /**< 200 unless it is changed */
    const char *type; /**< Content-Type; "text/plain; charset=utf-8" unless it is changed */
    FILE *out;        /**< where the body may be written */
    /** The body in place of what was written; the handler's reference goes to the server. Its ETag
     * is sent, and 304 to a client that has it. NULL: none. */
    struct http_blob *blob;
    const char *cache_control; /**< NULL: no such header */
    const char *allow_origin;  /**< Access-Control-Allow-Origin; the server's own */
    const char *allow;         /**< methods; the server's own */
    unsigned retry_after_s;    /**< 0: no such header */
};

/**
 * Answers GET and HEAD (a body is ignored), from the server's thread: nobody else is served
 * meanwhile, so it must be quick, and safe beside the threads whose state it reads.
 * @return 0, or a negative errno value for a 500 in place of what was written.
 */
typedef int http_answer_fn(const struct http_request *request, struct http_reply *reply,
                           void *user);

/** A path that is served. */
struct http_route {
    const char *path;
    http_answer_fn *answer;
};

/** What strangers may take. Zeros stand for the defaults. */
struct http_limits {
    unsigned connections;   /**< the most at a time; 0 = #HTTP_CONNECTIONS; never more than half of
                               the descriptors that the process may have */
    unsigned per_address;   /**< the most of one address; 0 = as many as there may be in all */
    unsigned deadline_ms;   /**< a connection's; 0 = #HTTP_DEADLINE_MS */
    unsigned header_bytes;  /**< those of a request before its body, or 431 is the answer; 0 =
                               #HTTP_HEADER_BYTES */
    unsigned large_replies; /**< the most under way at a time, beyond which 503 is the answer; 0 =
                               #HTTP_LARGE_REPLIES */
};

/** How a server serves. */
struct http_options {
    const char *name;                /**< the thread's, at most 15 bytes; must outlive the server */
    const struct http_route *routes; /**< ended by a NULL path; must outlive the server */
    struct http_limits limits;
    void (*began)(void *user); /**< called first in the thread; may be NULL */
    /** Whether a request is to be answered now; otherwise 429 is the answer. Called for every one
     * that is well-formed, as its handler is. NULL: all are. */
    bool (*admits)(const struct http_request *request, void *user);
    /** Whose web pages may read the reply to a well-formed request, whatever its status
     * (Access-Control-Allow-Origin); NULL: none's, and 405 to a browser that asks first
     * (preflight). Called as a handler is; the text is borrowed as those of a reply. NULL: none's.
     */
    const char *(*allow_origin)(const struct http_request *request, void *user);
    void *user; /**< for the handlers, and the three before; must outlive the server */
};

struct http_server;

/** Makes a server that does not listen yet.
 * @param[out] server allocated; untouched on failure. Ended with http_server_stop().
 * @return 0 or a negative errno value. */
int http_server_new(struct http_server **server, const struct http_options *options);

/**
 * Listens on one more address, before http_server_start(). Who connects waits until then.
 * @param address AF_INET or AF_INET6; port 0 takes a free one; :: is for IPv4 as well, and is
 * 0.0.0.0 where the host has no IPv6. Borrowed by the call.
 * @param[out] error NULL is fine. -EADDRINUSE when another process has the port, -EAFNOSUPPORT for
 * another family of addresses, -E2BIG beyond #HTTP_ADDRESSES.
 * @return 0 or the code of @p error.
 */
int http_server_listen(struct http_server *server, const struct sockaddr *address,
                       struct error *error);

/** Starts the thread, which takes no signals. @return 0 or a negative errno value. */
int http_server_start(struct http_server *server);

/** The port of the first address, host order. */
uint16_t http_server_port(const struct http_server *server);

/** Drops all connections, ends the thread where it has started, closes and frees. Blocks until that
 * is done; a handler that runs is waited for. NULL is fine. */
void http_server_stop(struct http_server *server);

#endif

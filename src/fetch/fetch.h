/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * HTTP requests under way on a loop, by libcurl: http and https, without blocking, any number at a
 * time. Connections are kept for the next request. The environment's proxies are not used.
 *
 * Used by the thread that turns the loop.
 */
#ifndef PADDOCK_FETCH_FETCH_H
#define PADDOCK_FETCH_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "loop/loop.h"

/** Carries requests. */
struct fetcher;

/** One request under way. */
struct fetch;

/** A text of so many bytes; zeroed: none. */
struct fetch_text {
    const char *data;
    size_t bytes;
};

/** How an https server is known, and this client by it. All texts are PEM. */
struct fetch_tls {
    struct fetch_text authorities; /**< none: those of the system */
    struct fetch_text certificate, key;
    bool is_unverified; /**< any server will do */
};

/** What became of a request. */
struct fetch_result {
    unsigned status;      /**< the response's, as of HTTP; 0: no response came */
    const char *error;    /**< for people; NULL: the whole response has come */
    int64_t retry_ns;     /**< how long the server asks to wait; 0: it does not say */
    bool is_out_of_time;  /**< one of the limits of time ended it */
    bool is_memory_short; /**< no memory for it */
};

/** A request. All is borrowed during fetch_start() alone, save @p user. */
struct fetch_request {
    const char *url;
    const char *connect_to;     /**< `::HOST:PORT`, in place of what the URL says; NULL: by that */
    const char *method;         /**< NULL: GET */
    const char *const *headers; /**< `Name: value`, ended by NULL; may be NULL */
    struct fetch_text body;     /**< copied */
    struct fetch_tls tls;       /**< copied */
    unsigned redirects;         /**< how many are followed, to https where the URL is https */
    int64_t connect_ns;         /**< the most until there is a connection */
    int64_t total_ns;           /**< the most for all of it; 0: any time */
    int64_t idle_ns;            /**< the most without a byte, in whole seconds; 0: any time */
    /** Takes a piece of the response's body; first 0 bytes, when its headers have come. It must not
     * end or start requests.
     * @return 0, or -1: the rest is not wanted, and done() says so. */
    int (*data)(unsigned status, const char *data, size_t bytes, void *user);
    /** Is called once, when the request is over, and gone. It may start others, and end any. */
    void (*done)(const struct fetch_result *result, void *user);
    void *user;
};

/** Makes a fetcher.
 * @param loop outlives it.
 * @param[out] fetcher untouched on failure; freed with fetcher_free().
 * @return 0 or -ENOMEM. */
int fetcher_new(struct fetcher **fetcher, struct loop *loop);

/** Ends what is under way, without done(), and frees. Not from a callback. NULL is fine. */
void fetcher_free(struct fetcher *fetcher);

/** Starts a request; done() follows, from the loop.
 * @return to be ended by itself or by fetch_cancel(); NULL without memory. */
struct fetch *fetch_start(struct fetcher *fetcher, const struct fetch_request *request);

/** Ends a request without done(). Not from data(). */
void fetch_cancel(struct fetch *fetch);

#endif

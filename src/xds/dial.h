/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Keeps a connection to one of several peers: all are dialled, the first that answers is used, and
 * when it is lost they are dialled again. One that brought nothing waits before, for a time of its
 * own that grows as long as it brings nothing; the others do not wait for it.
 */
#ifndef PADDOCK_XDS_DIAL_H
#define PADDOCK_XDS_DIAL_H

#include <jansson.h>

#include "base/log.h"
#include "loop/loop.h"
#include "xds/grpc.h"
#include "xds/metrics.h"
#include "xds/settings.h"
#include "xds/tls.h"

struct dialer;

struct dialer_options {
    struct loop *loop;
    struct log *log;
    const char *name;            /**< of the provider, for the log */
    const struct xds_urls *urls; /**< copied */
    const struct tls *tls;       /**< of https URLs; NULL: there are none */
    int64_t ping_ns;             /**< as in struct h2_options */
    size_t message_bytes;
    struct grpc_memory *memory;
    struct xds_metrics *metrics;
};

/** What a dialer's owner hears. */
struct dialer_events {
    /** A connection can have streams; grpc_call() takes @p client. */
    void (*connected)(struct h2_connection *connection, const struct grpc_client *client,
                      void *user);
    /** It is gone, and its streams before it. @return whether it has brought anything. */
    bool (*lost)(void *user);
};

/** Makes it, without dialling yet.
 * @param[out] dialer untouched on failure; freed with dialer_free().
 * @param events borrowed, as long as there is a dialer.
 * @return 0 or a negative errno value. */
int dialer_new(struct dialer **dialer, const struct dialer_options *options,
               const struct dialer_events *events, void *user);

/** Hangs up, and frees; lost() is not called. NULL is fine. */
void dialer_free(struct dialer *dialer);

/** Dials as soon as the loop turns. */
void dialer_start(struct dialer *dialer);

/** Hangs up, and does not dial until dialer_start(); lost() is called for the connection in use. */
void dialer_stop(struct dialer *dialer);

/** To be called every second. */
void dialer_tick(struct dialer *dialer, int64_t now_ns);

/** Its state for people: an object with `role`, `address` (`host:port`, or null as long as there is
 * none), `failures` (times that it was lost or not reached) and `failure` (the last, or null).
 * @param role static storage. @return a reference of the caller's, or NULL without memory. */
json_t *dialer_show(const struct dialer *dialer, const char *role);

/** How a connection ended. */
enum dial_end {
    DIAL_NOT_REACHED, /**< it never came to be */
    DIAL_FRUITLESS,   /**< it brought nothing */
    DIAL_GOOD
};

/** The time before a connection is tried again: less than 20 s to a peer that answered.
 * @param[in,out] backoff_ns 0 at first: what the next wait begins with.
 * @param lived_ns how long it was there.
 * @param random any number. */
int64_t dialer_wait_ns(int64_t *backoff_ns, enum dial_end end, int64_t lived_ns, uint64_t random);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a service is. The daemon knows no more of any than this, and services know nothing of each
 * other. All functions are called by the control thread, save what says otherwise; none may block
 * for long.
 */
#ifndef PADDOCK_SERVICE_SERVICE_H
#define PADDOCK_SERVICE_SERVICE_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "fastpath/fastpath.h"
#include "loop/loop.h"
#include "loop/worker.h"
#include "metrics/metrics.h"
#include "net/endpoint.h"

/** What all services share. Lives as long as they do. */
struct service_env {
    struct log *log;
    struct loop *control;      /**< of the control thread */
    struct workers *workers;   /**< their threads run from start() on */
    struct fastpath *fastpath; /**< NULL: sockets alone */
    struct catalog *catalog;
    /** To be called first in a thread that serves HTTP: it confines the thread. NULL: nothing is
     * confined. */
    void (*http_began)(void *http_user);
    void *http_user;
};

/** By what a list is sorted, the highest first; idle ones last. */
enum service_order {
    SERVICE_BY_IDLE,
    SERVICE_BY_AGE,
    SERVICE_BY_PACKETS,
    SERVICE_BY_BYTES
};

/** What a list is of. All but sessions are what was seen since somebody asked last. */
enum service_subject {
    SERVICE_DROPS,   /**< by reason, with examples */
    SERVICE_TALKERS, /**< who sends the most */
    SERVICE_CAPTURE, /**< datagrams of sessions */
    SERVICE_SESSIONS,
    SERVICE_PEERS /**< of the control plane: service_ops.peers */
};

/** A list that somebody asks for. */
struct service_list {
    enum service_subject subject;
    enum service_order order;
    size_t limit;                   /**< at most #SERVICE_LIST_MOST rows */
    struct endpoint player, server; /**< of a capture; zeros stand for any address and port */
};

#define SERVICE_LIST_MOST 10000

/** A service. Where a function may be NULL, there is nothing to do. */
struct service_ops {
    const char *name; /**< as in the log: "qcmp" */
    const struct config_section *section;
    bool (*is_wanted)(const struct config *config);

    /** Where it listens, for a part of it in the fast path; NULL: it has none.
     * @param[out] addresses lives as long as @p config. @return how many. */
    size_t (*listen)(const struct config *config, const struct in6_addr **addresses);

    /** Binds and allocates, with the privileges that the process was started with; there are no
     * threads yet.
     * @param[out] self untouched on failure; ended with stop().
     * @param config borrowed during the call.
     * @return 0, or a negative errno value, also in @p error. */
    int (*open)(void **self, const struct service_env *env, const struct config *config,
                struct error *error);

    /** Serves from now on, and says so in the log. @return 0, or as open(); stop() is due then. */
    int (*start)(void *self, struct error *error);

    /** Makes everything ready that a new configuration needs and that can fail. All services
     * prepare before any commits. commit() or abandon() follows.
     * @param next borrowed until then.
     * @return 0, or as open(): nothing has changed, and neither of the two follows. */
    int (*prepare)(void *self, const struct config *next, struct error *error);
    void (*commit)(void *self);
    void (*abandon)(void *self);

    /** Is called every second. May be NULL.
     * @param now_ns monotonic. */
    void (*tick)(void *self, int64_t now_ns);

    /** Whether it is ready for what it is there for; a service that only counts as long as its
     * workers live may leave it NULL. From any thread. */
    bool (*is_ready)(const void *self);

    /** Writes its families. From any thread.
     * @param is_alive whether the process works. */
    void (*metrics)(void *self, bool is_alive, struct metrics *out);

    /** Adds what a configuration cannot say to what is shown of the one in force. May be NULL.
     * @param json an object. */
    void (*show)(const void *self, json_t *json);

    /** Lists what it holds for its peers, or has seen of them. May be NULL: nothing.
     * @return an object of the caller's, or NULL without memory. */
    json_t *(*list)(void *self, const struct service_list *wanted);

    /** Lists its peers in the control plane, and what has passed between them. May be NULL: it has
     * none. @return an array of the caller's, or NULL without memory. */
    json_t *(*peers)(void *self);

    /** Writes how often its providers failed, as samples of quilkin_provider_task_failures. From
     * any thread. May be NULL: it has none. */
    void (*failures)(const void *self, struct metrics *out);

    /** Takes nothing new from now on. May be NULL: it goes on as before until stop(). */
    void (*drain)(void *self);

    /** Whether a drain is over. NULL: it never is; and where no service has one, a drain lasts as
     * long as it may. */
    bool (*is_drained)(const void *self);

    /** Handles what has arrived, says in the log what it has done, closes and frees. */
    void (*stop)(void *self);
};

#endif

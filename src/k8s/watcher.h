/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Follows the objects of one path of Kubernetes' API: lists them, and watches from there; after a
 * loss it goes on from the last version, or lists again where the server has forgotten that.
 */
#ifndef PADDOCK_K8S_WATCHER_H
#define PADDOCK_K8S_WATCHER_H

#include "base/siphash.h"
#include "k8s/api.h"
#include "k8s/metrics.h"
#include "k8s/pieces.h"

#define WATCHER_PATH_BYTES 768
#define WATCHER_SELECTOR_BYTES 320

struct watcher_options {
    struct api *api;
    struct loop *loop;
    struct k8s_metrics *metrics;
    enum k8s_kind kind;
    char path[WATCHER_PATH_BYTES];         /**< without a query */
    char selector[WATCHER_SELECTOR_BYTES]; /**< `&labelSelector=...`, or "" */
    /** A list begins: what it does not name is gone. It may begin again before its end. */
    void (*begin)(void *user);
    /** An object is there, or has changed. @return 0 or -ENOMEM. */
    int (*put)(json_t *object, void *user);
    /** An object is gone. */
    void (*drop)(json_t *object, void *user);
    /** The list is whole. */
    void (*end)(void *user);
    void *user;
};

/** In the caller's memory. The members are its own affair. */
struct watcher {
    struct watcher_options options;
    struct api_call call;
    struct loop_timer again; /* another try, or the end of waiting for an answer to one */
    struct pieces pieces;
    struct siphash_key key;
    uint64_t rounds;
    char version[64];
    char *rest; /* where a list goes on; NULL: it begins */
    bool is_listed, is_listing, is_failing, is_broken, is_expired;
    bool has_news;          /* the watch under way has told something */
    unsigned failed_status; /* that was logged last */
    int error;              /* of pieces */
    int64_t backoff_ns, begun_ns;
};

/** Makes it. @return 0, or a negative errno value: it is zeroed. */
int watcher_init(struct watcher *watcher, const struct watcher_options *options);

/** Ends it. A zeroed one is fine. */
void watcher_fini(struct watcher *watcher);

/** Lists and watches, as soon as the loop turns. */
void watcher_start(struct watcher *watcher);

/** Whether it has listed, and watches. */
bool watcher_is_ready(const struct watcher *watcher);

/** The time before another try.
 * @param[in,out] backoff_ns 0 at first.
 * @param random any number. */
int64_t watcher_wait_ns(int64_t *backoff_ns, uint64_t random);

#endif

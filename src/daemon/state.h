/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the parts of the daemon share.
 */
#ifndef PADDOCK_DAEMON_STATE_H
#define PADDOCK_DAEMON_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "admin/admin.h"
#include "catalog/catalog.h"
#include "daemon/daemon.h"
#include "daemon/settings.h"
#include "daemon/watch.h"
#include "fastpath/fastpath.h"
#include "loop/loop.h"
#include "loop/worker.h"

#define DAEMON_MAX_SERVICES CONFIG_MAX_SECTIONS
#define DAEMON_MAX_WATCHES 4

/** A control thread that has not ticked for so long is taken for dead; it ticks every second. */
#define DAEMON_DEAD_NS WORKER_DEAD_NS

/** A configuration in force, and how it is shown. Shared by references, from both threads. */
struct shown {
    atomic_uint references;
    struct config *config;
    json_t *in_force; /**< what services and catalog add to it */
    uint64_t changes; /**< catalog_changes() then */
    pthread_mutex_t lock;
    struct http_blob *blobs[2]; /**< without and with what is private; made when asked for */
};

/** A service that runs. */
struct running {
    const struct service_ops *ops;
    void *self;
};

/** The daemon, between the control thread, which alone changes it, and the admin server's. */
struct daemon {
    const struct daemon_start *start;
    struct log *log;
    struct config *config;                   /**< in force; owned by `shown` */
    const struct process_settings *settings; /**< of it */
    struct loop *loop;
    struct workers *workers;
    struct fastpath *fastpath; /**< NULL: sockets alone */
    struct catalog *catalog;
    struct admin *admin;
    struct running running[DAEMON_MAX_SERVICES];
    size_t running_count;
    int cpus_fd; /**< keeps the CPUs from deep sleep; -1: not asked for */

    const char *notify_socket; /**< NULL: no service manager */
    bool has_watchdog;
    int64_t tick_ns;
    struct loop_timer tick;
    struct loop_watch signals, fast, watched[DAEMON_MAX_WATCHES];
    struct watch watches[DAEMON_MAX_WATCHES];
    unsigned watches_count;
    bool is_reload_due;     /**< asked for since the last turn */
    bool is_reload_a_retry; /**< the last one had no descriptor to open the file with */
    int64_t retry_ns;       /**< when to reload again, monotonic; LOOP_NEVER: not by itself */
    int64_t settle_ns;      /**< when to look at the files again, likewise */
    int64_t stop_ns;        /**< when to stop, likewise; 0: at once; LOOP_NEVER until it is told */

    /** What the admin server's thread has asked of the control thread. */
    struct question {
        pthread_mutex_t lock; /**< over the others */
        pthread_cond_t changed;
        bool is_asked, is_answered;
        uint64_t number; /**< tells this question from one that was withdrawn */
        bool is_refresh; /**< only that what is shown is what is in force; without an answer */
        struct service_list wanted;
        struct http_blob *answer; /**< NULL: it failed, or there is none yet */
    } question;

    pthread_mutex_t lock; /**< over `shown`, which a reload replaces while it is read */
    struct shown *shown;

    /* Relaxed, all of them: each is looked at for itself. */
    atomic_bool is_alive;         /**< all workers turn */
    atomic_bool is_started;       /**< all services have started */
    atomic_bool is_stopping;      /**< told to stop */
    atomic_bool confinement_told; /**< the log has that the workers are confined */
    _Atomic int64_t ticked_ns;    /**< monotonic: when the control thread last looked */
    _Atomic uint64_t reloads_ok, reloads_failed;
    _Atomic uint64_t provider_failures; /**< of them those by the provider's file */
};

#endif

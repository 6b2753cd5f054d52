/** @file
 * What the parts of the daemon share.
 */
#ifndef PADDOCK_DAEMON_STATE_H
#define PADDOCK_DAEMON_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "catalog/settings.h"
#include "config/config.h"
#include "daemon/daemon.h"
#include "daemon/qcmp_service.h"
#include "daemon/settings.h"
#include "qcmp/settings.h"

/** A main loop that has not ticked for so long is taken for dead; it ticks every second. */
#define DAEMON_DEAD_NS QCMP_SERVICE_DEAD_NS

/** The daemon, between its main loop, which alone changes it, and the admin server's thread. */
struct daemon {
    const struct daemon_start *start;
    struct log *log;
    bool confine_workers; /**< by seccomp; does not change */
    int cpus_fd;          /**< keeps the CPUs from deep sleep; -1: not asked for */
    struct qcmp_service *service;

    pthread_mutex_t
        lock; /**< over config, which a reload replaces while the other thread reads it */
    struct config *config; /**< in force */

    /* Relaxed all of them: each is looked at for itself. */
    atomic_bool alive;            /**< all workers turn */
    atomic_bool confinement_told; /**< the log has that the workers are confined */
    atomic_bool stopping;         /**< told to stop */
    _Atomic int64_t ticked_ns;    /**< monotonic: when the main loop last looked */
    _Atomic uint64_t reloads_ok, reloads_failed, failed_port_changes;
};

/** The settings in force. */
static inline const struct process_settings *daemon_process(const struct daemon *daemon)
{
    return config_settings(daemon->config, &process_section);
}

static inline const struct qcmp_settings *daemon_qcmp(const struct daemon *daemon)
{
    return config_settings(daemon->config, &qcmp_section);
}

#endif

/** @file
 * The QCMP responder as a service: an engine, its workers' threads and counters, and the move to
 * another port; with XDP in front of the engine's sockets, if wanted. Every function may be called
 * by any thread, but qcmp_service_start(), _move(), _leave(), _prepare(), _apply(), _tick() and
 * _stop() by one at a time.
 */
#ifndef PADDOCK_DAEMON_QCMP_SERVICE_H
#define PADDOCK_DAEMON_QCMP_SERVICE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/rules.h"
#include "engine/engine.h"
#include "fastpath/fastpath.h"
#include "metrics/counters.h"
#include "qcmp/fast.h"

/** A worker that has not turned for so long is taken for dead. */
#define QCMP_SERVICE_DEAD_NS INT64_C(5000000000)

struct qcmp_service;

/** How to serve. */
struct qcmp_service_options {
    uint16_t port;                    /**< 0 takes a free one */
    const struct in6_addr *addresses; /**< as in engine/engine.h; copied */
    size_t addresses_count;
    size_t *failed_address;            /**< as in engine/engine.h, of qcmp_service_open() alone */
    unsigned workers;                  /**< at least 1 */
    bool pin;                          /**< each worker to one of the CPUs of the process, or it
                                          does not start */
    bool realtime;                     /**< each worker has the least real-time priority, and shares
                                          a CPU with others of it in turns; or it does not start */
    bool low_latency;                  /**< as in engine/engine.h */
    int64_t receive_buffer_ns;         /**< as in engine/engine.h */
    int64_t max_age_ns;                /**< a ping that waited longer is dropped; 0 = never */
    const struct engine_ops *engine;   /**< NULL: mmsg */
    const struct rules_options *rules; /**< NULL: everybody is answered. Borrowed during the call */
    void (*worker_began)(void *user);  /**< called first in each worker's thread; may be NULL */
    struct qcmp_fast *fast;            /**< the part in xdp; the service's as that */
    struct fastpath *xdp; /**< in front of the sockets, or NULL; the service's once it is open */
    void *user;
};

/**
 * Binds the port; nothing is answered before qcmp_service_start(). In between a process may give up
 * privileges.
 * @param[out] service allocated; untouched on failure. Ended with qcmp_service_stop().
 * @return 0 or a negative errno value; -EOPNOTSUPP: the engine cannot enforce the rules.
 */
int qcmp_service_open(struct qcmp_service **service, const struct qcmp_service_options *options);

/** Starts the workers, and waits until each has called worker_began; answers from then on. To be
 * called once.
 * @return 0 or a negative errno value; qcmp_service_stop() ends it then, too. */
int qcmp_service_start(struct qcmp_service *service);

/** The port in use. */
uint16_t qcmp_service_port(struct qcmp_service *service);

/** Whether IPv6 is served. */
bool qcmp_service_ipv6(struct qcmp_service *service);

/** Bytes of receive buffer asked for and granted, as in engine/engine.h. */
void qcmp_service_receive_buffer(struct qcmp_service *service, size_t *asked, size_t *granted);

/**
 * Moves to another port: binds it first, and answers there from then on. The old port is answered,
 * too, until qcmp_service_leave(), so that the move can be made known before. Counts go on.
 * @return 0, also for the port in use; or a negative errno value, and nothing has changed.
 */
int qcmp_service_move(struct qcmp_service *service, uint16_t port);

/** Answers what is queued on the port before the last move, and closes it. Blocks until that is
 * done. Without such a port it does nothing. */
void qcmp_service_leave(struct qcmp_service *service);

/** Changes the age from which on a ping is dropped, for what arrives from now on. */
void qcmp_service_set_max_age(struct qcmp_service *service, int64_t max_age_ns);

/**
 * Makes rules ready, so that qcmp_service_apply() cannot fail.
 * @param[out] rules for qcmp_service_apply(), or rules_free(); untouched on failure. With XDP only
 * what was made ready last may be applied.
 * @return 0; -EOPNOTSUPP as for qcmp_service_open(); or another negative errno value. Nothing has
 * changed.
 */
int qcmp_service_prepare(struct qcmp_service *service, const struct rules_options *options,
                         struct rules **rules);

/** Decides by these rules from now on; takes them. What sources have used up they have used up. XDP
 * that cannot go by them is taken off, which the next qcmp_service_tick() tells. */
void qcmp_service_apply(struct qcmp_service *service, struct rules *rules);

/** To be called every second: releases rules that are not used any more, sweeps the guard's table,
 * and keeps XDP up to date.
 * @param now_ns monotonic.
 * @return as fastpath_tick(). */
enum fastpath_event qcmp_service_tick(struct qcmp_service *service, int64_t now_ns);

/** The counts of the service's whole life, and what the kernel dropped before it could be counted.
 */
void qcmp_service_sample(struct qcmp_service *service, struct counters_sum *sum, uint64_t *drops);

/** Whether all workers have turned within QCMP_SERVICE_DEAD_NS, as far as the calls of this
 * function tell: it compares with what the calls before saw, so somebody calls it every second or
 * so.
 * @param now_ns monotonic. */
bool qcmp_service_alive(struct qcmp_service *service, int64_t now_ns);

/** The XDP in front of the sockets, for what xdp.h lets any thread ask; NULL without. */
const struct fastpath *qcmp_service_xdp(const struct qcmp_service *service);

/** QCMP's part of it; NULL without. */
const struct qcmp_fast *qcmp_service_fast(const struct qcmp_service *service);

/** Whether the part was taken off because it did not take rules; said once. */
bool qcmp_service_is_unruled(struct qcmp_service *service);

/** A descriptor that is readable when qcmp_service_tick() should be called before its time; -1
 * without XDP. */
int qcmp_service_poll_fd(const struct qcmp_service *service);

/** Answers what has been received, ends the workers, closes and frees. Blocks until that is done.
 * Nobody else may use the service from then on.
 * @param[out] sum,drops as qcmp_service_sample() at the end. */
void qcmp_service_stop(struct qcmp_service *service, struct counters_sum *sum, uint64_t *drops);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * One worker of the proxy: its sessions, its upstream sockets, and the way of a datagram from a
 * player to servers and back. Nothing that is written here is shared with other workers.
 */
#ifndef PADDOCK_PROXY_WORKER_H
#define PADDOCK_PROXY_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/ports.h"
#include "loop/worker.h"
#include "metrics/histogram.h"
#include "net/port.h"
#include "proxy/fast.h"
#include "proxy/handover.h"
#include "proxy/homes.h"
#include "proxy/outcome.h"
#include "proxy/places.h"
#include "proxy/session_log.h"
#include "proxy/sessions.h"
#include "proxy/settings.h"
#include "proxy/trace.h"
#include "proxy/world.h"

/** What the workers share: read by all of them, written by the control thread, save the last. */
struct proxy_shared {
    struct quiescent_slot world; /**< struct destinations */
    _Atomic int64_t timeout_ns;  /**< relaxed, as the next ones: each is looked at for itself */
    _Atomic enum proxy_removed removed;
    atomic_bool is_draining;
    atomic_bool allows_loopback;
    atomic_bool logs_sessions;
    _Atomic uint32_t packet_rate, byte_rate; /**< of a session, a second, each way; 0: any */
    /** A bit for each port number that an upstream socket of any worker has: set and cleared when
     * one is opened and closed. */
    _Atomic uint64_t own_numbers[65536 / 64];
    /** By port number: 1 + the index of the worker whose sessions have it, or rest on it; 0: none.
     * A worker takes one that is free, and gives its own back. Relaxed: nothing else goes by it. */
    _Atomic uint16_t owners[65536];
    struct homes *homes;         /**< NULL: no session migrates; set before the workers are made */
    struct geo *geo;             /**< NULL: nobody knows places; set before the workers start */
    struct handovers *handovers; /**< NULL without homes, or with one worker */
};

/** The counters of one worker, which alone writes them. */
struct proxy_counters {
    alignas(64) struct counter copies;     /**< beyond the first of a player's datagram */
    struct counter refused[PROXY_REFUSED]; /**< copies that found no session */
    struct counter began;                  /**< sessions */
    struct counter migrations;             /**< of them, to another address of their player */
    struct counter handovers;              /**< copies that another worker has taken over */
    struct counter ended[SESSION_ENDS];
    struct counter sessions, sockets, resting; /**< at the moment */
    struct counter overtakings;                /**< sessions that the driver took without a pause */
    struct counter kernel_drops;               /**< of upstream sockets, at the last look */
    struct counter gap_ns[2];                  /**< between datagrams, read and written: the mean of
                                                  the last batch */
    struct places places;                      /**< of sessions at the moment */
    struct histogram duration_ns;              /**< of sessions that have ended */
    struct histogram processing_ns[2];         /**< of datagrams, read and written: one of each
                                                  batch is timed and stands for all of it */
};

/** Bounds of the histograms above. */
extern const struct histogram_bounds proxy_duration_bounds, proxy_processing_bounds;

struct proxy_worker;

/** How a worker is made. */
struct proxy_worker_options {
    struct proxy_shared *shared;
    struct worker *worker;
    struct proxy_counters *counters; /**< must outlive it, as the next one */
    struct port_counters *upstream;  /**< of all its upstream sockets */
    struct session_log *lines;       /**< must outlive it */
    struct proxy_fast *fast;         /**< as well; NULL: sockets alone */
    uint32_t max_sessions, max_per_address;
    uint32_t max_strangers; /**< of one server, as of sessions_strangers(); from then on a player's
                                second datagram makes a session, and not the first one */
    int64_t timeout_ns;
    bool is_gathering;  /**< as in struct port_options, of its upstream sockets */
    bool tells_traffic; /**< as in struct binding, of upstream sockets */
};

/** Makes a worker without sessions; before the threads start.
 * @param[out] made untouched on failure; freed with proxy_worker_free().
 * @return 0 or a negative errno value. */
int proxy_worker_new(struct proxy_worker **made, const struct proxy_worker_options *options);

/** Ends its sessions, closes its sockets, frees; by its own thread, or without threads. NULL is
 * fine. */
void proxy_worker_free(struct proxy_worker *worker);

/** Starts to look at idle sessions, and to take what other workers hand over; by its own thread.
 * @return 0 or a negative errno value. */
int proxy_worker_start(struct proxy_worker *worker);

/** Where players' datagrams come in. */
struct proxy_entry {
    struct proxy_worker *worker;
    uint16_t listener; /**< 0: the port of the service; else 1 + the place in its listeners */
};

/** The handler of the ports for players; its user is a struct proxy_entry. */
void proxy_receive(struct port *port, struct packet *packets, unsigned count, void *user);

/** Lets answers leave by the ports that take the place of others, which receive nothing any more;
 * by its own thread. */
void proxy_worker_move(struct proxy_worker *worker, const struct ports *from, struct ports *to);

/** Traces datagrams from now on, as long as somebody asks again in time; by its own thread.
 * @param trace taken over; NULL: no more.
 * @return the one before, the caller's; or NULL. */
struct trace *proxy_worker_trace(struct proxy_worker *worker, struct trace *trace);

/** The sessions, to be looked at by its own thread, with what the driver has carried of them. */
const struct sessions *proxy_worker_sessions(struct proxy_worker *worker);

/** Where a player is, as far as that is known. By its own thread. */
struct geo_place proxy_worker_place(const struct proxy_worker *worker,
                                    const struct in6_addr *player);

#endif

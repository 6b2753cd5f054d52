/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the files of a worker share: worker.c makes it and keeps time, datagrams.c carries,
 * upstreams.c has the sockets towards servers, carriages.c what is in the driver. No other file
 * includes this.
 */
#ifndef PADDOCK_PROXY_WORKER_PARTS_H
#define PADDOCK_PROXY_WORKER_PARTS_H

#include "proxy/worker.h"

/** An upstream socket. */
struct upstream {
    struct proxy_worker *owner;
    struct port *port;
    struct loop_watch watch;
    uint16_t number;
    uint32_t drops;                 /**< as the kernel counted them last */
    struct upstream *before, *next; /**< of the ring of those that are open; next alone: of those
                                       that are closed when the batch in hand is over */
};

/** A session in the driver, or on its way there. */
struct carriage {
    struct in6_addr away; /**< the own address to which the last answer came */
    uint32_t carried;     /**< as proxy_lane_offer(); 0: by sockets alone */
    uint32_t offered_ms;  /**< when it was offered last, modulo 2^32 */
    uint16_t since;       /**< about when, */
    uint16_t passed;      /**< and how many datagrams, while the driver waited for a pause */
    uint32_t seen;        /**< the version under which an answer passed last, as well, */
    uint16_t seen_by;     /**< and the listener whose chain it passed */
    uint16_t listener;    /**< the session's, when it was offered */
};

/** One direction of a session in the driver, of which all that came to the sockets before the turn
 * in hand is sent on when that is over. */
struct settled {
    uint32_t carried, end; /**< 0: read, 1: write */
};

/** The most of a turn; others wait for their next datagram. */
#define SETTLED_MOST 256

/** A worker. */
struct proxy_worker {
    struct proxy_worker_options options;
    struct sessions *sessions;
    struct knocks *knocks;
    struct proxy_lane *lane;    /**< NULL: sockets alone */
    struct carriage *carriages; /**< by the sessions' indexes, where there is a lane */
    struct loop_timer tick, sweep, flush;
    struct loop_watch handovers;      /**< of what other workers hand over, where they may */
    struct upstream *open, *closed;   /**< the next one to be looked at; the first one */
    const struct destinations *world; /**< of the batch in hand */
    const struct destinations *view;  /**< the part of it that is the listener's; NULL: none yet */
    struct trace *trace;              /**< NULL: nobody looks */
    bool has_changed;                 /**< sessions began or ended in the batch in hand */
    uint64_t world_number;
    enum proxy_removed removed;
    int64_t now_ns;        /**< monotonic: of the batch in hand */
    bool is_caught_up;     /**< as well: it was all that there was */
    uint64_t fast_version; /**< as well; 0: the driver carries nothing */
    struct settled settled[SETTLED_MOST];
    unsigned settled_count;
    struct timing {
        int64_t began_ns, before_ns; /**< of the batch in hand, if it is timed; of the one before */
        uint64_t duration_ns;        /**< of a datagram */
        uint32_t batches, datagrams; /**< since then */
    } timings[2];                    /**< read, written */
    struct filter_call call;
    struct filter_sessions shown; /**< what filters see of the sessions */
    /* Pages are used as filters need them. */
    uint8_t scratch[FILTER_SCRATCH_BYTES], spare[PACKET_HEAD + FILTER_SPARE_BYTES];
};

static inline struct proxy_shared *shared(const struct proxy_worker *worker)
{
    return worker->options.shared;
}

static inline void gauge(struct counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

/** Where a session is, and under which key others look for it. */
static inline struct home home_of(const struct proxy_worker *worker, const struct session *session)
{
    return (struct home){.worker = worker->options.worker->index, .session = session->index};
}

static inline uint64_t key_of(const struct proxy_worker *worker, const struct session *session)
{
    return homes_key(shared(worker)->homes, session->token, session_server_at(session->server));
}

/** Takes the version in force, and the time, for one batch. */
void worker_begin_batch(struct proxy_worker *worker);

/** Tells the metrics how many sessions and sockets there are. */
void worker_show_size(struct proxy_worker *worker);

/** The handler of upstream sockets. @param user a struct upstream. */
void datagrams_of_server(struct port *port, struct packet *packets, unsigned count, void *user);

/** Carries what other workers have handed over. */
void datagrams_take_over(struct proxy_worker *worker);

/** As datagrams_take_over(), for the loop. @param user the worker. */
void datagrams_receive_handovers(uint32_t events, void *user);

/** As sessions_options.open, close and freed; the user is the worker. */
int upstreams_open(void *user, struct upstream **opened, uint16_t *number);
void upstreams_close(void *user, struct upstream *upstream);
void upstreams_freed(void *user, uint16_t number);

/** Reads of a share of the sockets what the kernel dropped; to be called every second. */
void upstreams_look(struct proxy_worker *worker);

/** Closes the sockets that are of no use any more. @param user the worker. */
void upstreams_sweep(void *user);

/** Brings a session up to date with what the driver has carried. @param user the worker. */
void carriages_refresh(void *user, struct session *session);

/** Tells the driver what is settled, at the end of a turn. */
void carriages_settle(struct proxy_worker *worker);

/** Leaves a session to the sockets. */
void carriages_withdraw(struct proxy_worker *worker, struct session *session);

/** As well, for good: the session ends. */
void carriages_forget(struct proxy_worker *worker, struct session *session);

/** An answer has passed, and come to this own address. Where there is a lane, as the next one. */
void carriages_note_answer(struct proxy_worker *worker, struct session *session,
                           const struct in6_addr *away);

/** Lets the driver carry a session on whose way this datagram, as it came, went to one server,
 * once an answer has come back by the same version; or goes on with it. */
void carriages_offer(struct proxy_worker *worker, const struct packet *original,
                     const struct destination *to, struct session *session);

#endif

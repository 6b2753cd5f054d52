/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The proxy's part of the fast path: a program that carries the datagrams of established sessions,
 * and drops those that are over a limit. All others go to the sockets, and are counted there; so
 * each datagram is counted once. The workers' tables are the truth: a session is offered after
 * datagrams of it have passed both ways, and withdrawn before it ends.
 *
 * A session is carried under one version of what the proxy goes by. Where that changes, all
 * sessions are the sockets' until a worker has seen both ways pass by the new one.
 */
#ifndef PADDOCK_PROXY_FAST_H
#define PADDOCK_PROXY_FAST_H

#include <stdint.h>

#include "base/error.h"
#include "fastpath/fastpath.h"
#include "filters/filter.h"
#include "net/endpoint.h"
#include "proxy/shared.h"

struct proxy_fast;

/** A worker's sessions in the driver; its thread's alone. */
struct proxy_lane;

struct proxy_fast_options {
    struct fastpath *fastpath; /**< borrowed; closed after the part */
    unsigned workers;
    uint32_t max_sessions; /**< of each worker */
    bool keeps_traffic;    /**< DSCP and ECN are carried through */
};

/** The most sessions of all workers that are carried at a time. */
#define PROXY_FAST_MAX_SESSIONS (1U << 20)

/**
 * Loads the part and sets it. No version is in force. Needs the privileges of fastpath_open() and
 * of fastpath_watch_departures(); no other function of this header needs any.
 * @param[out] fast allocated; untouched on failure. Closed with proxy_fast_close().
 * @return 0 or a negative errno value, also in @p error.
 */
int proxy_fast_open(struct proxy_fast **fast, const struct proxy_fast_options *options,
                    struct error *error);

/** Takes the part off, and frees. NULL is fine. */
void proxy_fast_close(struct proxy_fast *fast);

/** Bytes of memory that the sessions take, whether there are any or not. */
uint64_t proxy_fast_bytes(const struct proxy_fast *fast);

/** Lets no session be carried from now on: before what the proxy goes by changes. By the control
 * thread, as the next one. */
void proxy_fast_suspend(struct proxy_fast *fast);

/** Puts another version in force, after the change. */
void proxy_fast_resume(struct proxy_fast *fast);

/** Leaves one datagram in #PROXY_FAST_SAMPLE of proxy/shared.h to the sockets, or no more. */
void proxy_fast_sample(struct proxy_fast *fast, bool is_sampled);

/** The version in force, 0 for none: to be asked before what the proxy goes by is read, which is
 * that version's or a newer one then. From any thread. */
uint64_t proxy_fast_version(const struct proxy_fast *fast);

/** The sum of what the CPUs have counted. From any thread. */
struct proxy_fast_counters proxy_fast_count(const struct proxy_fast *fast);

/** The sessions that are carried under the version in force, of all workers. From any thread. */
uint64_t proxy_fast_sessions(const struct proxy_fast *fast);

/** Lets datagrams to an upstream socket's number, or to that of a port for players, come to the
 * part, or no more. From any thread. */
void proxy_fast_claim(struct proxy_fast *fast, uint16_t number, bool is_claimed);

struct proxy_lane *proxy_fast_lane(struct proxy_fast *fast, unsigned worker);

/** A session as it is carried. Numbers of ports are those of the endpoints. */
struct proxy_passage {
    struct endpoint player, local; /**< who sends, and where to */
    struct endpoint away, server;  /**< from where it goes on, and where to */
    /** What all of the player's datagrams must have, at an end and of a size; NULL: nothing. */
    const uint8_t *token;
    const struct filter_repeat *repeat;
    /** Where the chain limits players, what this one has sent; it is copied. NULL: it does not. */
    const struct rate_window *sent;
};

/** Whether a session can be carried at all: by its addresses and its token. */
bool proxy_passage_is_possible(const struct proxy_passage *passage);

/** Lets a session be carried under a version that has seen it pass both ways: each direction after
 * the first pause before which proxy_lane_settle() was called.
 * @return what to call it by, or 0: there is no room, or another session has its place. */
uint32_t proxy_lane_offer(struct proxy_lane *lane, const struct proxy_passage *passage,
                          uint64_t version, int64_t now_ns);

/** Lets a session be carried under a later version, if the passage is the same as before. Under the
 * same one another token changes nothing: its datagrams are the sockets'.
 * @return whether it is carried. */
bool proxy_lane_renew(struct proxy_lane *lane, uint32_t carried,
                      const struct proxy_passage *passage, uint64_t version);

/** Whether a direction is carried: 0 read, 1 write. */
bool proxy_lane_is_open(const struct proxy_lane *lane, uint32_t carried, uint32_t end);

/** Whether the last datagram that came to the sockets of one direction did so to keep the order. */
bool proxy_lane_waits(const struct proxy_lane *lane, uint32_t carried, uint32_t end);

/** What came to the sockets of one direction before @p until_ns is sent on. */
void proxy_lane_settle(struct proxy_lane *lane, uint32_t carried, uint32_t end, int64_t until_ns);

/** Lets a direction be carried at once, though earlier datagrams may be overtaken. */
void proxy_lane_open(struct proxy_lane *lane, uint32_t carried, uint32_t end);

/** The version under which a session is carried. */
uint64_t proxy_lane_version(const struct proxy_lane *lane, uint32_t carried);

/** What the player of a session that is carried has sent, where its chain limits that: the driver
 * takes from it. NULL: it is not limited. */
struct rate_window *proxy_lane_window(const struct proxy_lane *lane, uint32_t carried);

/** The player of a session as it is carried. */
struct endpoint proxy_lane_player(const struct proxy_lane *lane, uint32_t carried);

/** Ends the carrying: no datagram that comes from now on is. What was not taken is lost. */
void proxy_lane_withdraw(struct proxy_lane *lane, uint32_t carried, int64_t now_ns);

/** Takes what was counted of a session since the last call.
 * @param[out] last_ns monotonic, of each direction: the last datagram ever; 0: none. */
void proxy_lane_take(struct proxy_lane *lane, uint32_t carried, uint64_t packets[2],
                     uint64_t bytes[2], int64_t last_ns[2]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The pings that are in flight, and what each datagram that comes back is to them. Pure
 * bookkeeping: no I/O, no clock, and no allocation between tracker_new() and tracker_free().
 *
 * A ping has a slot from its sending until it is answered or lost, and leaves its traces there
 * until the slot is taken again, the longest unused first. Which slot, the answer itself says:
 * nonce and the lowest bits of the timestamp are the slot's number. It counts only if flow, nonce
 * and all 64 bits of the timestamp are those of the ping (docs/protocol.md, section 5), so nothing
 * that a server sends can be credited to a ping that it is no answer to. No timestamp is used
 * twice.
 */
#ifndef PADDOCK_LOAD_TRACKER_H
#define PADDOCK_LOAD_TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Slots of a tracker at most: 160 MB. */
#define TRACKER_MAX_SLOTS (UINT32_C(1) << 22)

/** What a datagram is. */
enum tracker_answer {
    TRACKER_ANSWERED,  /**< the first answer, in time */
    TRACKER_LATE,      /**< the first answer, after the time-out: its ping is lost */
    TRACKER_DUPLICATE, /**< a further answer */
    TRACKER_FOREIGN    /**< nothing that was asked for; also a further answer after so long that the
                          slot was taken again */
};

/** A ping, as its sender and its receiver need it. Times in nanoseconds on the caller's monotonic
 * clock. */
struct tracker_ping {
    uint32_t flow;
    uint8_t nonce;    /**< for the wire */
    int64_t stamp_ns; /**< for the wire: the client timestamp, sent_ns but for some of its lowest
                         bits */
    int64_t due_ns;   /**< when it should have been sent */
    int64_t sent_ns;
};

struct tracker;

/**
 * Makes a tracker.
 *
 * @param slots pings that can be in flight at once, at least; more are made, a power of two from
 * 256 to #TRACKER_MAX_SLOTS.
 * @param timeout_ns when a ping counts as lost, above 0.
 * @param epoch_ns what the wall clock is ahead of the caller's monotonic clock.
 * @return the caller's, for tracker_free(); NULL when there is no memory.
 */
struct tracker *tracker_new(uint32_t slots, int64_t timeout_ns, int64_t epoch_ns);

/** Frees a tracker; NULL is fine. */
void tracker_free(struct tracker *tracker);

/** How many pings can be in flight at once. */
uint32_t tracker_slots(const struct tracker *tracker);

/** How many pings are in flight. */
uint32_t tracker_in_flight(const struct tracker *tracker);

/**
 * Takes a slot for a ping that is about to be sent.
 *
 * @param[in,out] ping flow, due_ns and sent_ns are the caller's, sent_ns not before that of the
 * ping before; nonce and stamp_ns are set.
 * @return 0, or -1 when all slots are in flight.
 */
int tracker_send(struct tracker *tracker, struct tracker_ping *ping);

/** Takes back a ping that could not be sent after all: an answer to it is foreign. By the ping as
 * tracker_send() left it, before anything was received. */
void tracker_withdraw(struct tracker *tracker, const struct tracker_ping *ping);

/** A datagram that came. */
struct tracker_datagram {
    uint32_t flow;
    const void *data;    /**< its first bytes, as qcmp_packet_decode() wants them; borrowed */
    size_t bytes;        /**< its true size */
    int64_t received_ns; /**< when it came, on the caller's monotonic clock */
};

/**
 * Says what a datagram is, and ends the ping that it answers.
 *
 * @param[out] ping set on #TRACKER_ANSWERED and #TRACKER_LATE, otherwise untouched.
 * @param[out] was_in_flight whether it ended a ping: set as @p ping is. A late answer did so when
 * tracker_expire() had not seen the ping's deadline yet: the ping is lost all the same.
 */
enum tracker_answer tracker_receive(struct tracker *tracker,
                                    const struct tracker_datagram *datagram,
                                    struct tracker_ping *ping, bool *was_in_flight);

/** The deadline of the oldest ping in flight; INT64_MAX if there is none. */
int64_t tracker_deadline_ns(const struct tracker *tracker);

/** Ends one ping whose deadline has come as lost. @return its flow, or -1 when there is none. */
int64_t tracker_expire(struct tracker *tracker, int64_t now_ns);

#endif

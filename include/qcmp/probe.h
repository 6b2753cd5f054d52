/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The client side of QCMP without I/O: leases of nonces, matching of answers, time-outs.
 *
 * Bytes, time and randomness are passed in; bytes to send, the next deadline and events come out.
 * Nothing here opens a socket, reads a clock or allocates, so it runs in any event loop, on any
 * transport, and in a simulation. Not thread-safe: one probe belongs to one thread at a time.
 * Source: docs/protocol.md, section 5.
 *
 * A ping in flight holds a *lease* on one nonce of its destination: leases are random, exclusive
 * and per destination, 256 of them, and given back in every ending. A *slot* is the memory of one
 * ping. After its end a ping is remembered in its slot until the slot is needed again (the one that
 * ended first goes first), so that what comes after is told apart: a *late* answer to a ping that
 * timed out, a *duplicate* of an answer, or something nobody asked for.
 */
#ifndef QCMP_PROBE_H
#define QCMP_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include <qcmp/error.h>
#include <qcmp/export.h>
#include <qcmp/wire.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QCMP_NONCES 256              /**< leases that a destination has */
#define QCMP_PROBE_MAX_SLOTS 1048576 /**< slots that a probe can have */

struct qcmp_probe;

/** A peer: an IPv6 address, or an IPv4 address as v4-mapped IPv6 (::ffff:a.b.c.d); a UDP port. */
struct qcmp_endpoint {
    uint8_t address[16]; /**< network order */
    uint32_t scope;      /**< interface index of a link-local address, otherwise 0 */
    uint16_t port;       /**< host order */
};

/** One moment, read on both clocks as close together as can be. */
struct qcmp_stamp {
    int64_t wall_ns;      /**< Unix nanoseconds, UTC */
    int64_t monotonic_ns; /**< a clock that is never set; any origin */
};

enum qcmp_probe_event_kind {
    QCMP_PROBE_ANSWERED = 1, /**< a ping in flight has its answer */
    QCMP_PROBE_TIMED_OUT,    /**< a ping in flight had none in time */
    QCMP_PROBE_CANCELLED,    /**< a ping in flight was cancelled */
    QCMP_PROBE_LATE, /**< the answer to a ping that ended without one, or is past its deadline */
    QCMP_PROBE_DUPLICATE, /**< a further answer to a ping that has one */
    QCMP_PROBE_REJECTED   /**< no answer to anything asked; see qcmp_probe_event::reason */
};

/** Why a datagram was rejected. */
enum qcmp_probe_reason {
    QCMP_REJECT_NONE = 0,
    QCMP_REJECT_FOREIGN,   /**< not QCMP */
    QCMP_REJECT_MALFORMED, /**< QCMP, but no valid packet */
    QCMP_REJECT_NOT_PONG,  /**< a ping in place of a pong */
    QCMP_REJECT_UNASKED,   /**< no ping with that nonce is in flight to that source, nor is one with
                              that client timestamp   remembered */
    QCMP_REJECT_TIMESTAMP  /**< one is in flight, but the client timestamp is not the one that was
                              sent */
};

/** What happened. Members may be added at the end. */
struct qcmp_probe_event {
    enum qcmp_probe_event_kind kind;
    enum qcmp_probe_reason reason; /**< of a rejection, otherwise QCMP_REJECT_NONE */
    uint64_t id;                   /**< the ping, 0 for a rejection */
    void *user; /**< what was given with the ping; NULL for a late answer, a duplicate and a
                     rejection: the ping may have ended, and what it points to be gone */
    struct qcmp_endpoint peer; /**< the destination, or the source of a rejected datagram */
    uint8_t nonce;             /**< of the ping; 0 for a rejection */
    struct qcmp_stamp sent;    /**< what was given with the ping; zero for a rejection */
    struct qcmp_packet pong;   /**< of an answer, a late answer or a duplicate, otherwise zero */
};

/** What to send. Members may be added at the end. */
struct qcmp_probe_request {
    struct qcmp_endpoint to;
    void *user;            /**< comes back with the event that ends this ping, never after */
    struct qcmp_stamp now; /**< now.wall_ns becomes the client timestamp */
    int64_t timeout_ns;    /**< > 0 */
    uint64_t random;       /**< unpredictable to others, fresh for each ping: chooses the nonce */
};

/* The functions behind the inline ones below; see qcmp/version.h. */
QCMP_EXPORT int qcmp_probe_ping_sized(struct qcmp_probe *probe,
                                      const struct qcmp_probe_request *request,
                                      size_t request_bytes, void *ping, uint64_t *id);
QCMP_EXPORT void qcmp_probe_receive_sized(struct qcmp_probe *probe,
                                          const struct qcmp_endpoint *from, const void *data,
                                          size_t bytes, int64_t arrived_monotonic_ns,
                                          struct qcmp_probe_event *event, size_t event_bytes);
QCMP_EXPORT int qcmp_probe_expire_sized(struct qcmp_probe *probe, int64_t now_monotonic_ns,
                                        struct qcmp_probe_event *event, size_t event_bytes);
QCMP_EXPORT int qcmp_probe_cancel_sized(struct qcmp_probe *probe, uint64_t id,
                                        struct qcmp_probe_event *event, size_t event_bytes);
QCMP_EXPORT int qcmp_probe_cancel_next_sized(struct qcmp_probe *probe,
                                             struct qcmp_probe_event *event, size_t event_bytes);

/** Bytes of memory that a probe with @p slots slots needs; 0 when @p slots is 0 or above
 * QCMP_PROBE_MAX_SLOTS. */
QCMP_EXPORT size_t qcmp_probe_bytes(size_t slots);

/**
 * Makes a probe in the caller's memory.
 *
 * @param[out] probe  the probe, inside @p memory, which stays the caller's and must outlive it.
 * There is nothing to undo.
 * @param memory      aligned as malloc aligns.
 * @param bytes       at least qcmp_probe_bytes(@p slots).
 * @param slots       pings that can be in flight at once, to all destinations together.
 * @return 0, QCMP_ERROR_INVALID_ARGUMENT or QCMP_ERROR_BUFFER_TOO_SMALL.
 */
QCMP_EXPORT int qcmp_probe_init(struct qcmp_probe **probe, void *memory, size_t bytes,
                                size_t slots);

/**
 * Leases a nonce and encodes a ping; the caller sends it. A send that fails is undone with
 * qcmp_probe_cancel().
 *
 * @param[out] ping gets QCMP_PING_BYTES bytes.
 * @param[out] id   names the ping until it ends; never 0. Its low 32 bits are an index below the
 * number of slots that no other ping in flight has.
 * @return 0; QCMP_ERROR_NO_NONCE when all leases of the destination are out (a nonce that is
 * remembered with the very same timestamp counts as out); QCMP_ERROR_NO_SLOT;
 * QCMP_ERROR_INVALID_ARGUMENT for a time-out below 1, or a member that this library does not know
 * and is not zero; the first that applies of INVALID_ARGUMENT,
 * NO_NONCE, NO_SLOT. Outputs are untouched on failure.
 */
static inline int qcmp_probe_ping(struct qcmp_probe *probe,
                                  const struct qcmp_probe_request *request, void *ping,
                                  uint64_t *id)
{
    return qcmp_probe_ping_sized(probe, request, sizeof *request, ping, id);
}

/**
 * Takes in one datagram. A pong is the answer to a ping in flight only if source address, port,
 * nonce and client timestamp all match and it arrived by the deadline.
 *
 * @param from       the datagram's source.
 * @param data       as for qcmp_packet_decode().
 * @param bytes      likewise.
 * @param arrived_monotonic_ns when it arrived, on the clock of qcmp_stamp::monotonic_ns.
 * @param[out] event always set: QCMP_PROBE_ANSWERED, _LATE, _DUPLICATE or _REJECTED. What comes
 * after the deadline and before qcmp_probe_expire() is late, and leaves its ping in flight: it
 * still times out.
 */
static inline void qcmp_probe_receive(struct qcmp_probe *probe, const struct qcmp_endpoint *from,
                                      const void *data, size_t bytes, int64_t arrived_monotonic_ns,
                                      struct qcmp_probe_event *event)
{
    qcmp_probe_receive_sized(probe, from, data, bytes, arrived_monotonic_ns, event, sizeof *event);
}

/** Ends one ping whose deadline has passed: deadline < @p now_monotonic_ns. Call it until it
 * returns 0.
 * @return 1 with @p event set to QCMP_PROBE_TIMED_OUT, or 0 with @p event untouched. */
static inline int qcmp_probe_expire(struct qcmp_probe *probe, int64_t now_monotonic_ns,
                                    struct qcmp_probe_event *event)
{
    return qcmp_probe_expire_sized(probe, now_monotonic_ns, event, sizeof *event);
}

/** The earliest time at which qcmp_probe_expire() has something to do, on the monotonic clock: one
 * past the earliest deadline. A deadline beyond INT64_MAX is held at INT64_MAX, and never passes.
 * @return 1 with @p deadline_ns set, or 0 with it untouched when nothing is in flight. */
QCMP_EXPORT int qcmp_probe_deadline(const struct qcmp_probe *probe, int64_t *deadline_ns);

/** Finds a ping in flight by what was sent: how an error that quotes the ping is matched.
 * @return its id, or 0. */
QCMP_EXPORT uint64_t qcmp_probe_find(const struct qcmp_probe *probe, const struct qcmp_endpoint *to,
                                     uint8_t nonce, int64_t client_ns);

/** Ends one ping in flight now; an answer that still comes is late.
 * @param[out] event may be NULL.
 * @return 0 with @p event set to QCMP_PROBE_CANCELLED, or QCMP_ERROR_NOT_IN_FLIGHT. */
static inline int qcmp_probe_cancel(struct qcmp_probe *probe, uint64_t id,
                                    struct qcmp_probe_event *event)
{
    return qcmp_probe_cancel_sized(probe, id, event, sizeof *event);
}

/** Ends whichever ping in flight has the earliest deadline. Call it until it returns 0 to end all.
 * @return 1 with @p event set to QCMP_PROBE_CANCELLED, or 0 with @p event untouched when nothing is
 * in flight. */
static inline int qcmp_probe_cancel_next(struct qcmp_probe *probe, struct qcmp_probe_event *event)
{
    return qcmp_probe_cancel_next_sized(probe, event, sizeof *event);
}

/** Pings in flight. */
QCMP_EXPORT size_t qcmp_probe_in_flight(const struct qcmp_probe *probe);

#ifdef __cplusplus
}
#endif
#endif

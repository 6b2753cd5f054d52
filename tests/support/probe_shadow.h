/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A probe and a naive model of it that do the same things: an array of pings, searched from end to
 * end. Each function does one thing to both and ends the program (support/check.h) where they
 * differ.
 */
#ifndef PADDOCK_SUPPORT_PROBE_SHADOW_H
#define PADDOCK_SUPPORT_PROBE_SHADOW_H

#include <qcmp/probe.h>

#include <stdbool.h>

enum shadow_state {
    SHADOW_IN_FLIGHT,
    SHADOW_REMEMBERED,
    SHADOW_FORGOTTEN
};

/** One ping that was sent. */
struct shadow_ping {
    enum shadow_state state;
    struct qcmp_probe_request asked;
    int64_t deadline_ns;
    uint64_t id;
    size_t ending; /**< how many pings had ended when this one did */
    uint8_t nonce;
    bool answer_seen;
};

struct shadow {
    struct qcmp_probe *probe;
    void *memory;
    size_t slots;
    struct shadow_ping *pings; /**< all that were ever sent, in that order */
    size_t count;
    size_t capacity;
    size_t endings;
};

/** Makes a probe with @p slots slots, and a model with room for @p capacity pings in all. */
void shadow_init(struct shadow *shadow, size_t slots, size_t capacity);

/** Cancels all that is in flight, checks that each ping has ended once, and frees. */
void shadow_fini(struct shadow *shadow);

/** Sends a ping, if the model has room for one more; its user pointer is chosen here. */
void shadow_send(struct shadow *shadow, struct qcmp_probe_request request);

/** Takes in a datagram of @p bytes bytes, of which the first QCMP_MAX_BYTES are readable. */
void shadow_receive(struct shadow *shadow, const struct qcmp_endpoint *from, const uint8_t *data,
                    size_t bytes, int64_t arrived_ns);

/** Ends one ping that is past its deadline. @return whether there was one. */
bool shadow_expire(struct shadow *shadow, int64_t now_ns);

/** Cancels a ping by its id, of whatever state. */
void shadow_cancel(struct shadow *shadow, uint64_t id);

/** Cancels the ping with the earliest deadline. @return whether there was one. */
bool shadow_cancel_next(struct shadow *shadow);

/** Checks all that the probe says about itself. */
void shadow_check(const struct shadow *shadow);

/** Writes the pong that answers a ping. */
void shadow_answer(const struct shadow_ping *ping, uint8_t pong[QCMP_PONG_BYTES]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Players' datagrams from one worker to another, which has the session: a queue for each pair of
 * workers, in order, bounded, without locks. Pages of it are used as datagrams need them.
 */
#ifndef PADDOCK_PROXY_HANDOVER_H
#define PADDOCK_PROXY_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "net/packet.h"
#include "net/port.h"

/** Datagrams of at most #HANDOVER_PART_BYTES that one worker has for another one at a time. A
 * longer one stands for several. */
#define HANDOVER_QUEUE 512
#define HANDOVER_PART_BYTES 1780

/** One copy of a datagram, as the filters have left it. */
struct handover {
    struct endpoint server;
    uint64_t token;       /**< as homes_token() */
    struct port *port;    /**< of the worker that received it */
    uint16_t listener;    /**< the port's, as in struct proxy_entry */
    struct packet packet; /**< whole */
};

struct handovers;

/** Makes queues between so many workers.
 * @param[out] made untouched on failure; freed with handovers_free().
 * @return 0 or a negative errno value. */
int handovers_new(struct handovers **made, unsigned workers);

/** No worker uses them any more. NULL is fine. */
void handovers_free(struct handovers *handovers);

/** What is ready while a worker has datagrams to take. */
int handovers_fd(const struct handovers *handovers, unsigned to);

/** Puts a datagram into a queue, with a copy of its bytes; handovers_wake() is due then. By the
 * worker @p from. @return whether there was room. */
bool handovers_put(struct handovers *handovers, unsigned from, unsigned to,
                   const struct handover *handover);

/** Wakes the workers that have something to take since the last call. By the worker @p from. */
void handovers_wake(struct handovers *handovers, unsigned from);

/** Calls a function for each datagram that waits. Its bytes, and #PACKET_HEAD before them, may be
 * changed during the call. By the worker @p to. */
void handovers_take(struct handovers *handovers, unsigned to,
                    void (*take)(const struct handover *handover, void *user), void *user);

#endif

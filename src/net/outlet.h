/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A socket as datagrams leave by it: which errors are counted, and what the network says of earlier
 * datagrams, by the socket's error queue or in place of a call's result. Belongs to one thread.
 */
#ifndef PADDOCK_NET_OUTLET_H
#define PADDOCK_NET_OUTLET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/port.h"

struct outbox;

/** In its owner's memory, who sets the first members; the others start as zero. */
struct outlet {
    struct outbox *outbox; /**< where its datagrams wait, net/outbox.h */
    int fd;
    sa_family_t family;             /**< the socket's */
    bool can_segment;               /**< the kernel cuts bursts for it: bind_can_segment() */
    bool is_connected;              /**< as in struct port_options, like the next three */
    struct port_counters *counters; /**< borrowed */
    port_refused_fn *refused;
    void *user;
    unsigned pause;   /**< batches that leave without bursts; the owner counts them down */
    unsigned heard;   /* errors, since it began to hear of them */
    int64_t room;     /* bytes for what is doubtful, since the flush of this number */
    uint64_t room_at; /* of net/outbox.c */
};

/** Counts a datagram that was not sent, and tells the owner where it was refused or unreachable.
 * @param error an errno value. */
void outlet_fail(const struct outlet *outlet, int error, const struct endpoint *to);

/** Hears what the error queue has: see port_hear(), port_hear_again(). */
unsigned outlet_hear(struct outlet *outlet);
void outlet_hear_again(struct outlet *outlet);

/** Whether a send that has failed should be tried again, as the error may be that of an earlier
 * datagram. It may still be this datagram's.
 * @param tries how often this was asked for the same datagram before. */
bool outlet_is_earlier(struct outlet *outlet, int error, unsigned tries);

/** Whether a failure to receive should be tried again, as it is that of a datagram which was sent.
 * @param tries as above, for the same call. */
bool outlet_is_of_sending(struct outlet *outlet, int error, unsigned tries);

#endif

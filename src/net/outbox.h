/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Datagrams that wait to be sent by the sockets of one worker, so that few calls send many: what
 * goes to one peer leaves as one burst that the kernel cuts into datagrams, and what leaves by one
 * socket in a row by one sendmmsg(2). Datagrams to one peer stay in order. Nothing blocks; success
 * and failure are counted by the outlet.
 */
#ifndef PADDOCK_NET_OUTBOX_H
#define PADDOCK_NET_OUTBOX_H

#include "net/neighbours.h"
#include "net/outlet.h"

struct outbox;

/** Allocates one. @return NULL without memory. */
struct outbox *outbox_new(void);

/** NULL is fine. */
void outbox_free(struct outbox *outbox);

/** Lets it know which neighbours are missing: see port_batch_watch(). */
void outbox_watch(struct outbox *outbox, const struct neighbours *neighbours);

/** Puts a datagram into the outlet's outbox, or counts why not; sends what waits first if that is
 * full.
 * @param outlet borrowed until the flush, as what the message points to. */
void outbox_add(struct outlet *outlet, const struct port_message *message);

/** Sends what waits. */
void outbox_flush(struct outbox *outbox);

#endif

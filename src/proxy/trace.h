/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What one worker sees of its datagrams between two looks of an operator: drops by reason with
 * examples, the players that send the most, or the datagrams of a session. In fixed memory, and
 * only while somebody looks.
 *
 * The control thread makes one for each worker, and takes the one before in exchange; the worker
 * fills it meanwhile.
 */
#ifndef PADDOCK_PROXY_TRACE_H
#define PADDOCK_PROXY_TRACE_H

#include <jansson.h>

#include "loop/worker.h"
#include "net/port.h"
#include "proxy/outcome.h"
#include "proxy/sessions.h"
#include "service/service.h"

/** A worker forgets what nobody has asked for again within this time. */
#define TRACE_KEPT_NS INT64_C(10000000000)

struct trace;
struct proxy_worker;

/** NULL is fine. */
void trace_free(struct trace *trace);

/** When it began, monotonic. */
int64_t trace_began_ns(const struct trace *trace);

/** Notes a datagram as it came, with its outcome. */
void trace_datagram(struct trace *trace, bool is_write, unsigned outcome,
                    const struct packet *packet);

/** Notes a copy of a player's datagram that was refused. */
void trace_refusal(struct trace *trace, enum proxy_refusal refusal, const struct packet *packet);

/** Notes what is sent on in a session. */
void trace_message(struct trace *trace, bool is_write, const struct session *session,
                   const struct port_message *message);

/** Lets each worker trace from now on what is wanted, and shows what they have seen since the look
 * before, if the same was wanted: `{"seconds", "drops" | "talkers" | "packets" and "lost"}`. By the
 * control thread.
 * @param own each worker's, by its index.
 * @param wanted its subject is not #SERVICE_SESSIONS.
 * @param now_ns monotonic.
 * @return a new reference, or NULL without memory. */
json_t *trace_look(struct workers *workers, struct proxy_worker *const *own,
                   const struct service_list *wanted, int64_t now_ns);

#endif

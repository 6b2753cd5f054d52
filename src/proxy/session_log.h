/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A line in the log for each session that has ended. Workers hand them over without waiting; the
 * control thread writes them, so many a second. What finds no room is lost, and counted.
 */
#ifndef PADDOCK_PROXY_SESSION_LOG_H
#define PADDOCK_PROXY_SESSION_LOG_H

#include "base/log.h"
#include "geo/table.h"
#include "proxy/sessions.h"

struct session_log;

/** Makes one for so many workers.
 * @param[out] made untouched on failure; freed with session_log_free().
 * @return 0 or -ENOMEM. */
int session_log_new(struct session_log **made, unsigned workers);

/** NULL is fine. */
void session_log_free(struct session_log *lines);

/** Hands over a session that ends. By its worker. */
void session_log_note(struct session_log *lines, unsigned worker, const struct session *session,
                      struct geo_place place, enum session_end end);

/** Writes lines, @p most of them; what is left waits for the next call. A warning tells how many
 * were lost. By the control thread, every second. */
void session_log_write(struct session_log *lines, struct log *log, uint32_t most);

/** Counts what is left as lost; no worker hands over any more. By the control thread. */
void session_log_end(struct session_log *lines, struct log *log);

/** How many were lost in all. From any thread. */
uint64_t session_log_lost(const struct session_log *lines);

#endif

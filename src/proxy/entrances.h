/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The ports for players: that of the service, and one for each of its listeners. They change as
 * one: prepared, then put in use or abandoned. Used by the control thread, save what says
 * otherwise.
 */
#ifndef PADDOCK_PROXY_ENTRANCES_H
#define PADDOCK_PROXY_ENTRANCES_H

#include "loop/worker.h"
#include "proxy/fast.h"
#include "proxy/settings.h"
#include "proxy/worker.h"

struct entrances;

struct entrances_options {
    struct workers *workers;
    struct log *log;
    struct proxy_fast *fast;         /**< NULL: sockets alone */
    struct proxy_worker *const *own; /**< one a worker; must outlive the ports, as the next one */
    struct port_counters *counters;  /**< one a worker */
    unsigned listeners;              /**< at most #PROXY_MAX_LISTENERS */
};

/** Makes entrances without ports.
 * @param[out] made untouched on failure; freed with entrances_free().
 * @return 0 or -ENOMEM. */
int entrances_new(struct entrances **made, const struct entrances_options *options);

/** Closes and frees; they were stopped, or never started. NULL is fine. */
void entrances_free(struct entrances *entrances);

/** Prepares what settings want, which have as many listeners as there are: binds where a number
 * changes. Where ports are in use, it is received at the prepared ones from then on.
 * @return 0, or a negative errno value, also in @p error: nothing is prepared. */
int entrances_prepare(struct entrances *entrances, const struct proxy_settings *settings,
                      struct error *error);

/** Closes what was prepared, after what is queued there is handled. */
void entrances_abandon(struct entrances *entrances);

/** Puts what was prepared in use. The ports before handle what is queued and are closed; answers of
 * their sessions leave by the new ones. */
void entrances_commit(struct entrances *entrances);

/** Receives from now on. @return 0 or a negative errno value. */
int entrances_start(struct entrances *entrances);

/** Logs that they are ready, the service's own last. */
void entrances_log(const struct entrances *entrances);

/** Receives nothing new, and handles what is queued. Waits for that. */
void entrances_stop(struct entrances *entrances);

/** The number of the service's own port in use, host order. */
uint16_t entrances_number(const struct entrances *entrances);

/** Datagrams that the kernel dropped, of the whole life; as ports_slot_drops(). From any thread. */
uint64_t entrances_drops(struct entrances *entrances);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The ports of one service on one UDP port number: one for each of its addresses in each worker.
 * Used by the control thread, save what says otherwise.
 */
#ifndef PADDOCK_LOOP_PORTS_H
#define PADDOCK_LOOP_PORTS_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "loop/worker.h"
#include "net/address.h"
#include "net/port.h"

struct ports;

/** Where to listen. */
struct ports_options {
    const char *name;     /**< of the service, for errors: "QCMP" */
    const char *key;      /**< of the addresses in the configuration file, for errors; not copied */
    const char *port_key; /**< what sets the port, for errors; borrowed during the call */
    uint16_t port;        /**< 0 takes a free one, for all addresses alike */
    /** IPv4 as v4-mapped. `::` takes IPv4 as well, unless IPv4 addresses are listed beside it; on a
     * host without IPv6 it becomes 0.0.0.0, or nothing if they are. */
    const struct in6_addr *addresses;
    size_t addresses_count;    /**< 1 to #NET_MAX_ADDRESSES */
    int64_t receive_buffer_ns; /**< the time that a worker at its full rate takes to empty
                                  the buffer of a socket */
    bool by_source; /**< as bind_choose_by_source(): a peer stays with one worker when the number
                       changes */
    bool tells_hops, tells_traffic, is_unstamped; /**< as in struct binding */
    bool is_gathering;                            /**< as in struct port_options */
    uint32_t max_bytes;                           /**< as in struct port_options */
    struct port_counters *counters;               /**< one a worker; must outlive the ports */
    port_receive_fn *receive;
    void *const *users; /**< for the handler, one a worker; borrowed during the call */
};

/**
 * Binds; nothing is received before ports_start(). A number that another process has is an error.
 * @param[out] ports untouched on failure; ended with ports_close().
 * @return 0, or a negative errno value, also in @p error, which names the address.
 */
int ports_open(struct ports **ports, struct workers *workers, const struct ports_options *options,
               struct error *error);

/** Receives from now on. @return 0 or a negative errno value: they are stopped. */
int ports_start(struct ports *ports);

/** The number in use, host order. From any thread. */
uint16_t ports_number(const struct ports *ports);

/** The first address that is served: a `::` is not where the host has no IPv6. */
struct in6_addr ports_first_address(const struct ports *ports);

/** Warns in a log about addresses that the host did not have when they were bound (what comes there
 * once it has them is received), and about a receive buffer that is smaller than asked for. */
void ports_warn(const struct ports *ports, struct log *log);

/** The receive buffer of one socket: bytes that its length in time comes to, and what the system
 * granted, which may be less. */
void ports_receive_buffer(const struct ports *ports, size_t *asked, size_t *granted);

/** Datagrams that the kernel dropped because nobody took them in time, since ports_open(); exact at
 * the call. From any thread, but by one at a time, and often enough that no socket drops 2^32 in
 * between. */
uint64_t ports_drops(struct ports *ports);

/** Receives nothing new, and handles what is queued; waits for that. What comes meanwhile is among
 * the drops. */
void ports_stop(struct ports *ports);

/** Closes and frees ports that were stopped, or never started. NULL is fine.
 * @return as ports_drops(), at the end. */
uint64_t ports_close(struct ports *ports);

/** The ports of a service whose number may change while they are in use. Used by the control
 * thread, save what says otherwise. Zeroed but for the lock before ports_slot_init(). */
struct ports_slot {
    struct ports *current;        /**< in use */
    struct ports *next;           /**< prepared */
    struct ports *leaving;        /**< before the last change, until ports_slot_leave() */
    bool is_empty;                /**< whether those are */
    uint16_t wanted, next_wanted; /**< what was asked for; 0: any */
    uint64_t closed_drops;        /**< of ports that are closed */
    pthread_mutex_t lock;         /**< over the others, for ports_slot_drops() */
};

void ports_slot_init(struct ports_slot *slot);
void ports_slot_fini(struct ports_slot *slot);

/** Prepares the ports of a number, unless they are in use. Where others are in use, it is received
 * at the prepared ones from then on. @return as ports_open(). */
int ports_slot_prepare(struct ports_slot *slot, struct workers *workers,
                       const struct ports_options *options, struct error *error);

/** Closes what was prepared, after what is queued there is handled. */
void ports_slot_abandon(struct ports_slot *slot);

/** Makes what was prepared beside ports in use leave again, as ports before a change do: what came
 * there meanwhile may have left its mark, and ports_slot_empty() and ports_slot_leave() are due.
 * @return whether there was anything prepared, and others are in use. */
bool ports_slot_revoke(struct ports_slot *slot);

/** Puts what was prepared in use, beside what was in use before: it is received there, too, until
 * ports_slot_leave(). @return whether there was anything prepared. */
bool ports_slot_commit(struct ports_slot *slot);

/** Receives nothing more at the ports before the last change, and handles what is queued there.
 * Waits for that. */
void ports_slot_empty(struct ports_slot *slot);

/** Closes them, after ports_slot_empty() where that was not called. */
void ports_slot_leave(struct ports_slot *slot);

/** Stops receiving, handles what is queued. Waits for that; ports_slot_fini() closes. */
void ports_slot_stop(struct ports_slot *slot);

/** As ports_drops(), of the whole life. From any thread. */
uint64_t ports_slot_drops(struct ports_slot *slot);

/** The port of the same worker and address as one of other ports, which have the same addresses.
 * @return NULL for a port that is none of @p from. */
struct port *ports_successor(const struct ports *from, const struct port *port,
                             const struct ports *to);

#endif

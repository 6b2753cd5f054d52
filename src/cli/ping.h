/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Pinging many targets at once over one socket: what `paddock ping` and `paddock qcmp ping` share.
 */
#ifndef PADDOCK_CLI_PING_H
#define PADDOCK_CLI_PING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <qcmp/client.h>

#include "base/error.h"

#define PING_MAX_AMOUNT 1000000
#define PING_MAX_INTERVAL_NS (INT64_C(86400) * 1000000000)
#define PING_MAX_TARGETS 100000

enum ping_status {
    PING_UNSENT, /**< not sent, or still in flight when the run ended early: nobody knows its fate
                  */
    PING_IN_FLIGHT,
    PING_OK,
    PING_TIMEOUT,
    PING_ERROR, /**< the kernel or the network said no */
};

struct ping_target;

/** One ping. */
struct ping {
    struct ping_target *target;
    enum ping_status status;
    int error;                 /**< with PING_ERROR; as in qcmp/error.h */
    int nonce;                 /**< -1 where none was sent */
    struct qcmp_times times;   /**< with PING_OK */
    struct qcmp_sample sample; /**< with PING_OK */
    enum qcmp_stamp_source transmit_source, receive_source;
    bool clock_stepped;
};

/** One target and what became of its pings. */
struct ping_target {
    const char *text;               /**< as the user gave it; borrowed */
    const char *error;              /**< why it has no address, or NULL; static storage */
    struct addrinfo *found;         /**< all addresses of its name */
    const struct addrinfo *address; /**< the one in use; NULL: there is none */
    const struct addrinfo *next;    /**< the one to try if nothing comes from this; or NULL */
    struct qcmp_endpoint endpoint;  /**< the address in use, as endpoint_text is */
    char endpoint_text[80];         /**< numeric address and port, "" without one */
    struct ping *pings;             /**< plan.amount of them */
    size_t sent;                    /**< pings[0] .. pings[sent - 1] */
    size_t ended;    /**< those of known fate; in a run that ended early fewer than sent */
    size_t received; /**< those answered */
    size_t late, duplicates, rejected;
    int64_t next_ns;        /**< when the next ping is due, monotonic */
    int64_t short_since_ns; /**< the system has no room for it since then; 0: it has */
};

/** What to do, and what came of it. */
struct ping_run {
    size_t amount;       /**< pings to each target, 1 .. PING_MAX_AMOUNT */
    int64_t interval_ns; /**< between the pings to one target; 0 = once the last one has ended */
    int64_t timeout_ns;  /**< > 0 */
    struct ping_target *targets;
    size_t targets_count;
    struct ping_target **by_endpoint; /**< those that have an address, in the order of addresses */
    size_t by_endpoint_count;
    size_t rejected_elsewhere; /**< rejected datagrams from addresses that are no target's */
    size_t socket_errors;      /**< errors of the socket itself, whatever became of the pings */
    int last_socket_error;     /**< the last of them, as in qcmp/error.h */
    bool interrupted;          /**< SIGINT, SIGTERM or SIGHUP ended it early */

    /** Called when a ping has ended, save by the run's own early end; may be NULL. */
    void (*ping_ended)(const struct ping *ping, size_t seq, void *user);
    /** Called for a late, duplicate or rejected datagram; @p target is NULL where it is no
     * target's. May be NULL. */
    void (*noticed)(const struct ping_target *target, const struct qcmp_client_event *event,
                    void *user);
    /** Called when a target has no answer from an address, and is pinged at the next one of its
     * name instead: @p ping says what became of it at @p address. May be NULL. */
    void (*moved)(const struct ping *ping, const char *address, void *user);
    /** Called at SIGQUIT: the user wants to see what has come so far. May be NULL. */
    void (*asked)(void *user);
    void *user;
};

/**
 * Makes the targets from texts such as `host:port` and resolves the names, many at once. Blocks for
 * as long as the resolver does.
 *
 * @param family QCMP_FAMILY_ANY, _IPV4 or _IPV6: which addresses of a name to take. An IPv4 address
 * in the form of IPv6 (::ffff:192.0.2.1) is one of IPv4, as its packets are.
 * @return 0, also when a name has no address (see ping_target::error); or a negative errno value
 * with the error set when a text is no target, or an address that cannot be pinged: of the other
 * family, of no single host, without an interface that it needs or with one that is none.
 */
int ping_targets_init(struct ping_run *run, const char *const *texts, size_t count,
                      enum qcmp_family family, struct error *error);

/** Goes on to the next address of a target's name. @return false when there is none. */
bool ping_targets_move(struct ping_run *run, struct ping_target *target);

/** The target that a datagram's source belongs to: the same address and port, or else the same
 * address; NULL if it is no target's. Of equal ones the first given. */
struct ping_target *ping_targets_find(const struct ping_run *run, const struct qcmp_endpoint *peer);

/** Frees what ping_targets_init() made. */
void ping_targets_fini(struct ping_run *run);

/**
 * Pings all targets that have an address. A target whose name has several is pinged one ping at a
 * time until an answer comes or the last address is in use. Blocks until every ping has ended,
 * SIGINT, SIGTERM or SIGHUP comes, or the socket gives nothing but errors for as long as the
 * time-out. The signals are blocked meanwhile, save in ping_await_output(); a second one is left to
 * the caller.
 * @return 0 or a negative error as in qcmp/error.h; what the run has by then stays in it.
 */
int ping_run(struct ping_run *run);

/** Waits until @p fd takes output, for the callbacks of a run to call before they write. SIGINT,
 * SIGTERM and SIGHUP are unblocked while it has to wait: they do what they do to a process without
 * handlers, since nobody would see the results. */
void ping_await_output(int fd);

#endif

/** @file
 * HTTP for operators and their machines: health, metrics, the configuration in force.
 *
 * One thread of its own serves everybody. A connection carries one request and has one deadline for
 * all of it, from its arrival to the last byte of the answer; and when there are as many
 * connections as there may be, a new one takes the place of the oldest. A request that is whole is
 * answered at once, so the oldest are those that are not, or whose answers nobody reads: strangers
 * who hold connections open cannot keep a scraper out.
 */
#ifndef PADDOCK_ADMIN_ADMIN_H
#define PADDOCK_ADMIN_ADMIN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#include "metrics/exposition.h"

#define ADMIN_CONNECTIONS 256
#define ADMIN_DEADLINE_MS 10000

/**
 * What is to be shown. All are called by the server's thread, one at a time, and nobody else is
 * served meanwhile: they must be quick, and safe beside the threads whose state they read.
 */
struct admin_callbacks {
    /** /live, /livez: whether the process works; otherwise 500. */
    bool (*live)(void *user);
    /** /ready, /readyz: whether it serves; otherwise 500. */
    bool (*ready)(void *user);
    /** /metrics: writes the text of that format. @return 0, or a negative errno value for a 500. */
    int (*metrics)(FILE *out, enum metrics_format format, void *user);
    /** /config: writes JSON. @param with_access whether access lists are asked for, by
     * /config?access=true. @return 0, or a negative errno value for a 500. */
    int (*config)(FILE *out, bool with_access, void *user);
};

/** How to start a server. */
struct admin_options {
    const struct sockaddr *address; /**< AF_INET or AF_INET6; port 0 takes a free one; :: is for
                                       IPv4 as well, and is 0.0.0.0 where the host has no IPv6.
                                       Borrowed during the call. */
    unsigned connections;           /**< the most at a time; 0 = #ADMIN_CONNECTIONS */
    unsigned deadline_ms;           /**< of a connection; 0 = #ADMIN_DEADLINE_MS */
    struct admin_callbacks callbacks;
    void *user; /**< for the callbacks; must outlive the server */
};

struct admin;

/**
 * Listens and starts the thread, which takes no signals.
 * @param[out] admin allocated; untouched on failure. Ended with admin_stop().
 * @return 0 or a negative errno value: -EADDRINUSE when somebody has the port, -EAFNOSUPPORT for
 * another family of addresses.
 */
int admin_start(struct admin **admin, const struct admin_options *options);

/** The port in use, host order. */
uint16_t admin_port(const struct admin *admin);

/** Drops all connections, ends the thread, closes and frees. Blocks until that is done; a callback
 * that runs is waited for. NULL is fine. */
void admin_stop(struct admin *admin);

#endif

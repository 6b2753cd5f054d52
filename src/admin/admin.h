/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * HTTP for operators and their machines: health, metrics, the configuration in force.
 */
#ifndef PADDOCK_ADMIN_ADMIN_H
#define PADDOCK_ADMIN_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "http/server.h"
#include "metrics/metrics.h"

/** What is to be shown. All are called by the server's thread, as a #http_answer_fn is. */
struct admin_callbacks {
    /** /live, /livez: whether the process works; otherwise 500. */
    bool (*live)(void *user);
    /** /ready, /readyz: whether it serves; otherwise 500. */
    bool (*ready)(void *user);
    /** /metrics: writes all families, without metrics_end(). */
    void (*metrics)(struct metrics *out, void *user);
    /**
     * /config: the JSON of the version in force, which should be rendered once a version and
     * shared.
     * @param with_access whether access lists are asked for, by /config?access=true.
     * @return a reference, which goes to the server; NULL for a 500.
     */
    struct http_blob *(*config)(bool with_access, void *user);
    /**
     * /sessions, /trace and /control: the JSON of a list. May wait for a second.
     * @param request whose path and query say which.
     * @param[out] error zeroed; what is wrong with the query, for a 400.
     * @return a reference, which goes to the server; NULL for a 500 where there is no error.
     */
    struct http_blob *(*list)(const struct http_request *request, struct error *error, void *user);
};

/** How to start a server. */
struct admin_options {
    const struct sockaddr *address; /**< as that of http_server_listen() */
    struct http_limits limits;      /**< zeroed: the defaults */
    struct admin_callbacks callbacks;
    bool shows_sessions; /**< /sessions and /trace to every host; otherwise to the host itself alone
                          */
    void (*began)(void *user); /**< called first in the server's thread; may be NULL */
    void *user;                /**< for the callbacks; must outlive the server */
};

struct admin;

/**
 * Starts a server as http_server_start() does, and listens as http_server_listen() does.
 * @param[out] admin allocated; untouched on failure. Ended with admin_stop().
 * @param[out] error NULL is fine.
 * @return 0 or the code of @p error.
 */
int admin_start(struct admin **admin, const struct admin_options *options, struct error *error);

/** The port in use, host order. */
uint16_t admin_port(const struct admin *admin);

/** Stops and frees, as http_server_stop() does. NULL is fine. */
void admin_stop(struct admin *admin);

#endif

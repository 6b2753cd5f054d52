/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * A port on which gRPC is served, and its connections.
 */
#ifndef PADDOCK_XDS_SERVER_H
#define PADDOCK_XDS_SERVER_H

#include "base/log.h"
#include "loop/loop.h"
#include "xds/grpc.h"
#include "xds/metrics.h"
#include "xds/tls.h"

/** Connections of one port at a time. */
#define SERVER_MAX_CONNECTIONS 8192

struct server;

struct server_options {
    struct loop *loop;
    struct log *log;
    uint16_t port;         /**< on all addresses; 0: any free one */
    const struct tls *tls; /**< NULL: in the clear */
    size_t per_address;    /**< the most connections of one IPv4 address, or of one /64 of IPv6 */
    struct xds_metrics *metrics;
    const struct grpc_method *methods;
    size_t message_bytes;
    struct grpc_memory *memory;
    void *user; /**< of the methods */
};

/** Binds the port, and does not accept yet.
 * @param[out] server untouched on failure; freed with server_free().
 * @return 0 or a negative errno value. */
int server_open(struct server **server, const struct server_options *options);

/** Accepts connections from now on. @return 0 or a negative errno value. */
int server_start(struct server *server);

/** Says goodbye to all clients, closes and frees. NULL is fine. */
void server_free(struct server *server);

/** To be called every second. */
void server_tick(struct server *server, int64_t now_ns);

/** The port in use, host order. */
uint16_t server_port(const struct server *server);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What a stranger sends to a server of the control plane. Oracles: another client is served
 * meanwhile; when the stranger is gone nothing of its memory is left.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check.h"
#include "xds/ads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stand {
    struct loop *loop;
    struct log log;
    struct catalog *catalog;
    struct xds_metrics *metrics;
    struct publications *publications;
    unsigned ended;
};

static void called(struct grpc_call *call, const struct h2_headers *headers, void *user)
{
    struct stand *stand = user;

    (void)headers;
    ads_take_subscriber(stand->publications, call);
}

static void ended(struct h2_connection *connection, void *owner)
{
    struct stand *stand = owner;

    (void)connection;
    stand->ended++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct grpc_method methods[] = {{ADS_PATH, &ads_events, called}, {.path = NULL}};
    struct stand stand = {.ended = 0};
    struct grpc_memory memory = {.most = 1 << 20};
    int pair[2];

    log_init(&stand.log, &(struct log_options){.fd = -1, .level = LOG_LEVEL_OFF});
    CHECK(loop_new(&stand.loop) == 0);
    CHECK(catalog_new(&stand.catalog, NULL, &stand.log) == 0);
    CHECK((stand.metrics = xds_metrics_new()) != NULL);
    const struct publications_options options = {
        .loop = stand.loop, .log = &stand.log, .catalog = stand.catalog, .metrics = stand.metrics};
    CHECK(publications_new(&stand.publications, &options) == 0);
    struct grpc_server server = {.methods = methods,
                                 .user = &stand,
                                 .message_bytes = 65536,
                                 .memory = &memory,
                                 .ended = ended,
                                 .owner = &stand};
    const struct h2_options h2 = {
        .loop = stand.loop, .events = &grpc_server_events, .user = &server, .is_server = true};
    struct h2_connection *connection;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    CHECK(h2_open(&connection, pair[0], &h2) == 0);

    for (size_t sent = 0; sent < size && stand.ended == 0;) {
        uint8_t answer[65536];
        ssize_t taken = send(pair[1], data + sent, size - sent, MSG_NOSIGNAL);

        CHECK(taken > 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
        if (taken < 0 && errno != EAGAIN)
            break;
        sent += taken > 0 ? (size_t)taken : 0;
        loop_turn(stand.loop, 0);
        while (recv(pair[1], answer, sizeof answer, 0) > 0) {
        }
    }
    close(pair[1]);
    for (unsigned i = 0; i < 100 && stand.ended == 0; i++)
        loop_turn(stand.loop, 0);
    CHECK(stand.ended == 1);
    CHECK(memory.used == 0);
    json_t *peers = publications_show(stand.publications);
    CHECK(json_array_size(peers) == 0);
    json_decref(peers);
    publications_free(stand.publications);
    xds_metrics_free(stand.metrics);
    catalog_free(stand.catalog);
    loop_free(stand.loop);
    return 0;
}

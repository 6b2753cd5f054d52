/* SPDX-License-Identifier: Apache-2.0 */
/* relay_fleet PUSH_PORT SUBSCRIBE_PORT SUBSCRIBERS RATE SECONDS: an agent that changes one locality
 * RATE times a second at a relay on this host, and subscribers that take and acknowledge whatever
 * comes. Waits for a line on stdin between connecting and changing. Prints what the subscribers
 * got. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/number.h"
#include "xds/mds.h"

#define SECOND_NS INT64_C(1000000000)

struct fleet {
    struct loop *loop;
    struct log log;
    struct catalog *catalog;
    struct xds_metrics *metrics;
    struct publications *publications;
    struct grpc_memory memory;
    uint64_t ready, messages, bytes, ended;
};

struct subscriber_end {
    struct fleet *fleet;
    struct grpc_client client;
    struct h2_connection *connection;
    struct grpc_call *call;
    bool is_greeted;
};

static void send_request(struct grpc_call *call, const char *type, const char *nonce)
{
    Xds__DeltaDiscoveryRequest request;
    Xds__Node node;

    xds__delta_discovery_request__init(&request);
    xds__node__init(&node);
    node.id = "bench";
    node.user_agent_name = "quilkin";
    request.node = nonce == NULL ? &node : NULL;
    request.type_url = (char *)(uintptr_t)type;
    request.response_nonce = (char *)(uintptr_t)(nonce != NULL ? nonce : "");
    size_t bytes = xds__delta_discovery_request__get_packed_size(&request);
    char *data = malloc(bytes);
    xds__delta_discovery_request__pack(&request, (uint8_t *)data);
    struct http_blob *blob = http_blob_new(data, bytes);
    (void)grpc_send(call, &blob, 1);
    grpc_flush(call);
}

static void take_message(struct grpc_call *call, const uint8_t *data, size_t bytes)
{
    struct subscriber_end *end = grpc_user(call);
    struct arena arena;

    arena_init(&arena, bytes);
    Xds__DeltaDiscoveryResponse *response =
        xds__delta_discovery_response__unpack(&arena.allocator, bytes, data);
    if (!end->is_greeted) {
        end->is_greeted = true;
        end->fleet->ready++;
        send_request(call, resource_type_url(RESOURCE_CLUSTER), NULL);
    } else if (response != NULL) {
        end->fleet->messages++;
        end->fleet->bytes += bytes;
        send_request(call, response->type_url, response->nonce);
    }
    arena_fini(&arena);
}

static void end_call(struct grpc_call *call, enum grpc_status status, const char *message)
{
    struct subscriber_end *end = grpc_user(call);

    fprintf(stderr, "relay_fleet: a stream ended: %d, %s\n", status, message);
    end->fleet->ended++;
}

static const struct grpc_events events = {.message = take_message, .closed = end_call};

static void ready(void *user)
{
    struct subscriber_end *end = user;

    end->call = grpc_call(end->connection, ADS_PATH, &events, &end->client, end);
    send_request(end->call, "ignore-me", NULL);
}

static void ended(const char *reason, void *user)
{
    struct subscriber_end *end = user;

    (void)reason;
    end->connection = NULL;
}

static void open_end(struct subscriber_end *end, uint16_t port)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct fleet *fleet = end->fleet;
    const struct h2_options options = {.loop = fleet->loop,
                                       .events = &grpc_client_events,
                                       .user = &end->client,
                                       .host = "127.0.0.1"};

    end->client = (struct grpc_client){.ready = ready,
                                       .ended = ended,
                                       .user = end,
                                       .message_bytes = 1 << 20,
                                       .memory = &fleet->memory};
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        perror("connect");
    if (h2_open(&end->connection, fd, &options) != 0)
        exit(EXIT_FAILURE);
}

static void change(struct fleet *fleet, uint64_t number)
{
    struct catalog_change told = {.clusters = clusters_new()};
    struct cluster *cluster = cluster_new("eu");
    struct cluster_endpoint *endpoint;
    char text[64];

    for (unsigned i = 0; i < 100; i++) {
        uint64_t token = i == 0 ? number : i;

        snprintf(text, sizeof text, "10.0.%u.1:7000", i);
        (void)cluster_add_endpoint(cluster, text, &endpoint);
        (void)cluster_add_token(cluster, endpoint, &token, sizeof token);
    }
    (void)clusters_add(told.clusters, cluster);
    (void)catalog_update(fleet->catalog, CATALOG_FS, &told);
}

static void run_until(struct fleet *fleet, int64_t until_ns)
{
    while (clock_monotonic_ns() < until_ns)
        loop_turn(fleet->loop, until_ns);
}

int main(int argc, char **argv)
{
    uint64_t numbers[5] = {0};
    struct fleet fleet = {.memory = {.most = UINT64_C(1) << 30}};
    struct mds_client *agent;
    char line[16];

    for (int i = 1; i < 6; i++) {
        if (argc != 6 || number_parse(argv[i], 1, 100000, &numbers[i - 1]) != 0) {
            fprintf(stderr, "relay_fleet PUSH_PORT SUBSCRIBE_PORT SUBSCRIBERS RATE SECONDS\n");
            return 2;
        }
    }
    log_init(&fleet.log, &(struct log_options){.fd = 2, .level = LOG_LEVEL_WARN});
    fleet.metrics = xds_metrics_new();
    if (loop_new(&fleet.loop) != 0 || catalog_new(&fleet.catalog, NULL, &fleet.log) != 0)
        return EXIT_FAILURE;
    catalog_set_self(fleet.catalog, &(struct catalog_self){.id = "bench"});
    change(&fleet, 0);
    const struct publications_options publications = {
        .loop = fleet.loop, .log = &fleet.log, .catalog = fleet.catalog, .metrics = fleet.metrics};
    const struct xds_urls urls = {.items = {{.host = "127.0.0.1", .port = (uint16_t)numbers[0]}},
                                  .count = 1};
    if (publications_new(&fleet.publications, &publications) != 0)
        return EXIT_FAILURE;
    const struct mds_client_options options = {.dialer = {.loop = fleet.loop,
                                                          .log = &fleet.log,
                                                          .name = "mds",
                                                          .urls = &urls,
                                                          .ping_ns = 3600 * SECOND_NS,
                                                          .message_bytes = 1 << 20,
                                                          .memory = &fleet.memory,
                                                          .metrics = fleet.metrics},
                                               .catalog = fleet.catalog,
                                               .publications = fleet.publications};
    if (mds_client_new(&agent, &options) != 0)
        return EXIT_FAILURE;
    mds_client_start(agent);
    struct subscriber_end *ends = calloc(numbers[2], sizeof *ends);
    for (uint64_t i = 0; i < numbers[2]; i++) {
        ends[i].fleet = &fleet;
        open_end(&ends[i], (uint16_t)numbers[1]);
        run_until(&fleet, clock_monotonic_ns() + 1000000);
    }
    run_until(&fleet, clock_monotonic_ns() + 3 * SECOND_NS);
    printf("{\"subscribers\": %llu, \"first\": %llu}\n", (unsigned long long)fleet.ready,
           (unsigned long long)fleet.messages);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return EXIT_FAILURE;

    uint64_t before = fleet.messages, bytes = fleet.bytes;
    int64_t began_ns = clock_monotonic_ns();
    uint64_t changes = numbers[3] * numbers[4];
    for (uint64_t i = 0; i < changes; i++) {
        change(&fleet, i + 1000);
        run_until(&fleet, began_ns + (int64_t)(i + 1) * SECOND_NS / (int64_t)numbers[3]);
    }
    run_until(&fleet, clock_monotonic_ns() + SECOND_NS / 2);
    printf("{\"changes\": %llu, \"messages\": %llu, \"bytes\": %llu, \"seconds\": %.3f, "
           "\"ended\": %llu}\n",
           (unsigned long long)changes, (unsigned long long)(fleet.messages - before),
           (unsigned long long)(fleet.bytes - bytes),
           (double)(clock_monotonic_ns() - began_ns) / 1e9, (unsigned long long)fleet.ended);
    return 0; /* the system takes all of it back */
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/ads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define SECOND_NS INT64_C(1000000000)

/* A server that says nothing for so long is left, first before its headers, then before its first
 * response. */
#define ANSWER_NS (5 * SECOND_NS)
#define READY_NS (2 * SECOND_NS)

/* ---- a server ---- */

void ads_judge(struct grpc_call *call, enum grpc_status status, const struct error *error)
{
    if (status != GRPC_OK)
        grpc_finish(call, status, error->text[0] != '\0' ? error->text : "out of memory");
}

static void take_request(struct grpc_call *call, const uint8_t *data, size_t bytes)
{
    struct error error = {0};
    enum grpc_status status = publisher_take(grpc_user(call), data, bytes, &error);

    ads_judge(call, status, &error);
}

static void end_subscriber(struct grpc_call *call, enum grpc_status status, const char *message)
{
    (void)status;
    (void)message;
    publisher_free(grpc_user(call));
}

const struct grpc_events ads_events = {.message = take_request, .closed = end_subscriber};

void ads_take_subscriber(struct publications *publications, struct grpc_call *call)
{
    struct publisher *publisher = publisher_new(publications, call, "subscriber", false);

    grpc_set_user(call, publisher);
    if (publisher == NULL)
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

/* ---- a client ---- */

struct ads_client {
    struct ads_client_options options;
    struct dialer *dialer;
    struct h2_connection *connection;
    const struct grpc_client *grpc;
    struct grpc_call *call;
    struct learned *learned;
    struct subscriber subscriber;
    unsigned method;     /* of methods[], which the last server took */
    bool has_tried_both; /* on this connection */
    bool is_greeted;     /* the server's first response has come */
    bool was_good;       /* this connection has brought something */
    bool is_counted;     /* as an active control plane, by its name */
    char counted[SUBSCRIBER_LABEL_BYTES];
    int64_t called_ns;
    uint64_t failures;
};

static const char *const methods[] = {ADS_RELAY_PATH, ADS_PATH};

static void call(struct ads_client *client);

static void count(const struct ads_client *client, enum xds_family family, const char *what)
{
    xds_metrics_add(client->options.dialer.metrics, family, "client", what, 1);
}

/* The first response says which types the server has; what else it says does not matter. */
static bool take_greeting(struct ads_client *client, const Xds__DeltaDiscoveryResponse *response)
{
    struct subscriber *subscriber = &client->subscriber;
    const char *version = response->system_version_info;

    if (strcmp(version, SNAPSHOT_SYSTEM_VERSION) != 0 && *version != '\0')
        return false;
    client->is_greeted = true;
    subscriber->is_wanted[RESOURCE_CLUSTER] = subscriber->is_wanted[RESOURCE_DATACENTER] = true;
    subscriber->is_wanted[RESOURCE_FILTER_CHAIN] = *version != '\0';
    if (response->control_plane != NULL)
        text_escape(response->control_plane->identifier, subscriber->control_plane,
                    sizeof subscriber->control_plane);
    snprintf(client->counted, sizeof client->counted, "%s", subscriber->control_plane);
    client->is_counted = true;
    xds_metrics_add(client->options.dialer.metrics, XDS_ACTIVE, client->counted, NULL, 1);
    return true;
}

static void take_message(struct grpc_call *call, const uint8_t *data, size_t bytes)
{
    struct ads_client *client = grpc_user(call);
    struct arena arena;
    bool is_fine;

    arena_init(&arena, bytes);
    const Xds__DeltaDiscoveryResponse *response =
        xds__delta_discovery_response__unpack(&arena.allocator, bytes, data);
    if (response == NULL) {
        is_fine = false;
    } else if (client->is_greeted) {
        is_fine = true;
        client->was_good |= subscriber_take(&client->subscriber, response, &arena) == 0;
    } else {
        is_fine = take_greeting(client, response) && subscriber_ask(&client->subscriber) == 0;
    }
    arena_fini(&arena);
    client->options.changed(client->options.user);
    if (is_fine)
        return;
    count(client, XDS_ERRORS, "unexpected");
    grpc_finish(call, GRPC_INTERNAL, "the server's response is not fit for use");
}

static void end_call(struct grpc_call *ended, enum grpc_status status, const char *message)
{
    struct ads_client *client = grpc_user(ended);

    client->call = NULL;
    if (client->is_counted)
        xds_metrics_add(client->options.dialer.metrics, XDS_ACTIVE, client->counted, NULL, -1);
    client->is_counted = false;
    if (client->connection == NULL)
        return;
    client->options.changed(client->options.user);
    LOG_EVENT(client->options.dialer.log, LOG_LEVEL_INFO,
              log_text("message", "control plane stream ended"),
              log_text("method", methods[client->method]), log_int("status", status),
              log_text("error", message));
    count(client, XDS_ACTIONS, "remote_terminate");
    if (!client->is_greeted) {
        bool may_take_other = !client->has_tried_both && status != GRPC_DEADLINE_EXCEEDED;

        client->has_tried_both = true;
        client->method = !client->method;
        if (may_take_other)
            call(client);
    }
    if (client->call == NULL)
        h2_close(client->connection, "the stream ended");
}

static const struct grpc_events client_events = {.message = take_message, .closed = end_call};

static void call(struct ads_client *client)
{
    client->is_greeted = false;
    client->called_ns = clock_monotonic_ns();
    client->call = grpc_call(client->connection, methods[client->method], &client_events,
                             client->grpc, client);
    if (client->call == NULL)
        return;
    client->subscriber = (struct subscriber){.call = client->call,
                                             .learned = client->learned,
                                             .metrics = client->options.dialer.metrics,
                                             .log = client->options.dialer.log,
                                             .node_id = catalog_self(client->options.catalog)->id};
    if (subscriber_greet(&client->subscriber) != 0)
        grpc_finish(client->call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

static void connected(struct h2_connection *connection, const struct grpc_client *grpc, void *user)
{
    struct ads_client *client = user;

    client->connection = connection;
    client->grpc = grpc;
    client->has_tried_both = client->was_good = false;
    count(client, XDS_ACTIONS, "connect");
    call(client);
    if (client->call == NULL)
        h2_close(connection, "out of memory");
}

static bool lost(void *user)
{
    struct ads_client *client = user;

    client->connection = NULL;
    client->failures++;
    count(client, XDS_ACTIONS, "terminate");
    /* A server may have nothing to tell that is not known yet. */
    return client->was_good ||
           (client->is_greeted && clock_monotonic_ns() - client->called_ns >= READY_NS);
}

static const struct dialer_events dialer_events = {.connected = connected, .lost = lost};

int ads_client_new(struct ads_client **client, const struct ads_client_options *options)
{
    struct ads_client *made = calloc(1, sizeof *made);
    int error = made != NULL ? 0 : -ENOMEM;

    if (error == 0) {
        made->options = *options;
        error = learned_new(&made->learned, options->catalog, CATALOG_XDS);
    }
    if (error == 0)
        error = dialer_new(&made->dialer, &options->dialer, &dialer_events, made);
    if (error != 0) {
        ads_client_free(made);
        return error;
    }
    *client = made;
    return 0;
}

void ads_client_free(struct ads_client *client)
{
    if (client == NULL)
        return;
    client->connection = NULL;
    dialer_free(client->dialer);
    learned_free(client->learned);
    free(client);
}

void ads_client_start(struct ads_client *client)
{
    dialer_start(client->dialer);
}

void ads_client_tick(struct ads_client *client, int64_t now_ns)
{
    int64_t patience_ns =
        client->call != NULL && grpc_is_answered(client->call) ? 2 * ANSWER_NS : ANSWER_NS;

    if (client->call != NULL && !client->is_greeted && now_ns - client->called_ns >= patience_ns) {
        count(client, XDS_ERRORS, "timeout");
        grpc_finish(client->call, GRPC_DEADLINE_EXCEEDED, "the server does not answer");
    } else if (client->call != NULL && client->is_greeted) {
        subscriber_tick(&client->subscriber, now_ns);
    }
    dialer_tick(client->dialer, now_ns);
}

bool ads_client_is_ready(const struct ads_client *client, int64_t now_ns)
{
    const struct subscriber *subscriber = &client->subscriber;
    bool is_told = true;

    if (client->call == NULL || !client->is_greeted)
        return false;
    for (unsigned type = 0; type < RESOURCE_TYPES; type++)
        is_told &= !subscriber->is_wanted[type] || subscriber->is_told[type];
    return is_told || now_ns - subscriber->asked_ns >= READY_NS;
}

uint64_t ads_client_failures(const struct ads_client *client)
{
    return client->failures;
}

json_t *ads_client_show(const struct ads_client *client)
{
    json_t *json = dialer_show(client->dialer, "server");

    if (client->call != NULL && client->is_greeted) {
        json_t *state = subscriber_show(&client->subscriber);

        json_object_update(json, state);
        json_decref(state);
    }
    return json;
}

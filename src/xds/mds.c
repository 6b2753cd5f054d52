/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/mds.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "config/types.h"
#include "net/address.h"

/* A relay that says nothing for so long is left, first before its headers, then before it asks. */
#define ANSWER_NS INT64_C(5000000000)

/* ---- a relay ---- */

/* One stream of an agent. */
struct agent {
    struct mds_relay *relay;
    struct agent *next, **place;
    struct subscriber subscriber;
    char id[SUBSCRIBER_LABEL_BYTES];
    bool is_known; /* its first message has come */
};

struct mds_relay {
    struct mds_relay_options options;
    struct learned *learned;
    struct prefix_list agents, trusted_proxies;
    struct agent *first;
};

static bool matches(const struct prefix_list *list, const struct in6_addr *address)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct prefix *prefix = &list->items[i];
        unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
        uint8_t mask = (uint8_t)(0xff << (8 - rest));

        if (IN6_IS_ADDR_V4MAPPED(address) && !prefix_is_ipv4(prefix))
            continue;
        if (memcmp(&prefix->address, address, whole) == 0 &&
            (rest == 0 || ((prefix->address.s6_addr[whole] ^ address->s6_addr[whole]) & mask) == 0))
            return true;
    }
    return false;
}

/* An address as a header has it: with or without brackets, quotes and port. */
static int take_address(const char *text, size_t length, struct in6_addr *address)
{
    char copy[64];

    while (length > 0 && (*text == ' ' || *text == '"' || *text == '[')) {
        text++;
        length--;
    }
    size_t end = 0;
    while (end < length && text[end] != '"' && text[end] != ']' && text[end] != ' ')
        end++;
    if (end == 0 || end >= sizeof copy)
        return -1;
    memcpy(copy, text, end);
    copy[end] = '\0';
    if (type_address.parse(copy, address) == 0)
        return 0;
    char *colon = strchr(copy, ':'); /* IPv4 with a port */
    if (colon == NULL)
        return -1;
    *colon = '\0';
    return type_address.parse(copy, address);
}

/* The first `for=` of Forwarded (RFC 7239). */
static int take_forwarded(const char *text, struct in6_addr *address)
{
    while (*text != '\0') {
        size_t length = strcspn(text, ";,");

        while (length > 0 && *text == ' ') {
            text++;
            length--;
        }
        if (length > 4 && strncasecmp(text, "for=", 4) == 0)
            return take_address(text + 4, length - 4, address);
        text += length;
        text += *text != '\0';
    }
    return -1;
}

struct in6_addr mds_relay_agent_address(const struct in6_addr *peer, bool trusted,
                                        const struct h2_headers *headers)
{
    struct in6_addr address = *peer;

    if (!trusted)
        return address;
    if (headers->forwarded[0] != '\0' && take_forwarded(headers->forwarded, &address) == 0)
        return address;
    if (headers->forwarded_for[0] != '\0' &&
        take_address(headers->forwarded_for, strcspn(headers->forwarded_for, ","), &address) == 0)
        return address;
    if (headers->envoy_address[0] != '\0')
        (void)take_address(headers->envoy_address, strlen(headers->envoy_address), &address);
    return address;
}

/* The first message is of the agent alone; then the relay asks. */
static enum grpc_status take_first(struct agent *agent, const Xds__DeltaDiscoveryResponse *response)
{
    if (response->control_plane == NULL || response->control_plane->identifier[0] == '\0')
        return GRPC_INVALID_ARGUMENT;
    text_escape(response->control_plane->identifier, agent->id, sizeof agent->id);
    snprintf(agent->subscriber.control_plane, sizeof agent->subscriber.control_plane, "%s",
             agent->id);
    agent->is_known = true;
    xds_metrics_add(agent->relay->options.metrics, XDS_ACTIVE, agent->id, NULL, 1);
    return subscriber_ask(&agent->subscriber) == 0 ? GRPC_OK : GRPC_RESOURCE_EXHAUSTED;
}

static void take_pushed(struct grpc_call *call, const uint8_t *data, size_t bytes)
{
    struct agent *agent = grpc_user(call);
    struct error error = {0};
    struct arena arena;

    arena_init(&arena, bytes);
    const Xds__DeltaDiscoveryResponse *response =
        xds__delta_discovery_response__unpack(&arena.allocator, bytes, data);
    enum grpc_status status = GRPC_OK;
    if (response == NULL) {
        status = GRPC_INVALID_ARGUMENT;
        error_set(&error, -EINVAL, "a response that is broken");
    } else if (!agent->is_known) {
        status = take_first(agent, response);
        error_set(&error, -EINVAL, "the first response has no control plane identifier");
    } else {
        (void)subscriber_take(&agent->subscriber, response, &arena);
    }
    arena_fini(&arena);
    if (status != GRPC_OK)
        xds_metrics_add(agent->relay->options.metrics, XDS_ERRORS, "server", "receive", 1);
    ads_judge(call, status, &error);
}

static void end_agent(struct grpc_call *call, enum grpc_status status, const char *message)
{
    struct agent *agent = grpc_user(call);

    (void)status;
    (void)message;
    if (agent == NULL)
        return;
    if (agent->is_known)
        xds_metrics_add(agent->relay->options.metrics, XDS_ACTIVE, agent->id, NULL, -1);
    learned_leave(agent->relay->learned, agent->subscriber.owner);
    *agent->place = agent->next;
    if (agent->next != NULL)
        agent->next->place = agent->place;
    free(agent);
}

const struct grpc_events mds_relay_events = {.message = take_pushed, .closed = end_agent};

void mds_relay_take_agent(struct mds_relay *relay, struct grpc_call *call,
                          const struct h2_headers *headers)
{
    struct sockaddr_in6 peer = h2_peer(grpc_connection(call));
    bool trusted = matches(&relay->trusted_proxies, &peer.sin6_addr);
    struct in6_addr address = mds_relay_agent_address(&peer.sin6_addr, trusted, headers);

    if (relay->agents.count > 0 && !matches(&relay->agents, &address)) {
        grpc_finish(call, GRPC_PERMISSION_DENIED, "this address may not push (paddock.mds.agents)");
        return;
    }
    struct agent *agent = calloc(1, sizeof *agent);
    struct learned_owner *owner = agent != NULL ? learned_join(relay->learned, &address) : NULL;
    if (owner == NULL) {
        free(agent);
        grpc_finish(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    *agent = (struct agent){
        .relay = relay,
        .next = relay->first,
        .place = &relay->first,
        .subscriber = {.call = call,
                       .learned = relay->learned,
                       .owner = owner,
                       .metrics = relay->options.metrics,
                       .log = relay->options.log,
                       .node_id = agent->id,
                       .is_wanted = {[RESOURCE_CLUSTER] = true, [RESOURCE_DATACENTER] = true}}};
    if (agent->next != NULL)
        agent->next->place = &agent->next;
    relay->first = agent;
    grpc_set_user(call, agent);
}

int mds_relay_new(struct mds_relay **relay, const struct mds_relay_options *options)
{
    struct mds_relay *made = calloc(1, sizeof *made);

    if (made == NULL || learned_new(&made->learned, options->catalog, CATALOG_MDS) != 0) {
        free(made);
        return -ENOMEM;
    }
    made->options = *options;
    *relay = made;
    return 0;
}

void mds_relay_free(struct mds_relay *relay)
{
    if (relay == NULL)
        return;
    learned_free(relay->learned);
    prefix_list_fini(&relay->agents);
    prefix_list_fini(&relay->trusted_proxies);
    free(relay);
}

static int copy_list(struct prefix_list *to, const struct prefix_list *from)
{
    for (size_t i = 0; i < from->count; i++) {
        if (prefix_list_add(to, &from->items[i]) != 0)
            return -ENOMEM;
    }
    return 0;
}

int mds_relay_admit(struct mds_relay *relay, const struct prefix_list *agents,
                    const struct prefix_list *trusted_proxies)
{
    struct prefix_list first = {.count = 0}, second = {.count = 0};

    if (copy_list(&first, agents) != 0 || copy_list(&second, trusted_proxies) != 0) {
        prefix_list_fini(&first);
        prefix_list_fini(&second);
        return -ENOMEM;
    }
    prefix_list_fini(&relay->agents);
    prefix_list_fini(&relay->trusted_proxies);
    relay->agents = first;
    relay->trusted_proxies = second;
    return 0;
}

void mds_relay_tick(struct mds_relay *relay, int64_t now_ns)
{
    for (struct agent *agent = relay->first; agent != NULL; agent = agent->next)
        subscriber_tick(&agent->subscriber, now_ns);
}

void mds_relay_show(const struct mds_relay *relay, json_t *list)
{
    for (const struct agent *agent = relay->first; agent != NULL; agent = agent->next) {
        json_t *json = subscriber_show(&agent->subscriber);
        char text[ADDRESS_TEXT_BYTES];

        address_format(&agent->subscriber.owner->address,
                       ntohs(h2_peer(grpc_connection(agent->subscriber.call)).sin6_port), text);
        json_object_set_new(json, "role", json_string("agent"));
        json_object_set_new(json, "id", json_string(agent->id));
        json_object_set_new(json, "address", json_string(text));
        json_array_append_new(list, json);
    }
}

/* ---- an agent ---- */

struct mds_client {
    struct mds_client_options options;
    struct catalog_watch watch;
    struct dialer *dialer;
    struct h2_connection *connection;
    struct grpc_call *call;
    struct publisher *publisher;
    bool was_good, is_started, is_silent;
    int64_t called_ns;
    uint64_t failures;
};

static void take_request(struct grpc_call *call, const uint8_t *data, size_t bytes)
{
    struct mds_client *client = grpc_user(call);
    struct error error = {0};
    enum grpc_status status = publisher_take(client->publisher, data, bytes, &error);

    client->was_good |= status == GRPC_OK;
    client->options.changed(client->options.user);
    ads_judge(call, status, &error);
}

static void end_call(struct grpc_call *call, enum grpc_status status, const char *message)
{
    struct mds_client *client = grpc_user(call);

    publisher_free(client->publisher);
    client->publisher = NULL;
    client->call = NULL;
    if (client->connection == NULL)
        return;
    client->options.changed(client->options.user);
    LOG_EVENT(client->options.dialer.log, LOG_LEVEL_INFO,
              log_text("message", "control plane stream ended"), log_text("method", MDS_PATH),
              log_int("status", status), log_text("error", message));
    h2_close(client->connection, "the stream ended");
}

static const struct grpc_events agent_events = {.message = take_request, .closed = end_call};

/* Says who this is: the region, as all agents of one speak for it, or the service's own name. */
static int introduce(struct mds_client *client)
{
    Xds__DeltaDiscoveryResponse message;
    const struct catalog_self *self = catalog_self(client->options.catalog);
    Xds__ControlPlane plane;

    xds__delta_discovery_response__init(&message);
    xds__control_plane__init(&plane);
    plane.identifier =
        (char *)(uintptr_t)(self->region[0] != '\0' ? self->region : self->id); /* only read */
    message.control_plane = &plane;
    size_t bytes = xds__delta_discovery_response__get_packed_size(&message);
    uint8_t *data = malloc(bytes);
    if (data != NULL)
        xds__delta_discovery_response__pack(&message, data);
    struct http_blob *blob = http_blob_new((char *)data, bytes);
    int error = blob != NULL ? grpc_send(client->call, &blob, 1) : -ENOMEM;
    grpc_flush(client->call);
    return error;
}

static void connected(struct h2_connection *connection, const struct grpc_client *grpc, void *user)
{
    struct mds_client *client = user;

    client->connection = connection;
    client->was_good = false;
    client->called_ns = clock_monotonic_ns();
    client->call = grpc_call(connection, MDS_PATH, &agent_events, grpc, client);
    if (client->call != NULL)
        client->publisher =
            publisher_new(client->options.publications, client->call, "relay", true);
    if (client->publisher == NULL || introduce(client) != 0)
        h2_close(connection, "out of memory");
}

static bool lost(void *user)
{
    struct mds_client *client = user;

    client->connection = NULL;
    client->failures++;
    return client->was_good;
}

/* A replica that does not lead has no stream, so that the relay does not take it for the owner of
 * what the leader tells. */
static void follow_self(void *user)
{
    struct mds_client *client = user;
    bool is_silent = catalog_self(client->options.catalog)->is_silent;

    if (!client->is_started || is_silent == client->is_silent)
        return;
    client->is_silent = is_silent;
    if (is_silent)
        dialer_stop(client->dialer);
    else
        dialer_start(client->dialer);
}

static const struct dialer_events dialer_events = {.connected = connected, .lost = lost};

int mds_client_new(struct mds_client **client, const struct mds_client_options *options)
{
    struct mds_client *made = calloc(1, sizeof *made);
    int error = made != NULL ? 0 : -ENOMEM;

    if (error == 0) {
        made->options = *options;
        error = dialer_new(&made->dialer, &options->dialer, &dialer_events, made);
    }
    if (error != 0) {
        free(made);
        return error;
    }
    made->watch = (struct catalog_watch){.changed = follow_self, .user = made};
    catalog_watch(options->catalog, &made->watch);
    *client = made;
    return 0;
}

void mds_client_free(struct mds_client *client)
{
    if (client == NULL)
        return;
    client->connection = NULL;
    catalog_unwatch(client->options.catalog, &client->watch);
    dialer_free(client->dialer);
    free(client);
}

void mds_client_start(struct mds_client *client)
{
    client->is_started = client->is_silent = true;
    follow_self(client);
}

void mds_client_tick(struct mds_client *client, int64_t now_ns)
{
    int64_t patience_ns =
        client->call != NULL && grpc_is_answered(client->call) ? 2 * ANSWER_NS : ANSWER_NS;

    if (client->call != NULL && !client->was_good && now_ns - client->called_ns >= patience_ns) {
        xds_metrics_add(client->options.dialer.metrics, XDS_ERRORS, "client", "timeout", 1);
        grpc_finish(client->call, GRPC_DEADLINE_EXCEEDED, "the relay does not answer");
    }
    dialer_tick(client->dialer, now_ns);
}

bool mds_client_is_ready(const struct mds_client *client)
{
    return client->is_silent || (client->call != NULL && grpc_is_answered(client->call));
}

uint64_t mds_client_failures(const struct mds_client *client)
{
    return client->failures;
}

void mds_client_show(const struct mds_client *client, json_t *list)
{
    if (client->publisher == NULL)
        json_array_append_new(list, dialer_show(client->dialer, "relay"));
}

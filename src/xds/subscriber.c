/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/subscriber.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"

#define SILENCE_NS INT64_C(30000000000)
#define USER_AGENT "paddock"

static int send_request(const struct subscriber *subscriber,
                        const Xds__DeltaDiscoveryRequest *request)
{
    size_t bytes = xds__delta_discovery_request__get_packed_size(request);
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);

    if (data != NULL)
        xds__delta_discovery_request__pack(request, data);
    struct http_blob *blob = http_blob_new((char *)data, bytes);
    return blob != NULL ? grpc_send(subscriber->call, &blob, 1) : -ENOMEM;
}

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text; /* messages that are sent are only read */
}

static void set_node(const struct subscriber *subscriber, Xds__Node *node)
{
    node->id = text_of(subscriber->node_id);
    node->user_agent_name = text_of(USER_AGENT);
}

int subscriber_greet(struct subscriber *subscriber)
{
    Xds__DeltaDiscoveryRequest request;
    Xds__Node node;

    xds__delta_discovery_request__init(&request);
    xds__node__init(&node);
    set_node(subscriber, &node);
    request.node = &node;
    request.type_url = text_of(RESOURCE_HELLO_TYPE);
    int error = send_request(subscriber, &request);
    grpc_flush(subscriber->call);
    return error;
}

int subscriber_ask(struct subscriber *subscriber)
{
    int error = 0;

    for (unsigned i = 0; i < RESOURCE_TYPES && error == 0; i++) {
        Xds__DeltaDiscoveryRequest request;
        enum resource_type type = (enum resource_type)i;
        Xds__Node node;
        struct arena arena;

        xds__delta_discovery_request__init(&request);
        xds__node__init(&node);
        if (!subscriber->is_wanted[type])
            continue;
        arena_init(&arena, SIZE_MAX / 64);
        set_node(subscriber, &node);
        request.node = &node;
        request.type_url = text_of(resource_type_url(type));
        error = learned_versions(subscriber->learned, type, subscriber->owner, &arena, &request);
        if (error == 0)
            error = send_request(subscriber, &request);
        arena_fini(&arena);
        xds_metrics_add(subscriber->metrics, XDS_ACTIONS, "client", "send_request", 1);
    }
    subscriber->asked_ns = clock_monotonic_ns();
    grpc_flush(subscriber->call);
    return error;
}

static void count(struct subscriber *subscriber, enum xds_family family,
                  const Xds__DeltaDiscoveryResponse *response, bool is_known)
{
    xds_metrics_add(subscriber->metrics, family, subscriber->control_plane,
                    is_known ? response->type_url : "other", 1);
}

int subscriber_take(struct subscriber *subscriber, const Xds__DeltaDiscoveryResponse *response,
                    struct arena *arena)
{
    Xds__DeltaDiscoveryRequest answer;
    Xds__Status status;
    enum resource_type type = RESOURCE_CLUSTER;
    struct error error = {0};
    bool is_known = resource_type_find(response->type_url, &type) == 0;
    bool is_wanted = is_known && subscriber->is_wanted[type];
    struct exchange *exchange = &subscriber->exchanges[is_wanted ? type : RESOURCE_TYPES];
    int code;

    xds__delta_discovery_request__init(&answer);
    xds__status__init(&status);
    subscriber->heard_ns = clock_monotonic_ns();
    exchange->responses++;
    if (response->control_plane != NULL)
        text_escape(response->control_plane->identifier, subscriber->control_plane,
                    sizeof subscriber->control_plane);
    count(subscriber, XDS_RESPONSES, response, is_known);
    if (!is_wanted)
        code = error_set(&error, -EINVAL, "this type was not asked for");
    else
        code = learned_take(subscriber->learned, type, response, subscriber->owner, arena, &error);

    answer.type_url = response->type_url;
    answer.response_nonce = response->nonce;
    if (code == 0) {
        exchange_ack(exchange);
        subscriber->is_told[type] = true;
    } else {
        char shown[ERROR_TEXT_BYTES];

        text_escape(error.text, shown, sizeof shown);
        status.code = GRPC_INVALID_ARGUMENT;
        status.message = shown;
        answer.error_detail = &status;
        exchange_nack(exchange, error.text);
        LOG_EVENT(subscriber->log, LOG_LEVEL_WARN, log_text("message", "resources are refused"),
                  log_text("control_plane", subscriber->control_plane),
                  log_text("type", is_known ? response->type_url : "other"),
                  log_text("error", shown));
        count(subscriber, XDS_NACKS, response, is_known);
        if (send_request(subscriber, &answer) == 0)
            grpc_flush(subscriber->call);
        return code;
    }
    count(subscriber, XDS_ACKS, response, is_known);
    code = send_request(subscriber, &answer);
    grpc_flush(subscriber->call);
    return code;
}

void subscriber_tick(struct subscriber *subscriber, int64_t now_ns)
{
    int64_t last_ns =
        subscriber->heard_ns > subscriber->asked_ns ? subscriber->heard_ns : subscriber->asked_ns;

    if (subscriber->asked_ns != 0 && now_ns - last_ns >= SILENCE_NS) {
        xds_metrics_add(subscriber->metrics, XDS_ACTIONS, "client", "refresh", 1);
        (void)subscriber_ask(subscriber);
    }
}

json_t *subscriber_show(const struct subscriber *subscriber)
{
    const struct exchange *others = &subscriber->exchanges[RESOURCE_TYPES];
    json_t *types = json_object();

    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        enum resource_type type = (enum resource_type)i;
        uint64_t digest;

        if (!subscriber->is_wanted[type])
            continue;
        size_t count = learned_count(subscriber->learned, type, subscriber->owner, &digest);
        json_object_set_new(types, resource_type_name(type),
                            exchange_show(&subscriber->exchanges[type], count, digest));
    }
    if (others->responses > 0)
        json_object_set_new(types, "other", exchange_show(others, 0, 0));
    return json_pack("{s:s, s:o}", "id", subscriber->control_plane, "types", types);
}

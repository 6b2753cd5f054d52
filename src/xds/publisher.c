/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/publisher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "base/text.h"
#include "net/address.h"
#include "xds/topic.h"

#define MS_NS INT64_C(1000000)

/* Changes that follow each other faster go as one. */
#define PUSH_NS (100 * MS_NS)

/* So long a peer may take to acknowledge before newer changes are sent all the same. */
#define ACK_NS (1000 * MS_NS)

/* A peer that asks so often while it reads nothing is left. */
#define MAX_UNREAD 64

#define LABEL_BYTES 128

/* Of what differs between two snapshots, which most subscribers have in common. */
#define DIFFS 8

/* How a peer that has one snapshot gets to another. */
struct diff {
    struct snapshot *from, *to;
    bool is_old, is_settled;
    struct snapshot *step;  /* the next that the peer has on the way */
    struct http_blob *body; /* of the response; what they differ in */
    bool is_nothing;        /* they do not differ */
};

struct publications {
    struct publications_options options;
    struct catalog_watch watch;
    struct snapshot *now[RESOURCE_TYPES];
    struct publisher *first;
    struct loop_timer push;
    struct diff diffs[DIFFS];
    unsigned next_diff;
    bool is_stale;   /* the catalog has changed since the snapshots */
    bool is_armed;   /* the timer is set */
    bool is_settled; /* see publications_options.settled_ns */
    int64_t pushed_ns;
    size_t claimed_bytes;   /* of all peers */
    struct siphash_key key; /* of nonces */
    uint64_t nonces;
};

struct publisher {
    struct publications *all;
    struct publisher *next, **place;
    struct grpc_call *call;
    const char *role;
    bool is_agent, has_node, is_old;
    unsigned unread; /* requests since all that was sent had left */
    char id[LABEL_BYTES];
    struct topic topics[RESOURCE_TYPES];
};

/* ---- what is to be told ---- */

/* Without memory the snapshot before stays, and the next tick tries again. */
static void refresh(struct publications *all)
{
    bool is_whole = true;

    if (!all->is_stale)
        return;
    for (unsigned type = 0; type < RESOURCE_TYPES; type++) {
        struct snapshot *next =
            snapshot_new((enum resource_type)type, all->options.catalog, all->now[type]);

        if (next == NULL) {
            is_whole = false;
        } else if (all->now[type] != NULL && snapshot_equal(next, all->now[type])) {
            snapshot_unref(next);
        } else {
            snapshot_unref(all->now[type]);
            all->now[type] = next;
        }
    }
    all->is_stale = !is_whole;
}

static void diff_fini(struct diff *diff)
{
    snapshot_unref(diff->from);
    snapshot_unref(diff->to);
    snapshot_unref(diff->step);
    http_blob_unref(diff->body);
    *diff = (struct diff){.from = NULL};
}

/* Borrowed until the next call; NULL without memory. */
static const struct diff *diff_of(struct publications *all, struct snapshot *from,
                                  struct snapshot *to, bool is_old)
{
    struct diff *diff;

    for (unsigned i = 0; i < DIFFS; i++) {
        diff = &all->diffs[i];
        if (diff->from == from && diff->to == to && diff->is_old == is_old &&
            diff->is_settled == all->is_settled)
            return diff;
    }
    diff = &all->diffs[all->next_diff++ % DIFFS];
    diff_fini(diff);
    struct snapshot *step = snapshot_step(from, to, is_old, !all->is_settled);
    struct http_blob *body =
        step != NULL ? snapshot_diff(from, step, catalog_self(all->options.catalog)->id) : NULL;
    if (body == NULL) {
        snapshot_unref(step);
        return NULL;
    }
    *diff = (struct diff){.from = snapshot_ref(from),
                          .to = snapshot_ref(to),
                          .is_old = is_old,
                          .is_settled = all->is_settled,
                          .step = step,
                          .body = body,
                          .is_nothing = snapshot_equal(from, step)};
    return diff;
}

/* Random to strangers, and never the same twice. */
static void make_nonce(struct publications *all, char nonce[TOPIC_NONCE_BYTES])
{
    uint64_t first = siphash_17(&all->key, all->nonces, 0, 0);
    uint64_t second = siphash_17(&all->key, all->nonces++, 0, 1);

    snprintf(nonce, TOPIC_NONCE_BYTES, "%08x-%04x-4%03x-%04x-%012" PRIx64, (unsigned)(first >> 32),
             (unsigned)(first >> 16 & 0xffff), (unsigned)(first & 0xfff),
             (unsigned)(second >> 48 & 0x3fff) | 0x8000U, second & UINT64_C(0xffffffffffff));
}

static struct http_blob *pack(const Xds__DeltaDiscoveryResponse *message)
{
    size_t bytes = xds__delta_discovery_response__get_packed_size(message);
    uint8_t *data = malloc(bytes);

    if (data != NULL)
        xds__delta_discovery_response__pack(message, data);
    return http_blob_new((char *)data, bytes);
}

static struct http_blob *nonce_field(const char *nonce)
{
    Xds__DeltaDiscoveryResponse message;

    xds__delta_discovery_response__init(&message);
    message.nonce = (char *)(uintptr_t)nonce; /* only read */
    return pack(&message);
}

static int send_step(struct publisher *publisher, struct topic *topic, const struct diff *diff)
{
    struct publications *all = publisher->all;
    char nonce[TOPIC_NONCE_BYTES];

    make_nonce(all, nonce);
    struct http_blob *pieces[2] = {http_blob_ref(diff->body), nonce_field(nonce)};
    if (pieces[1] == NULL) {
        http_blob_unref(pieces[0]);
        return -ENOMEM;
    }
    if (grpc_send(publisher->call, pieces, 2) != 0)
        return -ENOMEM;
    topic_send(topic, nonce, diff->step);
    xds_metrics_add(all->options.metrics, XDS_ACTIONS, "server", "push", 1);
    return 0;
}

/* Sends what is due of one type. Returns whether there is more to do later. */
static bool push_topic(struct publisher *publisher, enum resource_type type, int64_t now_ns)
{
    struct topic *topic = &publisher->topics[type];
    struct snapshot *current = topic_select(topic, publisher->all->now[type]);
    const struct diff *diff =
        current != NULL ? diff_of(publisher->all, topic->acknowledged, current, publisher->is_old)
                        : NULL;
    bool waits = current != NULL && diff == NULL;

    if (diff != NULL) {
        bool is_refused = topic->refused != NULL && snapshot_equal(current, topic->refused);
        bool is_sent = topic->sent != NULL && snapshot_equal(diff->step, topic->sent);
        bool is_first = publisher->is_agent && topic->exchange.responses == 0;

        if (!is_sent && ((!diff->is_nothing && !is_refused) || is_first)) {
            /* One that does not read, or not acknowledge, holds one response of a type at most. */
            waits = topic->sent != NULL &&
                    (now_ns - topic->sent_ns < ACK_NS || grpc_queued(publisher->call) > 0);
            if (!waits)
                waits = send_step(publisher, topic, diff) != 0;
        }
    }
    snapshot_unref(current);
    return waits;
}

static bool push_peer(struct publisher *publisher, int64_t now_ns)
{
    bool waits = false;

    for (unsigned type = 0; type < RESOURCE_TYPES; type++)
        waits |= push_topic(publisher, (enum resource_type)type, now_ns);
    grpc_flush(publisher->call);
    return waits;
}

static void arm(struct publications *all, int64_t at_ns)
{
    if (all->is_armed)
        return;
    all->is_armed = true;
    loop_timer_set(all->options.loop, &all->push, at_ns);
}

static void push_all(void *user)
{
    struct publications *all = user;
    int64_t now_ns = clock_monotonic_ns();
    bool waits = false;

    all->is_armed = false;
    all->pushed_ns = now_ns;
    refresh(all);
    for (struct publisher *publisher = all->first; publisher != NULL; publisher = publisher->next)
        waits |= push_peer(publisher, now_ns);
    if (waits)
        arm(all, now_ns + ACK_NS);
}

static void follow_catalog(void *user)
{
    struct publications *all = user;
    int64_t due_ns = all->pushed_ns + PUSH_NS, now_ns = clock_monotonic_ns();

    all->is_stale = true;
    if (all->is_armed && all->push.at_ns > due_ns) {
        loop_timer_stop(all->options.loop, &all->push);
        all->is_armed = false;
    }
    arm(all, due_ns > now_ns ? due_ns : now_ns);
}

int publications_new(struct publications **publications, const struct publications_options *options)
{
    struct publications *all = calloc(1, sizeof *all);
    int error = all != NULL ? siphash_key_init(&all->key) : -ENOMEM;

    if (error != 0) {
        free(all);
        return error;
    }
    all->options = *options;
    all->watch = (struct catalog_watch){.changed = follow_catalog, .user = all};
    all->push = (struct loop_timer){.fire = push_all, .user = all};
    all->is_stale = true;
    all->is_settled = options->settled_ns == 0;
    catalog_watch(options->catalog, &all->watch);
    *publications = all;
    return 0;
}

void publications_free(struct publications *all)
{
    if (all == NULL)
        return;
    catalog_unwatch(all->options.catalog, &all->watch);
    loop_timer_stop(all->options.loop, &all->push);
    for (unsigned i = 0; i < DIFFS; i++)
        diff_fini(&all->diffs[i]);
    for (unsigned type = 0; type < RESOURCE_TYPES; type++)
        snapshot_unref(all->now[type]);
    free(all);
}

void publications_tick(struct publications *all, int64_t now_ns)
{
    if (!all->is_settled && now_ns >= all->options.settled_ns) {
        all->is_settled = true;
        arm(all, now_ns);
    }
    if (all->is_stale)
        arm(all, now_ns);
}

/* ---- one peer ---- */

static enum grpc_status take_hello(struct publisher *publisher)
{
    Xds__DeltaDiscoveryResponse message;
    const struct publications_options *options = &publisher->all->options;
    Xds__ControlPlane plane;

    xds__delta_discovery_response__init(&message);
    xds__control_plane__init(&plane);
    plane.identifier = (char *)(uintptr_t)catalog_self(options->catalog)->id; /* only read */
    message.type_url = (char *)(uintptr_t)RESOURCE_HELLO_TYPE;
    message.system_version_info = (char *)(uintptr_t)SNAPSHOT_SYSTEM_VERSION;
    message.control_plane = &plane;
    struct http_blob *blob = pack(&message);
    if (blob == NULL || grpc_send(publisher->call, &blob, 1) != 0)
        return GRPC_RESOURCE_EXHAUSTED;
    grpc_flush(publisher->call);
    return GRPC_OK;
}

/* The node of the first request; a later one may repeat it. */
static enum grpc_status take_node(struct publisher *publisher,
                                  const Xds__DeltaDiscoveryRequest *request, struct error *error)
{
    if (publisher->has_node)
        return GRPC_OK;
    if (request->node == NULL) {
        error_set(error, -EINVAL, "the first request has no node");
        return GRPC_INVALID_ARGUMENT;
    }
    text_escape(request->node->id, publisher->id, sizeof publisher->id);
    publisher->is_old = strcmp(request->node->user_agent_name, "paddock") != 0;
    publisher->has_node = true;
    return GRPC_OK;
}

static enum grpc_status take_request(struct publisher *publisher,
                                     const Xds__DeltaDiscoveryRequest *request, struct error *error)
{
    const struct publications_options *options = &publisher->all->options;
    enum grpc_status status = take_node(publisher, request, error);
    enum resource_type type;

    if (status != GRPC_OK)
        return status;
    if (strcmp(request->type_url, RESOURCE_HELLO_TYPE) == 0)
        return take_hello(publisher);
    if (resource_type_find(request->type_url, &type) != 0) {
        char shown[80];

        text_escape(request->type_url, shown, sizeof shown);
        error_set(error, -EINVAL, "unknown type '%s'", shown);
        return GRPC_INVALID_ARGUMENT;
    }
    struct topic *topic = &publisher->topics[type];
    xds_metrics_add(options->metrics, XDS_REQUESTS, publisher->id, request->type_url, 1);
    bool is_answer = topic->is_wanted && request->response_nonce[0] != '\0';
    if (!is_answer) /* an answer does not hurry what is due soon for all */
        refresh(publisher->all);
    status = topic_take_names(topic, request, error);
    if (status == GRPC_OK && !is_answer)
        status = topic_take_versions(topic, publisher->all->now[type], request,
                                     &publisher->all->claimed_bytes, error);
    if (status != GRPC_OK)
        return status;
    if (is_answer && topic_take_answer(topic, publisher->all->now[type], request)) {
        xds_metrics_add(options->metrics, XDS_NACKS, publisher->id, resource_type_url(type), 1);
        LOG_EVENT(options->log, LOG_LEVEL_WARN, log_text("message", "a peer refuses resources"),
                  log_text("peer", publisher->id), log_text("type", resource_type_url(type)),
                  log_text("error", topic->exchange.error));
    }
    if (push_topic(publisher, type, clock_monotonic_ns()))
        arm(publisher->all, clock_monotonic_ns() + ACK_NS);
    grpc_flush(publisher->call);
    return GRPC_OK;
}

struct publisher *publisher_new(struct publications *publications, struct grpc_call *call,
                                const char *role, bool is_agent)
{
    struct publisher *publisher = calloc(1, sizeof *publisher);

    if (publisher == NULL)
        return NULL;
    *publisher = (struct publisher){.all = publications,
                                    .call = call,
                                    .role = role,
                                    .is_agent = is_agent,
                                    .next = publications->first,
                                    .place = &publications->first};
    for (unsigned type = 0; type < RESOURCE_TYPES; type++)
        publisher->topics[type].type = (enum resource_type)type;
    if (publisher->next != NULL)
        publisher->next->place = &publisher->next;
    publications->first = publisher;
    return publisher;
}

void publisher_free(struct publisher *publisher)
{
    if (publisher == NULL)
        return;
    for (unsigned type = 0; type < RESOURCE_TYPES; type++)
        topic_fini(&publisher->topics[type], &publisher->all->claimed_bytes);
    *publisher->place = publisher->next;
    if (publisher->next != NULL)
        publisher->next->place = publisher->place;
    free(publisher);
}

enum grpc_status publisher_take(struct publisher *publisher, const uint8_t *data, size_t bytes,
                                struct error *error)
{
    enum grpc_status status = GRPC_RESOURCE_EXHAUSTED;

    publisher->unread = grpc_queued(publisher->call) > 0 ? publisher->unread + 1 : 0;
    if (publisher->unread > MAX_UNREAD) {
        error_set(error, -EBUSY, "requests follow each other, and responses are not read");
    } else {
        struct arena arena;
        arena_init(&arena, bytes);
        const Xds__DeltaDiscoveryRequest *request =
            xds__delta_discovery_request__unpack(&arena.allocator, bytes, data);
        status = GRPC_INVALID_ARGUMENT;
        error_set(error, -EINVAL, "a request that is broken");
        if (request != NULL) {
            error->text[0] = '\0';
            status = take_request(publisher, request, error);
        }
        arena_fini(&arena);
    }
    if (status != GRPC_OK)
        xds_metrics_add(publisher->all->options.metrics, XDS_ERRORS, "server", "receive", 1);
    return status;
}

json_t *publications_show(const struct publications *all)
{
    json_t *list = json_array();

    for (const struct publisher *publisher = all->first; publisher != NULL && list != NULL;
         publisher = publisher->next) {
        struct sockaddr_in6 peer = h2_peer(grpc_connection(publisher->call));
        char address[ADDRESS_TEXT_BYTES];
        json_t *types = json_object();

        address_format(&peer.sin6_addr, ntohs(peer.sin6_port), address);
        for (unsigned type = 0; type < RESOURCE_TYPES; type++) {
            if (publisher->topics[type].is_wanted)
                json_object_set_new(types, resource_type_name((enum resource_type)type),
                                    topic_show(&publisher->topics[type]));
        }
        json_t *json = json_pack("{s:s, s:s, s:s, s:o}", "role", publisher->role, "address",
                                 address, "id", publisher->id, "types", types);
        if (json_array_append_new(list, json) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

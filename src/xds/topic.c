/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/topic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* What one peer, and all of them, may say that they have; with what an item takes by itself. */
#define MAX_CLAIMED_BYTES ((size_t)16 << 20)
#define MAX_ALL_CLAIMED_BYTES ((size_t)256 << 20)
#define CLAIM_BYTES 128

/* Both lists of names have a limit, so that comparing all with all stays small. */
#define MAX_NAMES 1000

static void drop_names(struct topic *topic)
{
    for (size_t i = 0; i < topic->names_count; i++)
        free(topic->names[i]);
    free(topic->names);
    topic->names = NULL;
    topic->names_count = 0;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;

    return strcmp(*left, *right);
}

static bool is_in(char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

enum grpc_status topic_take_names(struct topic *topic, const Xds__DeltaDiscoveryRequest *request,
                                  struct error *error)
{
    bool is_first = !topic->is_wanted;
    size_t count = request->n_resource_names_subscribe, room = topic->names_count + count;
    char *const *gone = request->resource_names_unsubscribe;

    if (topic->type != RESOURCE_CLUSTER || (is_first && count == 0) ||
        is_in(request->resource_names_subscribe, count, "*")) {
        topic->is_wanted = topic->is_wildcard = true;
        return GRPC_OK;
    }
    if (count == 0 && request->n_resource_names_unsubscribe == 0)
        return GRPC_OK;
    if (room > MAX_NAMES || request->n_resource_names_unsubscribe > MAX_NAMES) {
        error_set(error, -E2BIG, "more than %d names; none stand for all", MAX_NAMES);
        return GRPC_RESOURCE_EXHAUSTED;
    }
    if (is_in(gone, request->n_resource_names_unsubscribe, "*"))
        topic->is_wildcard = false;
    if (is_first)
        topic->is_wildcard = false;
    char **names = calloc(room + 1, sizeof *names);
    size_t kept = 0;
    bool is_made = names != NULL;
    for (size_t i = 0; is_made && i < room; i++) {
        const char *name = i < topic->names_count
                               ? topic->names[i]
                               : request->resource_names_subscribe[i - topic->names_count];

        if (is_in(gone, request->n_resource_names_unsubscribe, name) || is_in(names, kept, name))
            continue;
        names[kept] = strdup(name);
        is_made = names[kept] != NULL;
        kept += is_made;
    }
    drop_names(topic);
    topic->names = names;
    topic->names_count = kept;
    if (!is_made) {
        error_set(error, -ENOMEM, "out of memory");
        return GRPC_RESOURCE_EXHAUSTED;
    }
    topic->is_wanted = true;
    qsort(names, kept, sizeof *names, compare_names);
    return GRPC_OK;
}

static size_t claimed_bytes(const Xds__DeltaDiscoveryRequest *request)
{
    size_t bytes = 0;

    for (size_t i = 0; i < request->n_initial_resource_versions; i++)
        bytes += CLAIM_BYTES + strlen(request->initial_resource_versions[i]->key) +
                 strlen(request->initial_resource_versions[i]->value);
    return bytes;
}

static void count_claimed(struct topic *topic, size_t bytes, size_t *all_claimed)
{
    *all_claimed += bytes - topic->claimed_bytes;
    topic->claimed_bytes = bytes;
}

enum grpc_status topic_take_versions(struct topic *topic, struct snapshot *now,
                                     const Xds__DeltaDiscoveryRequest *request, size_t *all_claimed,
                                     struct error *error)
{
    size_t bytes = claimed_bytes(request);

    if (bytes > MAX_CLAIMED_BYTES ||
        *all_claimed - topic->claimed_bytes + bytes > MAX_ALL_CLAIMED_BYTES) {
        error_set(error, -E2BIG, "too many versions of resources");
        return GRPC_RESOURCE_EXHAUSTED;
    }
    struct snapshot *claimed = snapshot_claimed(topic->type, request);
    if (claimed == NULL)
        return GRPC_RESOURCE_EXHAUSTED;
    snapshot_unref(topic->acknowledged);
    snapshot_unref(topic->sent);
    snapshot_unref(topic->refused);
    topic->sent = topic->refused = NULL;
    topic->nonce[0] = '\0';
    topic->acknowledged = claimed;
    if (now != NULL && snapshot_equal(now, claimed)) {
        topic->acknowledged = snapshot_ref(now);
        snapshot_unref(claimed);
        bytes = 0;
    }
    count_claimed(topic, bytes, all_claimed);
    return GRPC_OK;
}

struct snapshot *topic_select(const struct topic *topic, struct snapshot *now)
{
    if (!topic->is_wanted || now == NULL)
        return NULL;
    return topic->is_wildcard ? snapshot_ref(now)
                              : snapshot_select(now, topic->names, topic->names_count);
}

void topic_send(struct topic *topic, const char *nonce, struct snapshot *step)
{
    memcpy(topic->nonce, nonce, sizeof topic->nonce);
    snapshot_unref(topic->sent);
    topic->sent = snapshot_ref(step);
    topic->sent_ns = clock_monotonic_ns();
    topic->exchange.responses++;
}

bool topic_take_answer(struct topic *topic, struct snapshot *now,
                       const Xds__DeltaDiscoveryRequest *request)
{
    bool is_refused = request->error_detail != NULL;

    if (topic->sent == NULL || strcmp(topic->nonce, request->response_nonce) != 0)
        return false; /* an answer to an older one */
    if (is_refused) {
        exchange_nack(&topic->exchange, request->error_detail->message);
        snapshot_unref(topic->refused);
        topic->refused = topic_select(topic, now);
        snapshot_unref(topic->sent);
    } else {
        exchange_ack(&topic->exchange);
        snapshot_unref(topic->acknowledged);
        topic->acknowledged = topic->sent;
    }
    topic->sent = NULL;
    return is_refused;
}

void topic_fini(struct topic *topic, size_t *all_claimed)
{
    drop_names(topic);
    count_claimed(topic, 0, all_claimed);
    snapshot_unref(topic->acknowledged);
    snapshot_unref(topic->sent);
    snapshot_unref(topic->refused);
}

json_t *topic_show(const struct topic *topic)
{
    const struct snapshot *has = topic->acknowledged;
    json_t *json = has != NULL ? exchange_show(&topic->exchange, has->count, snapshot_digest(has))
                               : exchange_show(&topic->exchange, 0, 0);

    json_object_set_new(json, "is_waiting", json_boolean(topic->sent != NULL));
    return json;
}

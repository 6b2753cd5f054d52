/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/trees.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "catalog/clusters.h"
#include "catalog/lookup.h"

#define MEMBER(key, member, flags) TREES_MEMBER(struct members, key, member, flags)

struct members {
    const struct yaml_node *locality, *endpoints; /* of a cluster */
    const struct yaml_node *address, *metadata;   /* of an endpoint */
    const struct yaml_node *tokens;               /* of metadata below quilkin.dev */
};

static const struct field cluster_rows[] = {
    MEMBER("locality", locality, 0),
    MEMBER("endpoints", endpoints, FIELD_REQUIRED),
    {.key = "version", .kind = FIELD_NUMBER, .max = INT64_MAX}, /* as /config shows it */
    {0},
};
static const struct field endpoint_rows[] = {
    MEMBER("address", address, FIELD_REQUIRED),
    MEMBER("metadata", metadata, 0),
    {0},
};
static const struct field dev_rows[] = {
    MEMBER("tokens", tokens, 0),
    {0},
};
/* What the proxy goes by of an endpoint's metadata; it is kept as part of the metadata. */
static const struct field own_rows[] = {
    {.key = "weight",
     .help = "the endpoint's share of players that a LoadBalancer sends, beside the others",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = CLUSTER_MAX_WEIGHT},
    {0},
};

/* A token is a secret, which no error tells. */
static int fail_token(struct field_walk *walk, const struct yaml_node *node, const char *expected)
{
    static const char *const found[] = {
        [YAML_NULL] = "nothing",   [YAML_BOOLEAN] = "a boolean", [YAML_INTEGER] = "a number",
        [YAML_FLOAT] = "a number", [YAML_TEXT] = "another text", [YAML_LIST] = "a list",
        [YAML_MAP] = "a map"};

    return error_set(walk->error, -EINVAL, "%u:%u: %s: expected %s, found %s", node->line,
                     node->column, walk->path, expected, found[node->type]);
}

static bool is_fingerprint(const char *text)
{
    static const char prefix[] = "fingerprint:";

    return strncmp(text, prefix, sizeof prefix - 1) == 0 && strlen(text) == sizeof prefix + 15 &&
           strspn(text + sizeof prefix - 1, "0123456789abcdef") == 16;
}

/* Clusters under way. The table has the tokens of each list, for an endpoint that comes twice has
 * the tokens of two. */
struct draft {
    struct clusters *clusters;
    struct cluster *cluster;
    struct lookup *texts;
    uint8_t *bytes; /* room for the longest token so far */
    size_t capacity;
};

static bool node_has_text(const void *item, const struct lookup_key *key)
{
    const struct yaml_node *node = item;

    return strlen(node->text) == key->bytes && memcmp(node->text, key->data, key->bytes) == 0;
}

static int take_token(struct draft *draft, struct cluster_endpoint *endpoint,
                      const struct yaml_node *list, const struct yaml_node *node,
                      struct field_walk *walk)
{
    size_t length = strlen(node->text), bytes;
    const struct lookup_key key = {list, node->text, length};

    if (node->type != YAML_TEXT)
        return fail_token(walk, node, "a token as base64 text");
    if (is_fingerprint(node->text)) {
        draft->clusters->fingerprints++;
        return 0;
    }
    if (length > draft->capacity || draft->bytes == NULL) {
        free(draft->bytes);
        draft->capacity = length * 2 + 64;
        draft->bytes = malloc(draft->capacity);
    }
    if (draft->bytes == NULL)
        return trees_fail_memory(walk);
    if (base64_decode(node->text, draft->bytes, &bytes) != 0)
        return fail_token(walk, node, "a token as base64 text with its padding");
    void **place = lookup_place(draft->texts, &key);
    if (place == NULL)
        return trees_fail_memory(walk);
    if (*place != NULL)
        return fail_token(walk, node, "a token that the endpoint has only once");
    *place = (void *)(uintptr_t)node;
    if (cluster_add_token(draft->cluster, endpoint, draft->bytes, bytes) == -ENOMEM)
        return trees_fail_memory(walk);
    return 0;
}

static int take_tokens(struct draft *draft, struct cluster_endpoint *endpoint,
                       const struct yaml_node *dev, struct field_walk *walk)
{
    size_t length = trees_enter(walk, "quilkin.dev"), index = 0;
    struct members members = {0};
    int error = field_take_map(walk, dev_rows, dev, &members);
    const struct yaml_node *tokens = members.tokens;
    size_t inner = trees_enter(walk, "tokens");

    if (error == 0 && tokens != NULL && tokens->type != YAML_LIST)
        error = fail_token(walk, tokens, "a list of tokens");
    for (const struct yaml_node *item = error == 0 && tokens != NULL ? tokens->first : NULL;
         item != NULL && error == 0; item = item->next) {
        size_t list = field_enter(walk, index++);

        error = take_token(draft, endpoint, tokens, item, walk);
        field_leave(walk, list);
    }
    field_leave(walk, inner);
    field_leave(walk, length);
    return error;
}

static int take_metadata(struct draft *draft, struct cluster_endpoint *endpoint,
                         const struct yaml_node *node, struct field_walk *walk)
{
    size_t length = trees_enter(walk, "metadata");
    struct members members = {0};
    json_t *rest;
    int error = 0;

    if (node->type != YAML_MAP)
        return field_fail(walk, node, "a map", false);
    const struct yaml_node *dev = yaml_find(node, "quilkin.dev");
    if (dev != NULL)
        error = take_tokens(draft, endpoint, dev, walk);
    const struct yaml_node *own = yaml_find(node, "paddock");
    if (error == 0 && own != NULL) {
        size_t inner = trees_enter(walk, "paddock");
        error = field_take_map(walk, own_rows, own, &members);
        field_leave(walk, inner);
    }
    if (error == 0 && (dev == NULL ? node->first != NULL : node->first->next != NULL)) {
        rest = yaml_to_json(node);
        if (rest != NULL)
            (void)json_object_del(rest, "quilkin.dev");
        if (rest == NULL || cluster_add_metadata(endpoint, rest) != 0)
            error = trees_fail_memory(walk);
        json_decref(rest);
    }
    field_leave(walk, length);
    return error;
}

static int take_endpoint(struct draft *draft, const struct yaml_node *node, struct field_walk *walk)
{
    struct cluster_endpoint *endpoint;
    struct members members = {0};
    int error = field_take_map(walk, endpoint_rows, node, &members);

    if (error != 0)
        return error;
    size_t length = trees_enter(walk, "address");
    error = members.address->type == YAML_TEXT
                ? cluster_add_endpoint(draft->cluster, members.address->text, &endpoint)
                : -EINVAL;
    if (error == -ENOMEM)
        return trees_fail_memory(walk);
    if (error != 0)
        return field_fail(walk, members.address, SERVER_ADDRESS_EXPECTED, true);
    field_leave(walk, length);
    return members.metadata != NULL ? take_metadata(draft, endpoint, members.metadata, walk) : 0;
}

static int take_cluster(struct draft *draft, const struct yaml_node *node, struct field_walk *walk)
{
    struct members members = {0};
    struct locality locality = {0};
    size_t index = 0;
    int error = field_take_map(walk, cluster_rows, node, &members);
    const char *text = trees_is_there(members.locality) ? members.locality->text : "";

    if (error != 0)
        return error;
    size_t length = trees_enter(walk, "locality");
    if (trees_is_there(members.locality) &&
        (members.locality->type != YAML_TEXT || locality_parse(text, &locality) != 0))
        return field_fail(walk, members.locality, "region, region:zone or region:zone:sub_zone",
                          true);
    if (clusters_find(draft->clusters, text) != NULL)
        return *text != '\0'
                   ? field_fail(walk, members.locality, "a locality that no cluster before has",
                                true)
                   : field_fail(walk, node, "a locality, as a cluster before has none", false);
    field_leave(walk, length);

    length = trees_enter(walk, "endpoints");
    if (members.endpoints->type != YAML_LIST)
        return field_fail(walk, members.endpoints, "a list of endpoints", false);
    draft->cluster = cluster_new(text);
    if (draft->cluster == NULL)
        return trees_fail_memory(walk);
    for (const struct yaml_node *item = members.endpoints->first; item != NULL && error == 0;
         item = item->next) {
        size_t inner = field_enter(walk, index++);

        error = take_endpoint(draft, item, walk);
        field_leave(walk, inner);
    }
    field_leave(walk, length);
    if (error == 0 && clusters_add(draft->clusters, draft->cluster) != 0)
        error = trees_fail_memory(walk);
    else if (error != 0)
        cluster_free(draft->cluster);
    draft->cluster = NULL;
    return error;
}

static int take_clusters(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    struct draft draft = {0};
    struct clusters **clusters = value;
    size_t index = 0;
    int error = 0;

    if (node->type != YAML_LIST)
        return field_fail(walk, node, "a list of clusters", false);
    draft.clusters = clusters_new();
    draft.texts = lookup_new(node_has_text);
    if (draft.clusters == NULL || draft.texts == NULL)
        error = trees_fail_memory(walk);
    for (const struct yaml_node *item = node->first; item != NULL && error == 0;
         item = item->next) {
        size_t length = field_enter(walk, index++);

        error = take_cluster(&draft, item, walk);
        field_leave(walk, length);
    }
    lookup_free(draft.texts);
    free(draft.bytes);
    if (error != 0) {
        clusters_free(draft.clusters);
        return error;
    }
    clusters_free(*clusters);
    *clusters = draft.clusters;
    return 0;
}

static json_t *show_clusters(const void *value, bool with_private)
{
    struct clusters *const *clusters = value;

    (void)with_private;
    return *clusters != NULL ? clusters_show(*clusters, NULL, false) : json_null();
}

static void forget_clusters(void *value)
{
    struct clusters **clusters = value;

    clusters_free(*clusters);
    *clusters = NULL;
}

static json_t *clusters_schema(void)
{
    return json_loads(
        "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":[\"endpoints\"],"
        "\"additionalProperties\":false,\"properties\":{"
        "\"locality\":{\"type\":[\"string\",\"null\"],\"pattern\":\"^[^:]+(:[^:]+){0,2}$\"},"
        "\"version\":{\"type\":\"integer\",\"minimum\":0},"
        "\"endpoints\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"required\":["
        "\"address\"]"
        ",\"additionalProperties\":false,\"properties\":{\"address\":{\"type\":\"string\"},"
        "\"metadata\":{\"type\":\"object\",\"properties\":{\"quilkin.dev\":{\"type\":\"object\","
        "\"additionalProperties\":false,\"properties\":{\"tokens\":{\"type\":\"array\",\"items\":{"
        "\"type\":\"string\",\"pattern\":\"^([0-9A-Za-z+/]{4})*([0-9A-Za-z+/]{2}==|"
        "[0-9A-Za-z+/]{3}=)?$|^fingerprint:[0-9a-f]{16}$\"}}}},"
        "\"paddock\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
        "\"weight\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}}}}}}}}}}}",
        0, NULL);
}

const struct field_tree clusters_tree = {.take = take_clusters,
                                         .show = show_clusters,
                                         .schema = clusters_schema,
                                         .fini = forget_clusters};

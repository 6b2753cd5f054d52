/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "catalog/trees.h"
#include "filters/chain.h"

#define MAX_FLAG_TEXT_BYTES 128

/* The chain itself is made by who runs it; here it is known to be one that can be made, and has its
 * defaults filled in. */
static int take_filters(void *value, const struct yaml_node *node, struct field_walk *walk)
{
    json_t **filters = value;
    struct chain *chain;
    int error = chain_take(&chain, node, walk);

    if (error != 0)
        return error;
    json_decref(*filters);
    *filters = chain_show(chain);
    chain_unref(chain);
    return *filters != NULL ? 0 : trees_fail_memory(walk);
}

static json_t *show_filters(const void *value, bool with_private)
{
    json_t *const *filters = value;

    (void)with_private;
    /* A copy, as another thread shows it, and counts of references are for one thread. */
    return *filters != NULL ? json_deep_copy(*filters) : json_null();
}

static void forget_filters(void *value)
{
    json_t **filters = value;

    json_decref(*filters);
    *filters = NULL;
}

static int parse_static(void *value, const char *text)
{
    struct cluster **cluster = value, *made = cluster_new("");
    int error = made != NULL ? 0 : -1;

    while (error == 0) {
        size_t length = strcspn(text, ",");
        struct cluster_endpoint *endpoint;
        char item[MAX_FLAG_TEXT_BYTES];

        snprintf(item, sizeof item, "%.*s", (int)length, text);
        if (length >= sizeof item || item[0] == 'u' ||
            cluster_add_endpoint(made, item, &endpoint) != 0 || endpoint->name != NULL)
            error = -1;
        text += length;
        if (*text == '\0')
            break;
        text++;
    }
    if (error != 0) {
        cluster_free(made);
        return -1;
    }
    cluster_free(*cluster);
    *cluster = made;
    return 0;
}

static json_t *show_static(const void *value, bool with_private)
{
    struct cluster *const *cluster = value;
    json_t *list = *cluster != NULL ? json_array() : json_null();

    (void)with_private;
    for (const struct cluster_endpoint *endpoint = *cluster != NULL ? (*cluster)->endpoints : NULL;
         endpoint != NULL && list != NULL; endpoint = endpoint->next) {
        if (json_array_append_new(list, json_string(endpoint->address)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static void forget_static(void *value)
{
    struct cluster **cluster = value;

    cluster_free(*cluster);
    *cluster = NULL;
}

static int parse_static_tokens(const char *text, void *value)
{
    size_t length = strcspn(text, ":");
    struct static_tokens tokens;
    char count[24];

    snprintf(count, sizeof count, "%.*s", (int)length, text);
    if (length >= sizeof count || text[length] == '\0' ||
        number_parse(count, 1, UINT64_MAX, &tokens.count) != 0 ||
        number_parse(text + length + 1, 1, 8, &tokens.length) != 0)
        return -1;
    memcpy(value, &tokens, sizeof tokens);
    return 0;
}

static json_t *show_static_tokens(const void *value)
{
    const struct static_tokens *tokens = value;
    char text[48];

    if (tokens->count == 0)
        return json_null();
    snprintf(text, sizeof text, "%" PRIu64 ":%" PRIu64, tokens->count, tokens->length);
    return json_string(text);
}

static json_t *inner_schema(void)
{
    return json_pack("{s:s}", "$ref", "#/properties/filters");
}

static const struct field_tree filters_tree = {
    .take = take_filters, .show = show_filters, .schema = chain_schema, .fini = forget_filters};
const struct field_tree inner_filters_tree = {
    .take = take_filters, .show = show_filters, .schema = inner_schema, .fini = forget_filters};
static const struct field_tree static_tree = {
    .parse = parse_static, .show = show_static, .fini = forget_static};
static const struct field_type static_tokens_type = {
    .parse = parse_static_tokens,
    .show = show_static_tokens,
    .expected = "COUNT:LENGTH, two numbers above 0, with a length of at most 8 bytes"};

/* What each file has, at a member of the settings. */
#define TOLD_ROWS(member)                                                                          \
    {.key = "filters",                                                                             \
     .help = "the chain of filters, first to last",                                                \
     .kind = FIELD_TREE,                                                                           \
     .tree = &filters_tree,                                                                        \
     FIELD_AT(struct catalog_settings, member.filters)},                                           \
        {.key = "clusters",                                                                        \
         .help = "game servers, by where they stand",                                              \
         .kind = FIELD_TREE,                                                                       \
         .tree = &clusters_tree,                                                                   \
         .flags = FIELD_PRIVATE,                                                                   \
         FIELD_AT(struct catalog_settings, member.clusters)},                                      \
    {                                                                                              \
        .key = "datacenters", .help = "nodes to which the latency is measured",                    \
        .kind = FIELD_TREE, .tree = &datacenters_tree,                                             \
        FIELD_AT(struct catalog_settings, member.datacenters)                                      \
    }

static const struct field provided[] = {TOLD_ROWS(provider), {0}};

static const struct field rows[] = {
    TOLD_ROWS(config),
    {.flag = "provider.static.endpoints",
     .variable = "QUILKIN_PROVIDERS_STATIC_ENDPOINTS",
     .help = "game servers, a list with commas; may repeat",
     .placeholder = "ADDRESS,...",
     .expected = "numeric addresses with ports, and commas between them",
     .kind = FIELD_TREE,
     .tree = &static_tree,
     .flags = FIELD_REPEATED,
     FIELD_AT(struct catalog_settings, static_endpoints)},
    {.flag = "provider.static.endpoint-tokens",
     .variable = "QUILKIN_PROVIDERS_STATIC_ENDPOINT_TOKENS",
     .help = "so many tokens of so many bytes for each of them",
     .placeholder = "COUNT:LENGTH",
     .kind = FIELD_CUSTOM,
     .type = &static_tokens_type,
     FIELD_AT(struct catalog_settings, static_tokens)},
    {0},
};

static int check(void *settings, struct error *error)
{
    const struct catalog_settings *own = settings;
    const struct static_tokens *tokens = &own->static_tokens;
    uint64_t endpoints, most;

    if (tokens->count == 0)
        return 0;
    if (own->static_endpoints == NULL)
        return error_set(error, -EINVAL,
                         "--provider.static.endpoint-tokens: needs --provider.static.endpoints");
    endpoints = own->static_endpoints->endpoint_count;
    most = tokens->length >= 4 ? UINT64_MAX : (UINT64_C(1) << 8 * tokens->length);
    most = most > CATALOG_STATIC_MAX_TOKENS ? CATALOG_STATIC_MAX_TOKENS : most;
    if (tokens->count > most / endpoints)
        return error_set(error, -EINVAL,
                         "--provider.static.endpoint-tokens: expected at most %" PRIu64
                         " tokens in all, not %" PRIu64 " of each of %" PRIu64 " endpoints",
                         most, tokens->count, endpoints);
    return 0;
}

const struct config_section catalog_section = {.name = "catalog",
                                               .fields = rows,
                                               .bytes = sizeof(struct catalog_settings),
                                               .check = check,
                                               .provided = provided};

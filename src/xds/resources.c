/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/resources.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "config/types.h"
#include "filters/chain.h"
#include "net/address.h"

#define URL "type.googleapis.com/quilkin.config.v1alpha1."

/* Room for a whole `[host]:port`. */
#define ADDRESS_BYTES (TARGET_HOST_BYTES + 16)

static const char *const urls[RESOURCE_TYPES] = {[RESOURCE_CLUSTER] = URL "Cluster",
                                                 [RESOURCE_DATACENTER] = URL "Datacenter",
                                                 [RESOURCE_FILTER_CHAIN] = URL "FilterChain"};

const char *resource_type_url(enum resource_type type)
{
    return urls[type];
}

const char *resource_type_name(enum resource_type type)
{
    static const char *const names[RESOURCE_TYPES] = {[RESOURCE_CLUSTER] = "clusters",
                                                      [RESOURCE_DATACENTER] = "datacenters",
                                                      [RESOURCE_FILTER_CHAIN] = "filters"};

    return names[type];
}

int resource_type_find(const char *url, enum resource_type *type)
{
    for (unsigned i = 0; i < RESOURCE_TYPES; i++) {
        if (strcmp(urls[i], url) == 0) {
            *type = (enum resource_type)i;
            return 0;
        }
    }
    return -1;
}

/* ---- reading ---- */

static int take_token(struct cluster *cluster, struct cluster_endpoint *endpoint,
                      const json_t *token, struct error *error)
{
    const char *text = json_string_value(token);
    uint8_t *data = text != NULL ? malloc(strlen(text) + 1) : NULL;
    size_t bytes = 0;
    int code = 0;

    if (text == NULL || (data != NULL && base64_decode(text, data, &bytes) != 0))
        code = error_set(error, -EINVAL, "a token that is no base64 text");
    else if (data == NULL || cluster_add_token(cluster, endpoint, data, bytes) == -ENOMEM)
        code = error_set(error, -ENOMEM, "out of memory");
    free(data);
    return code;
}

static int take_metadata(struct cluster *cluster, struct cluster_endpoint *endpoint,
                         const ProtobufCBinaryData *message, struct arena *arena,
                         struct error *error)
{
    json_t *metadata = resource_read_struct(message, arena, error), *token;
    size_t i;
    int code = metadata != NULL ? 0 : -EINVAL;

    if (code != 0)
        return code;
    const json_t *own = json_object_get(metadata, "quilkin.dev");
    json_t *tokens = json_object_get(own, "tokens");
    if (own != NULL && !json_is_object(own))
        code = error_set(error, -EINVAL, "metadata: quilkin.dev is no map");
    else if (json_is_array(tokens))
        json_array_foreach(tokens, i, token)
        {
            if (code == 0)
                code = take_token(cluster, endpoint, token, error);
        }
    else if (tokens != NULL)
        code = take_token(cluster, endpoint, tokens, error);
    (void)json_object_del(metadata, "quilkin.dev");
    if (code == 0 && json_object_size(metadata) > 0 &&
        cluster_add_metadata(endpoint, metadata) != 0)
        code = error_set(error, -ENOMEM, "out of memory");
    json_decref(metadata);
    return code;
}

static int take_endpoint(struct cluster *cluster, const Xds__Endpoint *message, struct arena *arena,
                         struct error *error)
{
    struct cluster_endpoint *endpoint;
    char address[ADDRESS_BYTES];
    bool is_bare = strchr(message->host, ':') != NULL && message->host[0] != '[';
    int length = snprintf(address, sizeof address, "%s%s%s:%u", is_bare ? "[" : "", message->host,
                          is_bare ? "]" : "", message->port);
    int code = length > 0 && (size_t)length < sizeof address
                   ? cluster_add_endpoint(cluster, address, &endpoint)
                   : -EINVAL;

    if (code == -EINVAL)
        return error_set(error, code, "endpoint %.80s, port %u: expected " SERVER_ADDRESS_EXPECTED,
                         message->host, message->port);
    if (code != 0)
        return error_set(error, code, "out of memory");
    if (message->known_case != XDS__ENDPOINT__KNOWN_METADATA)
        return 0;
    return take_metadata(cluster, endpoint, &message->metadata, arena, error);
}

static int read_locality(const Xds__Locality *message, char text[LOCALITY_TEXT_BYTES])
{
    struct locality locality = {.region = ""};
    int code = 0;

    if (message != NULL) {
        const struct {
            const char *from;
            char *to;
        } parts[] = {{message->region, locality.region},
                     {message->zone, locality.zone},
                     {message->sub_zone, locality.sub_zone}};

        for (size_t i = 0; i < 3; i++) {
            if (strlen(parts[i].from) >= LOCALITY_PART_BYTES)
                return -1;
            snprintf(parts[i].to, LOCALITY_PART_BYTES, "%s", parts[i].from);
        }
        code = locality_format(&locality, text);
    } else {
        text[0] = '\0';
    }
    return code;
}

int resource_read_cluster(const ProtobufCBinaryData *message, struct arena *arena,
                          struct cluster **cluster, struct error *error)
{
    const Xds__Cluster *read = xds__cluster__unpack(&arena->allocator, message->len, message->data);
    char locality[LOCALITY_TEXT_BYTES];
    int code = 0;

    if (read == NULL)
        return error_set(error, -EINVAL, "a Cluster that is broken");
    if (read_locality(read->locality, locality) != 0)
        return error_set(error, -EINVAL, "a Cluster whose locality cannot be told as text");
    struct cluster *made = cluster_new(locality);
    if (made == NULL)
        return error_set(error, -ENOMEM, "out of memory");
    for (size_t i = 0; i < read->n_endpoints && code == 0; i++)
        code = take_endpoint(made, read->endpoints[i], arena, error);
    if (code != 0) {
        cluster_free(made);
        return code;
    }
    *cluster = made;
    return 0;
}

int resource_read_datacenter(const ProtobufCBinaryData *message, struct arena *arena,
                             struct datacenter *node, bool *is_address, struct error *error)
{
    const Xds__Datacenter *read =
        xds__datacenter__unpack(&arena->allocator, message->len, message->data);
    struct datacenter found = {.address = ""};
    struct in6_addr address;

    if (read == NULL)
        return error_set(error, -EINVAL, "a Datacenter that is broken");
    if (read->qcmp_port == 0 || read->qcmp_port > UINT16_MAX)
        return error_set(error, -EINVAL, "a Datacenter with port %u", read->qcmp_port);
    if (type_icao.parse(read->icao_code, found.icao_code) != 0)
        return error_set(error, -EINVAL, "a Datacenter whose code is not four letters");
    found.qcmp_port = (uint16_t)read->qcmp_port;
    *is_address = type_address.parse(read->host, &address) == 0;
    if (*is_address)
        snprintf(found.address, sizeof found.address, "%s", read->host);
    else if (read->host[0] != '\0') /* a name is nobody's here */
        snprintf(found.address, sizeof found.address, "?");
    *node = found;
    return 0;
}

int resource_read_filters(const ProtobufCBinaryData *message, struct arena *arena, json_t **filters,
                          struct error *error)
{
    const Xds__FilterChain *read =
        xds__filter_chain__unpack(&arena->allocator, message->len, message->data);
    json_t *list = json_array();
    struct chain *chain;
    json_error_t why;
    int code = list != NULL ? 0 : error_set(error, -ENOMEM, "out of memory");

    if (read == NULL)
        code = error_set(error, -EINVAL, "a FilterChain that is broken");
    for (size_t i = 0; code == 0 && read != NULL && i < read->n_filters; i++) {
        const Xds__Filter *filter = read->filters[i];
        json_t *json = json_object(), *config = NULL;

        if (filter->configured_case == XDS__FILTER__CONFIGURED_CONFIG) {
            config = json_loads(filter->config, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
            if (config == NULL)
                code = error_set(error, -EINVAL, "filter %zu: its configuration is no JSON: %s", i,
                                 why.text);
        }
        if (code == 0 && json_object_set_new(json, "name", json_string(filter->name)) != 0)
            code = error_set(error, -EINVAL, "filter %zu: its name is no UTF-8", i);
        if (code == 0 && filter->named_case == XDS__FILTER__NAMED_LABEL &&
            json_object_set_new(json, "label", json_string(filter->label)) != 0)
            code = error_set(error, -EINVAL, "filter %zu: its label is no UTF-8", i);
        if (code == 0 && config != NULL)
            code = json_object_set(json, "config", config);
        if (code == 0)
            code = json_array_append(list, json);
        json_decref(config);
        json_decref(json);
    }
    if (code == 0)
        code = chain_from_json(&chain, list, error);
    json_decref(list);
    if (code != 0)
        return code;
    *filters = chain_show(chain);
    chain_unref(chain);
    return *filters != NULL ? 0 : error_set(error, -ENOMEM, "out of memory");
}

/* ---- writing ---- */

static struct http_blob *pack(const ProtobufCMessage *message)
{
    size_t bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *data = malloc(bytes > 0 ? bytes : 1);

    if (data != NULL)
        protobuf_c_message_pack(message, data);
    return http_blob_new((char *)data, bytes);
}

static char *copy_text(struct arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = arena_take(arena, bytes);

    return copy != NULL ? memcpy(copy, text, bytes) : NULL;
}

/* Tokens and the rest as one Struct. */
static int write_metadata(const struct cluster_endpoint *endpoint, struct arena *arena,
                          Xds__Endpoint *message)
{
    json_t *metadata = endpoint->metadata != NULL ? json_copy(endpoint->metadata) : json_object();
    json_t *tokens = endpoint->tokens != NULL ? json_array() : NULL;
    int error = metadata == NULL ? -ENOMEM : 0;

    for (const struct token *token = endpoint->tokens; token != NULL && error == 0;
         token = token->next) {
        char *text = arena_take(arena, BASE64_TEXT_BYTES((size_t)token->bytes));

        if (text == NULL) {
            error = -ENOMEM;
            break;
        }
        base64_encode(token->data, token->bytes, text);
        error = json_array_append_new(tokens, json_string(text));
    }
    if (error == 0 && tokens != NULL)
        error = json_object_set_new(metadata, "quilkin.dev", json_pack("{s:O}", "tokens", tokens));
    if (error == 0)
        error = resource_write_struct(metadata, arena, &message->metadata);
    message->known_case = XDS__ENDPOINT__KNOWN_METADATA;
    json_decref(tokens);
    json_decref(metadata);
    return error;
}

static int write_endpoint(const struct cluster_endpoint *endpoint, struct arena *arena,
                          Xds__Endpoint *message)
{
    char text[INET6_ADDRSTRLEN] = "";
    const char *host = text;

    xds__endpoint__init(message);
    if (endpoint->name != NULL)
        host = endpoint->name;
    else
        address_format_host(&endpoint->at.address, text);
    message->host = copy_text(arena, host);
    message->port = ntohs(endpoint->at.port);
    if (message->host == NULL)
        return -ENOMEM;
    if (endpoint->tokens == NULL && endpoint->metadata == NULL)
        return 0;
    return write_metadata(endpoint, arena, message);
}

struct http_blob *resource_write_cluster(const struct cluster *cluster)
{
    Xds__Cluster message;
    Xds__Locality place;
    struct locality locality = {.region = ""};
    struct http_blob *blob = NULL;
    struct arena arena;
    size_t i = 0;

    xds__cluster__init(&message);
    xds__locality__init(&place);
    arena_init(&arena, SIZE_MAX / 64);
    if (cluster->locality[0] != '\0' && locality_parse(cluster->locality, &locality) == 0) {
        place.region = locality.region;
        place.zone = locality.zone;
        place.sub_zone = locality.sub_zone;
        message.locality = &place;
    }
    Xds__Endpoint *endpoints =
        arena_take(&arena, (cluster->endpoint_count + 1) * sizeof *endpoints);
    message.endpoints =
        arena_take(&arena, (cluster->endpoint_count + 1) * sizeof *message.endpoints);
    if (endpoints == NULL || message.endpoints == NULL)
        goto out;
    for (const struct cluster_endpoint *endpoint = cluster->endpoints; endpoint != NULL;
         endpoint = endpoint->next, i++) {
        if (write_endpoint(endpoint, &arena, &endpoints[i]) != 0)
            goto out;
        message.endpoints[i] = &endpoints[i];
    }
    message.n_endpoints = i;
    blob = pack(&message.base);
out:
    arena_fini(&arena);
    return blob;
}

struct http_blob *resource_write_datacenter(const char *address, uint16_t qcmp_port,
                                            const char *icao_code)
{
    Xds__Datacenter message;

    xds__datacenter__init(&message);
    message.host = (char *)(uintptr_t)address; /* only read */
    message.qcmp_port = qcmp_port;
    message.icao_code = (char *)(uintptr_t)icao_code; /* only read */
    return pack(&message.base);
}

struct http_blob *resource_write_filters(json_t *filters)
{
    Xds__FilterChain message;
    size_t count = json_array_size(filters), i;
    struct http_blob *blob = NULL;
    struct arena arena;
    json_t *filter;

    xds__filter_chain__init(&message);
    arena_init(&arena, SIZE_MAX / 64);
    Xds__Filter *items = arena_take(&arena, (count + 1) * sizeof *items);
    message.filters = arena_take(&arena, (count + 1) * sizeof *message.filters);
    bool is_made = items != NULL && message.filters != NULL;
    json_array_foreach(filters, i, filter)
    {
        const json_t *label = json_object_get(filter, "label");
        json_t *config = json_object_get(filter, "config");

        if (!is_made)
            break;
        xds__filter__init(&items[i]);
        items[i].name = copy_text(&arena, json_string_value(json_object_get(filter, "name")));
        if (json_is_string(label)) {
            items[i].named_case = XDS__FILTER__NAMED_LABEL;
            items[i].label = copy_text(&arena, json_string_value(label));
        }
        if (config != NULL && !json_is_null(config)) {
            char *text = json_dumps(config, JSON_COMPACT | JSON_ENCODE_ANY);

            items[i].configured_case = XDS__FILTER__CONFIGURED_CONFIG;
            items[i].config = text != NULL ? copy_text(&arena, text) : NULL;
            is_made = items[i].config != NULL;
            free(text);
        }
        message.filters[i] = &items[i];
        message.n_filters = i + 1;
    }
    if (is_made)
        blob = pack(&message.base);
    arena_fini(&arena);
    return blob;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/number.h"

#define MAX_SLICE_SERVERS 1000 /* the most that Kubernetes has in one */

static json_t *member(json_t *object, const char *map, const char *name)
{
    return json_object_get(json_object_get(object, map), name);
}

static const char *text(json_t *object, const char *map, const char *name)
{
    return json_string_value(member(object, map, name));
}

void server_object_name(json_t *object, char *name)
{
    const char *namespace = text(object, "metadata", "namespace"),
               *own = text(object, "metadata", "name");

    snprintf(name, (size_t)2 * K8S_NAME_BYTES, "%.253s/%.253s", namespace != NULL ? namespace : "",
             own != NULL ? own : "");
}

void servers_fini(struct servers *servers)
{
    for (size_t i = 0; i < servers->count; i++) {
        free(servers->items[i].address);
        json_decref(servers->items[i].metadata);
    }
    free(servers->items);
    free(servers->tokens);
    *servers = (struct servers){0};
}

/* Tokens that are no base64, or empty, are skipped. */
static int add_tokens(struct servers *servers, const char *list)
{
    size_t length = strlen(list);
    uint8_t *room = realloc(servers->tokens, servers->tokens_bytes + 4 * (length + 1));
    char *copy = strdup(list), *rest = copy, *item;

    if (room != NULL)
        servers->tokens = room;
    if (room == NULL || copy == NULL) {
        free(copy);
        return -ENOMEM;
    }
    while ((item = strsep(&rest, ",")) != NULL) {
        uint8_t *at = servers->tokens + servers->tokens_bytes;
        size_t bytes;

        item += strspn(item, " ");
        item[strcspn(item, " ")] = '\0';
        if (*item == '\0' || base64_decode(item, at + 4, &bytes) != 0) {
            servers->bad_tokens++;
            continue;
        }
        uint32_t own = (uint32_t)bytes;
        memcpy(at, &own, sizeof own);
        servers->tokens_bytes += 4 + bytes;
    }
    free(copy);
    return 0;
}

static int take_tokens(struct servers *servers, json_t *object)
{
    static const char *const names[] = {"quilkin.dev/tokens", "paddock/tokens"};
    json_t *annotations = member(object, "metadata", "annotations");
    int error = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0] && error == 0; i++) {
        const char *list = json_string_value(json_object_get(annotations, names[i]));

        if (list != NULL && *list != '\0')
            error = add_tokens(servers, list);
    }
    return error;
}

/* The address with its port, where both are fit for a server. NULL if not. */
static char *join(const char *host, json_int_t port)
{
    struct server_address address;
    char whole[TARGET_HOST_BYTES + 16];
    int length;

    if (host == NULL || port < 1 || port > UINT16_MAX)
        return NULL;
    length = snprintf(whole, sizeof whole, strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d", host,
                      (int)port);
    return length < (int)sizeof whole && server_address_parse(whole, &address) == 0 ? strdup(whole)
                                                                                    : NULL;
}

static int add(struct servers *servers, const char *host, json_int_t port, json_t *metadata)
{
    struct server server = {join(host, port), metadata};
    struct server *longer;

    if (server.address == NULL) {
        servers->is_unfit = true;
        json_decref(metadata);
        return 0;
    }
    longer = realloc(servers->items, (servers->count + 1) * sizeof *longer);
    if (longer == NULL || metadata == NULL) {
        servers->items = longer != NULL ? longer : servers->items;
        free(server.address);
        json_decref(metadata);
        return -ENOMEM;
    }
    servers->items = longer;
    servers->items[servers->count++] = server;
    return 0;
}

static bool is_of_kind(const char *address, enum k8s_ip_kind kind)
{
    struct in6_addr parsed;

    return kind == K8S_IP_ANY ||
           inet_pton(kind == K8S_IP_V4 ? AF_INET : AF_INET6, address, &parsed) == 1;
}

static const char *choose_address(json_t *object, const struct k8s_settings *settings)
{
    json_t *list = member(object, "status", "addresses"), *item;
    size_t i;

    if (settings->address_type[0] == '\0')
        return text(object, "status", "address");
    json_array_foreach(list, i, item)
    {
        const char *type = json_string_value(json_object_get(item, "type")),
                   *address = json_string_value(json_object_get(item, "address"));

        if (type != NULL && address != NULL && strcmp(type, settings->address_type) == 0 &&
            is_of_kind(address, settings->ip_kind))
            return address;
    }
    return NULL;
}

/* Of players, by whichever of Agones' ways the fleet counts them. */
static json_t *find_capacity(json_t *object)
{
    json_t *capacity = json_object_get(member(object, "status", "players"), "capacity");

    if (!json_is_integer(capacity))
        capacity = json_object_get(json_object_get(member(object, "status", "lists"), "players"),
                                   "capacity");
    if (!json_is_integer(capacity))
        capacity = json_object_get(json_object_get(member(object, "status", "counters"), "players"),
                                   "capacity");
    return json_is_integer(capacity) ? capacity : NULL;
}

/* Borrows nothing of the object: that goes. Members that there are not are left out. */
static json_t *describe(json_t *object)
{
    json_t *metadata = json_object(), *labels = member(object, "metadata", "labels");
    const char *weight = json_string_value(
        json_object_get(member(object, "metadata", "annotations"), "paddock/weight"));
    json_t *capacity = find_capacity(object);
    uint64_t number;
    int error = metadata == NULL;

    error |= json_object_set(metadata, "name", member(object, "metadata", "name"));
    error |= json_object_set(metadata, "namespace", member(object, "metadata", "namespace"));
    if (json_is_object(labels) && json_object_size(labels) > 0)
        error |= json_object_set(metadata, "labels", labels);
    if (capacity != NULL)
        error |= json_object_set(metadata, "capacity", capacity);
    if (weight != NULL && number_parse(weight, 1, CLUSTER_MAX_WEIGHT, &number) == 0)
        error |= json_object_set_new(metadata, "paddock",
                                     json_pack("{s:I}", "weight", (json_int_t)number));
    if (error == 0)
        return metadata;
    json_decref(metadata);
    return NULL;
}

/* An object without a name is none that the server can have sent. */
static bool has_name(json_t *object)
{
    return text(object, "metadata", "name") != NULL &&
           text(object, "metadata", "namespace") != NULL;
}

int servers_read_game_server(struct servers *servers, json_t *object,
                             const struct k8s_settings *settings)
{
    const char *state = text(object, "status", "state");
    json_t *port = json_object_get(json_array_get(member(object, "status", "ports"), 0), "port");
    int error;

    if (state == NULL || strcmp(state, "Allocated") != 0 || !has_name(object))
        return 0;
    error =
        add(servers, choose_address(object, settings), json_integer_value(port), describe(object));
    return error == 0 && servers->count > 0 ? take_tokens(servers, object) : error;
}

static json_int_t find_udp_port(json_t *object)
{
    json_t *list = json_object_get(object, "ports"), *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        const char *protocol = json_string_value(json_object_get(item, "protocol"));

        if (protocol != NULL && strcmp(protocol, "UDP") == 0)
            return json_integer_value(json_object_get(item, "port"));
    }
    return 0;
}

/* The metadata of a slice are those of each of its endpoints, which has a name of its own. */
static json_t *describe_endpoint(json_t *slice, json_t *endpoint)
{
    json_t *metadata = describe(slice);
    json_t *name = json_object_get(json_object_get(endpoint, "targetRef"), "name"),
           *zone = json_object_get(endpoint, "zone");
    int error = metadata == NULL;

    if (json_is_string(name) && error == 0)
        error = json_object_set(metadata, "name", name);
    if (json_is_string(zone) && error == 0)
        error = json_object_set(metadata, "zone", zone);
    if (error == 0)
        return metadata;
    json_decref(metadata);
    return NULL;
}

int servers_read_slice(struct servers *servers, json_t *object)
{
    json_t *list = json_object_get(object, "endpoints"), *item;
    json_int_t port = find_udp_port(object);
    size_t i;
    int error = 0;

    if (!has_name(object))
        return 0;
    servers->is_unfit = json_array_size(list) > MAX_SLICE_SERVERS;
    if (servers->is_unfit)
        return 0;
    json_array_foreach(list, i, item)
    {
        const char *address =
            json_string_value(json_array_get(json_object_get(item, "addresses"), 0));

        if (error == 0 &&
            !json_is_false(json_object_get(json_object_get(item, "conditions"), "ready")))
            error = add(servers, address, port, describe_endpoint(object, item));
    }
    return error == 0 && servers->count > 0 ? take_tokens(servers, object) : error;
}

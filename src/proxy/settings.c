/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/trees.h"
#include "config/types.h"

#define SECOND_NS INT64_C(1000000000)

#define AT(member) FIELD_AT(struct proxy_settings, member)

static const char *const removed_words[] = {"keep", "drop", "move", NULL};
static const char *const migration_words[] = {"nothing", "token", NULL};

static int parse_locality(const char *text, void *value)
{
    struct locality locality;
    return locality_parse(text, &locality) == 0 ? locality_format(&locality, value) : -1;
}

static json_t *show_locality(const void *value)
{
    const char *text = value;
    return text[0] != '\0' ? json_string(text) : json_null();
}

static const struct field_type locality_type = {
    .parse = parse_locality,
    .show = show_locality,
    .expected = "a locality (region[:zone[:sub_zone]])",
    .schema = "{\"type\":\"string\",\"pattern\":\"^[^:]+(:[^:]+){0,2}$\"}"};

static const struct field listener_rows[] = {
    {.key = "port",
     .help = "its UDP port; 0 takes a free one",
     .kind = FIELD_NUMBER,
     .flags = FIELD_REQUIRED,
     .max = UINT16_MAX,
     FIELD_AT(struct proxy_listener, port)},
    {.key = "locality",
     .help = "of the servers that it is for; all where there is none",
     .kind = FIELD_CUSTOM,
     .type = &locality_type,
     FIELD_AT(struct proxy_listener, locality)},
    {.key = "filters",
     .help = "its chain of filters, which need not choose anything",
     .kind = FIELD_TREE,
     .tree = &inner_filters_tree,
     .flags = FIELD_REQUIRED,
     FIELD_AT(struct proxy_listener, filters)},
    {0},
};

int proxy_listeners_copy(struct proxy_listeners *copy, const struct proxy_listeners *listeners)
{
    struct proxy_listener *items = calloc(listeners->count + 1, sizeof *items);
    if (items == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < listeners->count; i++) {
        items[i] = listeners->items[i];
        json_incref(items[i].filters);
    }
    *copy = (struct proxy_listeners){.items = items, .count = listeners->count};
    return 0;
}

void proxy_listeners_fini(struct proxy_listeners *copy)
{
    for (size_t i = 0; i < copy->count; i++)
        json_decref(copy->items[i].filters);
    free(copy->items);
    *copy = (struct proxy_listeners){0};
}

bool proxy_listeners_alike(const struct proxy_listeners *a, const struct proxy_listeners *b)
{
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].locality, b->items[i].locality) != 0 ||
            json_equal(a->items[i].filters, b->items[i].filters) == 0)
            return false;
    }
    return true;
}

static int has_new_port(const void *items, size_t count)
{
    const struct proxy_listener *listeners = items;
    for (size_t i = 0; i + 1 < count; i++) {
        if (listeners[i].port != 0 && listeners[i].port == listeners[count - 1].port)
            return -1;
    }
    return 0;
}

static int parse_places(const char *text, void *value)
{
    if (strlen(text) >= GEO_TEXT_BYTES || !geo_is_list(text))
        return -1;
    memcpy(value, text, strlen(text) + 1);
    return 0;
}

static json_t *show_places(const void *value)
{
    const char *text = value;
    return text[0] != '\0' ? json_string(text) : json_null();
}

static const struct field_type places_type = {.parse = parse_places,
                                              .show = show_places,
                                              .expected =
                                                  "1 to 4 paths or URLs, with commas between them"};

static const struct field fields[] = {
    {.flag = "service.udp",
     .variable = "QUILKIN_SERVICE_UDP",
     .help = "carry players' datagrams to game servers",
     .flags = FIELD_SERVICE,
     AT(enabled)},
    {.key = "paddock.udp.port",
     .flag = "service.udp.port",
     .variable = "QUILKIN_SERVICE_UDP_PORT",
     .help = "the UDP port for players; 0 takes a free one",
     .default_text = "7777",
     TYPES_PORT,
     AT(port)},
    {.key = "paddock.udp.listen",
     .help = "the addresses to bind for players",
     TYPES_LISTEN(struct proxy_settings, listen)},
    {.key = "paddock.udp.receive_buffer",
     .help = "what a socket for players holds, as time at a worker's full rate",
     TYPES_RECEIVE_BUFFER,
     AT(receive_buffer_ns)},
    {.key = "paddock.udp.gro",
     .help = "let the kernel gather bursts of one peer: cheaper for bursts, dearer for single "
             "datagrams",
     .flags = FIELD_FIXED,
     AT(gro)},
    {.key = "paddock.udp.dscp",
     .help = "carry DSCP and ECN through, both ways",
     .flags = FIELD_FIXED,
     AT(dscp)},
    {.key = "paddock.udp.loopback",
     .flag = "service.udp.loopback",
     .help = "let players be on this host",
     AT(loopback)},
    {.key = "paddock.udp.session_timeout",
     .flag = "service.udp.session-timeout",
     .variable = "QUILKIN_SERVICE_UDP_SESSION_TIMEOUT",
     .help = "how long a session lasts without datagrams",
     .placeholder = "DURATION",
     .default_text = "60s",
     .kind = FIELD_DURATION,
     .min = SECOND_NS,
     .max = 86400 * SECOND_NS,
     AT(session_timeout_ns)},
    {.key = "paddock.udp.sessions.max",
     .help = "sessions at a time; 0: from the limits of the process",
     .kind = FIELD_NUMBER,
     .flags = FIELD_FIXED,
     .max = 4000000,
     AT(max_sessions)},
    {.key = "paddock.udp.sessions.max_per_address",
     .help = "sessions of one address of players; 0: no limit of its own",
     .kind = FIELD_NUMBER,
     .flags = FIELD_FIXED,
     .max = 4000000,
     AT(max_per_address)},
    {.key = "paddock.udp.sessions.max_packets_per_second",
     .help = "datagrams of a session, each way; 0: no limit",
     .kind = FIELD_NUMBER,
     .max = 100000000,
     AT(max_packets_per_second)},
    {.key = "paddock.udp.sessions.max_bytes_per_second",
     .help = "bytes of a session's datagrams, each way; 0: no limit",
     .kind = FIELD_NUMBER,
     .max = UINT32_MAX,
     AT(max_bytes_per_second)},
    {.key = "paddock.udp.sessions.removed_endpoint",
     .help = "what becomes of sessions whose endpoint is gone: keep, drop or move",
     .kind = FIELD_WORD,
     .words = removed_words,
     AT(removed_endpoint)},
    {.key = "paddock.udp.sessions.migrate_by",
     .help = "what keeps a session for a player with a new address: nothing, or the token, where "
             "each player has one of its own",
     .kind = FIELD_WORD,
     .flags = FIELD_FIXED,
     .words = migration_words,
     AT(migrate_by)},
    {.key = "paddock.udp.sessions.log_rate",
     .help = "lines a second of the log for sessions that have ended; 0: none",
     .kind = FIELD_NUMBER,
     .max = 100000,
     AT(log_rate)},
    {.flag = "provider.mmdb.endpoints",
     .variable = "QUILKIN_PROVIDERS_MMDB_ENDPOINTS",
     .help = "databases of MaxMind's format that tell players' countries and networks; may repeat",
     .placeholder = "PATH|URL,...",
     .kind = FIELD_CUSTOM,
     .type = &places_type,
     .flags = FIELD_FIXED | FIELD_PRIVATE | FIELD_REPEATED,
     AT(places)},
    {.key = "paddock.udp.clusters",
     .help =
         "what else is wanted for the servers of a cluster, by its locality; '*': of all others",
     .kind = FIELD_TREE,
     .tree = &policies_tree,
     AT(policies)},
    {.key = "paddock.udp.listeners",
     .help = "further ports for players, each for a cluster or with filters of its own",
     .kind = FIELD_LIST,
     .max = PROXY_MAX_LISTENERS,
     .expected = "a list of at most 64 listeners",
     .members = listener_rows,
     .item_bytes = sizeof(struct proxy_listener),
     .check_items = has_new_port,
     .check_expected = "a port that no listener before has",
     AT(listeners)},
    {0},
};

static void defaults(void *settings, const struct config_environment *environment)
{
    struct proxy_settings *own = settings;
    (void)environment;
    own->listen_count = 1; /* :: */
}

static int check(void *settings, struct error *error)
{
    const struct proxy_settings *own = settings;
    for (size_t i = 0; i < own->listeners.count; i++) {
        if (own->port != 0 && own->listeners.items[i].port == own->port)
            return error_set(error, -EINVAL,
                             "paddock.udp.listeners[%zu].port: expected another port than "
                             "paddock.udp.port, %u",
                             i, (unsigned)own->port);
    }
    return 0;
}

const struct config_section proxy_section = {.name = "proxy",
                                             .fields = fields,
                                             .bytes = sizeof(struct proxy_settings),
                                             .defaults = defaults,
                                             .check = check};

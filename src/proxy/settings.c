/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/settings.h"

#include "config/types.h"

#define SECOND_NS INT64_C(1000000000)

#define AT(member) FIELD_AT(struct proxy_settings, member)

static const char *const removed_words[] = {"keep", "drop", "move", NULL};

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
     .placeholder = "PORT",
     .default_text = "7777",
     .kind = FIELD_NUMBER,
     .max = UINT16_MAX,
     AT(port)},
    {.key = "paddock.udp.listen",
     .help = "the addresses to bind for players",
     .kind = FIELD_ARRAY,
     .flags = FIELD_FIXED | FIELD_UNIQUE,
     .min = 1,
     .max = NET_MAX_ADDRESSES,
     .expected = "a list of 1 to 16 numeric addresses",
     .members = listen_address_row,
     .item_bytes = sizeof(struct in6_addr),
     AT(listen),
     .count_offset = offsetof(struct proxy_settings, listen_count)},
    {.key = "paddock.udp.receive_buffer",
     .help = "what a socket for players holds, as time at a worker's full rate",
     .default_text = "20ms",
     .kind = FIELD_DURATION,
     .flags = FIELD_FIXED,
     .min = 1,
     .max = 5 * SECOND_NS,
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
    {.key = "paddock.udp.sessions.removed_endpoint",
     .help = "what becomes of sessions whose endpoint is gone: keep, drop or move",
     .kind = FIELD_WORD,
     .words = removed_words,
     AT(removed_endpoint)},
    {0},
};

static void defaults(void *settings, const struct config_environment *environment)
{
    struct proxy_settings *own = settings;
    (void)environment;
    own->listen_count = 1; /* :: */
}

const struct config_section proxy_section = {.name = "proxy",
                                             .fields = fields,
                                             .bytes = sizeof(struct proxy_settings),
                                             .defaults = defaults};

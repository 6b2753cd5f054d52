/* SPDX-License-Identifier: Apache-2.0 */
#include "phoenix/settings.h"

#include <errno.h>

#include "config/types.h"

#define MS_NS INT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)

#define AT(member) FIELD_AT(struct phoenix_settings, member)

static const struct field fields[] = {
    {.flag = "service.phoenix",
     .variable = "QUILKIN_SERVICE_PHOENIX",
     .help = "measure the latency to data centres, and tell it over HTTP",
     .flags = FIELD_SERVICE,
     AT(enabled)},
    {.key = "paddock.phoenix.port",
     .flag = "service.phoenix.port",
     .variable = "QUILKIN_SERVICE_PHOENIX_PORT",
     .help = "the TCP port for it; 0 takes a free one",
     .placeholder = "PORT",
     .default_text = "7600",
     .kind = FIELD_NUMBER,
     .max = UINT16_MAX,
     AT(port)},
    {.key = "paddock.phoenix.listen",
     .help = "the addresses to bind for it",
     .kind = FIELD_ARRAY,
     .flags = FIELD_FIXED | FIELD_UNIQUE,
     .min = 1,
     .max = NET_MAX_ADDRESSES,
     .expected = "a list of 1 to 16 numeric addresses",
     .members = listen_address_row,
     .item_bytes = sizeof(struct in6_addr),
     AT(listen),
     .count_offset = offsetof(struct phoenix_settings, listen_count)},
    {.key = "paddock.phoenix.interval.min",
     .help = "between two pings to a data centre whose latency changes",
     .default_text = "1s",
     .kind = FIELD_DURATION,
     .min = 100 * MS_NS,
     .max = 60 * SECOND_NS,
     AT(interval.least_ns)},
    {.key = "paddock.phoenix.interval.max",
     .help = "between two pings to a data centre whose latency does not change, or that is silent",
     .default_text = "60s",
     .kind = FIELD_DURATION,
     .min = 100 * MS_NS,
     .max = 300 * SECOND_NS,
     AT(interval.most_ns)},
    {.key = "paddock.phoenix.cors",
     .help = "let any web page read the latencies (Access-Control-Allow-Origin: *)",
     AT(cors)},
    {.key = "paddock.phoenix.requests_per_second",
     .help = "of one client's address, or /64 of IPv6; twice as many at once",
     .default_text = "100",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = 100000,
     AT(requests_per_second)},
    {.key = "paddock.phoenix.loopback",
     .help = "whether clients on this host are limited, too",
     AT(loopback)},
    {0},
};

static void defaults(void *settings, const struct config_environment *environment)
{
    struct phoenix_settings *own = settings;
    (void)environment;
    own->listen_count = 1; /* :: */
}

static int check(void *settings, struct error *error)
{
    const struct phoenix_settings *own = settings;
    if (own->interval.least_ns <= own->interval.most_ns)
        return 0;
    return error_set(
        error, -EINVAL,
        "paddock.phoenix.interval: min has to be at most max, which is 60s by default");
}

const struct config_section phoenix_section = {.name = "phoenix",
                                               .fields = fields,
                                               .bytes = sizeof(struct phoenix_settings),
                                               .defaults = defaults,
                                               .check = check};

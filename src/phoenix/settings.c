/* SPDX-License-Identifier: Apache-2.0 */
#include "phoenix/settings.h"

#include "config/types.h"

#define MS_NS INT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)

#define AT(member) FIELD_AT(struct phoenix_settings, member)

static int check_interval(const void *map)
{
    const struct pace_bounds *interval = map;
    return interval->least_ns <= interval->most_ns ? 0 : -1;
}

static const struct field interval_rows[] = {
    {.key = "min",
     .help = "between two pings to a data centre whose latency changes",
     .default_text = "1s",
     .kind = FIELD_DURATION,
     .expected = "a duration from 100ms to 60s",
     .min = 100 * MS_NS,
     .max = 60 * SECOND_NS,
     FIELD_AT(struct pace_bounds, least_ns)},
    {.key = "max",
     .help = "between two pings to a data centre whose latency does not change, or that is silent",
     .default_text = "60s",
     .kind = FIELD_DURATION,
     .expected = "a duration from 100ms to 5m",
     .min = 100 * MS_NS,
     .max = 300 * SECOND_NS,
     FIELD_AT(struct pace_bounds, most_ns)},
    {0},
};

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
     .default_text = "7600",
     TYPES_PORT,
     AT(port)},
    {.key = "paddock.phoenix.listen",
     .help = "the addresses to bind for it",
     TYPES_LISTEN(struct phoenix_settings, listen)},
    {.key = "paddock.phoenix.interval",
     .kind = FIELD_MAP,
     .members = interval_rows,
     .check = check_interval,
     .check_expected = "a min that is at most max, which are 1s and 60s by default",
     AT(interval)},
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
    field_defaults(interval_rows, &own->interval);
}

const struct config_section phoenix_section = {.name = "phoenix",
                                               .fields = fields,
                                               .bytes = sizeof(struct phoenix_settings),
                                               .defaults = defaults};

#include "config/keys.h"

#include <string.h>

#include "config/yaml.h"

#define MEMBERS(array) .members = (array), .count = sizeof(array) / sizeof((array)[0])

static void forget_listen(struct config *config)
{
    config->listen_count = 0;
}

static void forget_ipv4_rules(struct config *config)
{
    config->guard.ipv4.count = 0;
}

static void forget_ipv6_rules(struct config *config)
{
    config->guard.ipv6.count = 0;
}

/* The list has room: its length is checked before its items. */
static void start_ipv4_rule(struct config *config)
{
    config->guard.ipv4.count++;
}

static void start_ipv6_rule(struct config *config)
{
    config->guard.ipv6.count++;
}

/* The last rule, beside the one before it. */
static int check_rule(const struct guard_rule_list *list)
{
    const struct guard_rule *last = &list->items[list->count - 1];

    if (last->burst > (uint64_t)last->rate * GUARD_MAX_FILL_SECONDS)
        return -1;
    return list->count == 1 || last->prefix < last[-1].prefix ? 0 : -1;
}

static int check_ipv4_rule(const struct config *config)
{
    return check_rule(&config->guard.ipv4);
}

static int check_ipv6_rule(const struct config *config)
{
    return check_rule(&config->guard.ipv6);
}

static json_t **keep_filters(struct config *config)
{
    return &config->filters;
}

static json_t **keep_clusters(struct config *config)
{
    return &config->clusters;
}

static json_t **keep_datacenters(struct config *config)
{
    return &config->datacenters;
}

static const struct key anything = {.kind = KEY_ANYTHING};

static const struct key datacenter_members[] = {
    {.name = "address", .setting = &setting_datacenter_host, .required = true},
    {.name = "qcmp_port", .setting = &setting_datacenter_port},
    {.name = "icao_code", .setting = &setting_datacenter_icao},
};

static const struct key datacenter = {.kind = KEY_MAP, MEMBERS(datacenter_members)};
/* Without the address, which is the name in the table. */
static const struct key datacenter_value = {
    .kind = KEY_MAP, .members = datacenter_members + 1, .count = 2};

static const struct key datacenter_map[] = {
    {.name = "map",
     .kind = KEY_TABLE,
     .setting = &setting_datacenter_address,
     .members = &datacenter_value,
     .count = 1,
     .required = true},
};

static const struct key datacenter_forms[] = {
    {.kind = KEY_LIST,
     .members = &datacenter,
     .count = 1,
     .max = YAML_MAX_NODES,
     .expected = "a list of data centres"},
    {.kind = KEY_MAP, MEMBERS(datacenter_map)},
};

static const struct key listen_address = {.setting = &setting_listen};

static const struct key allow_prefix = {.setting = &setting_allow};
static const struct key deny_prefix = {.setting = &setting_deny};

static const struct key access_members[] = {
    {.name = "allow",
     .help = "Prefixes that may ask. Where there are some, others may not.",
     .kind = KEY_LIST,
     .members = &allow_prefix,
     .count = 1,
     .max = CONFIG_MAX_PREFIXES,
     .expected = "a list of at most 131072 prefixes"},
    {.name = "deny",
     .help = "Prefixes that may not ask. Of both lists the longest match decides, then deny.",
     .kind = KEY_LIST,
     .members = &deny_prefix,
     .count = 1,
     .max = CONFIG_MAX_PREFIXES,
     .expected = "a list of at most 131072 prefixes"},
};

static const struct key guard_ipv4_members[] = {
    {.name = "prefix", .setting = &setting_guard_ipv4_prefix, .required = true},
    {.name = "rate", .setting = &setting_guard_ipv4_rate, .required = true},
    {.name = "burst", .setting = &setting_guard_ipv4_burst, .required = true},
};

static const struct key guard_ipv6_members[] = {
    {.name = "prefix", .setting = &setting_guard_ipv6_prefix, .required = true},
    {.name = "rate", .setting = &setting_guard_ipv6_rate, .required = true},
    {.name = "burst", .setting = &setting_guard_ipv6_burst, .required = true},
};

#define RULE_EXPECTED                                                                              \
    "a burst of at most 60 times the rate, and a shorter prefix than in the item before"

static const struct key guard_ipv4_rule = {.kind = KEY_MAP,
                                           MEMBERS(guard_ipv4_members),
                                           .expected = RULE_EXPECTED,
                                           .start = start_ipv4_rule,
                                           .check = check_ipv4_rule};
static const struct key guard_ipv6_rule = {.kind = KEY_MAP,
                                           MEMBERS(guard_ipv6_members),
                                           .expected = RULE_EXPECTED,
                                           .start = start_ipv6_rule,
                                           .check = check_ipv6_rule};

static const struct key guard_members[] = {
    {.name = "enabled",
     .help = "Whether answers are limited by source, and for the whole process.",
     .setting = &setting_guard},
    {.name = "loopback",
     .help = "Whether loopback sources are limited, too.",
     .setting = &setting_guard_loopback},
    {.name = "replies_per_second",
     .help = "Of the whole process, in any second. Half of them are for sources that have been "
             "seen for a second.",
     .setting = &setting_guard_replies},
    {.name = "ipv4",
     .help = "Answers a second (rate) and at once (burst) for each prefix of that many bits.",
     .kind = KEY_LIST,
     .members = &guard_ipv4_rule,
     .count = 1,
     .min = 1,
     .max = GUARD_LEVELS,
     .expected = "a list of 1 to 4 maps",
     .start = forget_ipv4_rules},
    {.name = "ipv6",
     .help = "The same for IPv6.",
     .kind = KEY_LIST,
     .members = &guard_ipv6_rule,
     .count = 1,
     .min = 1,
     .max = GUARD_LEVELS,
     .expected = "a list of 1 to 4 maps",
     .start = forget_ipv6_rules},
    {.name = "leak",
     .help = "One refused ping in so many is answered all the same; 0: none.",
     .setting = &setting_guard_leak},
};

static const struct key paddock_members[] = {
    {.name = "engine",
     .help = "How packets move: auto, mmsg or xdp. Not at run time.",
     .setting = &setting_engine},
    {.name = "workers",
     .help = "Threads that answer; 0 is one for each CPU. Not at run time.",
     .setting = &setting_workers},
    {.name = "pin",
     .help = "Whether each worker has a CPU of its own. Not at run time.",
     .setting = &setting_pin},
    {.name = "realtime",
     .help = "Whether workers go before all that has no real-time priority. Not at run time.",
     .setting = &setting_realtime},
    {.name = "low_latency",
     .help = "Whether to spend CPU time on low latency. Not at run time.",
     .setting = &setting_low_latency},
    {.name = "listen",
     .help = "The addresses to bind. Not at run time.",
     .kind = KEY_LIST,
     .members = &listen_address,
     .count = 1,
     .min = 1,
     .max = CONFIG_MAX_LISTEN,
     .expected = "a list of 1 to 16 numeric addresses",
     .start = forget_listen},
    {.name = "receive_buffer",
     .help = "What a socket holds, as time at a worker's full rate: above 0, at most 5s. Not at "
             "run time.",
     .setting = &setting_receive_buffer},
    {.name = "max_age",
     .help = "A ping that waited longer is dropped; 0 is never. At most 365d.",
     .setting = &setting_max_age},
    {.name = "user",
     .help = "Whom a service that was started as root becomes. Not at run time.",
     .setting = &setting_user},
    {.name = "seccomp",
     .help = "Whether the system calls of the workers are filtered. Not at run time.",
     .setting = &setting_seccomp},
    {.name = "access", .help = "Who may ask.", .kind = KEY_MAP, MEMBERS(access_members)},
    {.name = "guard",
     .help = "How many answers a source may have.",
     .kind = KEY_MAP,
     MEMBERS(guard_members)},
};

static const struct key root_members[] = {
    {.name = "version", .help = "Of this format: v1alpha1.", .setting = &setting_version},
    {.name = "id", .help = "The name of this service.", .setting = &setting_service_id},
    {.name = "icao_code",
     .help = "The airport next to this service, four letters A-Z.",
     .setting = &setting_icao_code},
    {.name = "qcmp_port",
     .help = "The UDP port for QCMP; 0 takes a free one.",
     .setting = &setting_qcmp_port},
    {.name = "filters",
     .help = "Kept and shown, not used.",
     .kind = KEY_LIST,
     .members = &anything,
     .count = 1,
     .max = YAML_MAX_NODES,
     .expected = "a list of maps",
     .kept = keep_filters},
    {.name = "clusters",
     .help = "Kept and shown, not used.",
     .kind = KEY_LIST,
     .members = &anything,
     .count = 1,
     .max = YAML_MAX_NODES,
     .expected = "a list of maps",
     .kept = keep_clusters},
    {.name = "datacenters",
     .help = "Kept and shown, not used.",
     .kind = KEY_EITHER,
     MEMBERS(datacenter_forms),
     .kept = keep_datacenters},
    {.name = "paddock",
     .help = "What Quilkin does not know.",
     .kind = KEY_MAP,
     MEMBERS(paddock_members)},
};

const struct key keys_root = {.kind = KEY_MAP, MEMBERS(root_members)};

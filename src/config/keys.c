#include "config/keys.h"

#include <string.h>

#include "config/yaml.h"

#define MEMBERS(array) .members = (array), .count = sizeof(array) / sizeof((array)[0])

static void forget_listen(struct config *config)
{
    config->listen_count = 0;
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

static const struct key access_members[] = {
    {.name = "allow",
     .kind = KEY_LIST,
     .members = &anything,
     .count = 1,
     .expected = "an empty list (access lists are not supported yet)"},
    {.name = "deny",
     .kind = KEY_LIST,
     .members = &anything,
     .count = 1,
     .expected = "an empty list (access lists are not supported yet)"},
};

static const struct key guard_members[] = {
    {.name = "enabled", .setting = &setting_guard},
    {.name = "loopback", .kind = KEY_REFUSED},
    {.name = "replies_per_second", .kind = KEY_REFUSED},
    {.name = "ipv4", .kind = KEY_REFUSED},
    {.name = "ipv6", .kind = KEY_REFUSED},
    {.name = "leak", .kind = KEY_REFUSED},
};

static const struct key paddock_members[] = {
    {.name = "engine",
     .help = "How packets move: auto, mmsg or xdp. Not at run time.",
     .setting = &setting_engine},
    {.name = "workers",
     .help = "Threads that answer; 0 is one for each CPU. Not at run time.",
     .setting = &setting_workers},
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
     .help = "What a socket holds, as time at a worker's full rate: above 0, at most 10s.",
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
    {.name = "access",
     .help = "Access lists; not supported yet, so they must be empty.",
     .kind = KEY_MAP,
     MEMBERS(access_members)},
    {.name = "guard",
     .help = "Limits by source; not supported yet, so it must be off.",
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

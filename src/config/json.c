#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>

#include "config/config.h"

#define DURATION_BYTES 32
#define ADDRESS_BYTES INET6_ADDRSTRLEN

/* Exactly, as duration_parse() reads it back; duration_format() is for people, and rounds. */
static json_t *duration_to_json(int64_t ns)
{
    static const struct {
        int64_t ns;
        const char *name;
    } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
    size_t i = 0;

    while (ns % units[i].ns != 0)
        i++;
    return json_sprintf("%" PRId64 "%s", ns / units[i].ns, units[i].name);
}

static json_t *listen_to_json(const struct config *config)
{
    json_t *list = json_array();

    for (size_t i = 0; i < config->listen_count; i++) {
        char text[ADDRESS_BYTES];
        const struct in6_addr *address = &config->listen[i];
        if (IN6_IS_ADDR_V4MAPPED(address))
            inet_ntop(AF_INET, &address->s6_addr[12], text, sizeof text);
        else
            inet_ntop(AF_INET6, address, text, sizeof text);
        if (json_array_append_new(list, json_string(text)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *prefixes_to_json(const struct prefix_list *prefixes)
{
    json_t *list = json_array();

    for (size_t i = 0; i < prefixes->count; i++) {
        char text[PREFIX_TEXT_BYTES];
        prefix_format(&prefixes->items[i], text);
        if (json_array_append_new(list, json_string(text)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *rules_to_json(const struct guard_rule_list *rules)
{
    json_t *list = json_array();

    for (size_t i = 0; i < rules->count; i++) {
        const struct guard_rule *rule = &rules->items[i];
        json_t *item = json_pack("{s:i, s:i, s:i}", "prefix", (int)rule->prefix, "rate",
                                 (int)rule->rate, "burst", (int)rule->burst);
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *guard_to_json(const struct config *config)
{
    const struct guard_rules *guard = &config->guard;

    return json_pack("{s:b, s:b, s:i, s:o, s:o, s:i}", "enabled", (int)config->guard_enabled,
                     "loopback", (int)guard->loopback, "replies_per_second",
                     (int)guard->replies_per_second, "ipv4", rules_to_json(&guard->ipv4), "ipv6",
                     rules_to_json(&guard->ipv6), "leak", (int)guard->leak);
}

/* What another member needs is there only if all of it is. */
static json_t *paddock_to_json(const struct config *config, bool with_access_lists)
{
    static const char *const engines[] = {
        [CONFIG_ENGINE_MMSG] = "mmsg", [CONFIG_ENGINE_XDP] = "xdp", [CONFIG_ENGINE_AUTO] = "auto"};
    json_t *access = with_access_lists
                         ? json_pack("{s:o, s:o}", "allow", prefixes_to_json(&config->allow),
                                     "deny", prefixes_to_json(&config->deny))
                         : NULL;
    json_t *json = json_pack(
        "{s:s, s:i, s:b, s:b, s:b, s:o, s:o, s:o, s:s, s:b, s:o*, s:o}", "engine",
        engines[config->engine], "workers", (int)config->workers, "pin", (int)config->pin,
        "realtime", (int)config->realtime, "low_latency", (int)config->low_latency, "listen",
        listen_to_json(config), "receive_buffer", duration_to_json(config->receive_buffer_ns),
        "max_age", duration_to_json(config->max_age_ns), "user", config->user, "seccomp",
        (int)config->seccomp, "access", access, "guard", guard_to_json(config));

    return json;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static json_t *flags_to_json(const struct config *config)
{
    static const char *const formats[] = {
        [LOG_FORMAT_AUTO] = "auto",
        [LOG_FORMAT_JSON] = "json",
        [LOG_FORMAT_PLAIN] = "plain",
        [LOG_FORMAT_PRETTY] = "pretty",
    };

    return json_pack(
        "{s:s*, s:b, s:s, s:b, s:b, s:s, s:o, s:s*, s:s*, s:s*, s:s*, s:s}", "config",
        or_null(config->file), "quiet", (int)config->quiet, "log-format",
        formats[config->log_format], "service.qcmp", (int)config->qcmp_enabled, "admin.enabled",
        (int)config->admin_enabled, "admin.address", config->admin_address, "termination-timeout",
        duration_to_json(config->termination_timeout_ns), "locality.region",
        or_null(config->locality.region), "locality.region.zone", or_null(config->locality.zone),
        "locality.region.sub-zone", or_null(config->locality.sub_zone),
        "service.udp.xdp.network-interface", or_null(config->xdp_interface), "xdp-mode",
        config->xdp_generic ? "generic" : "native");
}

json_t *config_to_json(const struct config *config, bool with_access_lists)
{
    return json_pack("{s:s, s:s, s:s, s:i, s:O*, s:O*, s:O*, s:o, s:o}", "version", "v1alpha1",
                     "id", config->service_id, "icao_code", config->icao_code, "qcmp_port",
                     (int)config->qcmp_port, "filters", config->filters, "clusters",
                     config->clusters, "datacenters", config->datacenters, "paddock",
                     paddock_to_json(config, with_access_lists), "flags", flags_to_json(config));
}

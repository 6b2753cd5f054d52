/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define AT(member) FIELD_AT(struct k8s_settings, member)

/* A DNS subdomain (RFC 1123), which is what all names are that stand in a path. */
static int take_name(const char *text, size_t length, char name[K8S_NAME_BYTES])
{
    if (length == 0 || length >= K8S_NAME_BYTES || text[0] == '-' || text[0] == '.' ||
        text[length - 1] == '-' || text[length - 1] == '.' ||
        strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") < length)
        return -1;
    memcpy(name, text, length);
    name[length] = '\0';
    return 0;
}

static int parse_name(const char *text, void *value)
{
    return take_name(text, strlen(text), value);
}

static json_t *show_name(const void *value)
{
    return *(const char *)value != '\0' ? json_string(value) : json_null();
}

static int parse_namespaces(const char *text, void *value)
{
    struct k8s_namespaces list = {.count = 0};

    for (;;) {
        size_t length = strcspn(text, ",");

        if (list.count == K8S_MAX_NAMESPACES ||
            take_name(text, length, list.items[list.count]) != 0)
            return -1;
        for (size_t i = 0; i < list.count; i++) {
            if (strcmp(list.items[i], list.items[list.count]) == 0)
                return -1;
        }
        list.count++;
        text += length;
        if (*text == '\0')
            break;
        text++;
    }
    memcpy(value, &list, sizeof list);
    return 0;
}

static json_t *show_namespaces(const void *value)
{
    const struct k8s_namespaces *list = value;
    json_t *json = list->count > 0 ? json_array() : json_null();

    for (size_t i = 0; i < list->count && json != NULL; i++) {
        if (json_array_append_new(json, json_string(list->items[i])) != 0) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

static int parse_service(const char *text, void *value)
{
    struct k8s_service_name service = {.name = ""};
    size_t length = strcspn(text, "/");

    if (text[length] == '\0' || take_name(text, length, service.namespace) != 0 ||
        parse_name(text + length + 1, service.name) != 0)
        return -1;
    memcpy(value, &service, sizeof service);
    return 0;
}

static json_t *show_service(const void *value)
{
    const struct k8s_service_name *service = value;

    return service->name[0] != '\0' ? json_sprintf("%s/%s", service->namespace, service->name)
                                    : json_null();
}

static const struct field_type name_type = {.parse = parse_name,
                                            .show = show_name,
                                            .expected =
                                                "a name of small letters, digits, '-' and '.'"};
static const struct field_type namespaces_type = {
    .parse = parse_namespaces,
    .show = show_namespaces,
    .expected = "at most 32 names of namespaces, each once, and commas between them"};
static const struct field_type service_type = {
    .parse = parse_service, .show = show_service, .expected = "NAMESPACE/NAME of a Service"};
static const char *const ip_kinds[] = {
    [K8S_IP_ANY] = "any", [K8S_IP_V4] = "v4", [K8S_IP_V6] = "v6", NULL};

#define SWITCH(flag_, variable_, help_, member)                                                    \
    {                                                                                              \
        .flag = (flag_), .variable = (variable_), .help = (help_), .flags = FIELD_FIXED,           \
        AT(member)                                                                                 \
    }
#define CUSTOM(flag_, variable_, help_, placeholder_, type_, member, ...)                          \
    {                                                                                              \
        .flag = (flag_), .variable = (variable_), .help = (help_), .placeholder = (placeholder_),  \
        .kind = FIELD_CUSTOM, .type = &(type_), AT(member), __VA_ARGS__                            \
    }

static const struct field rows[] = {
    {.flag = "provider.k8s",
     .variable = "QUILKIN_PROVIDERS_K8S",
     .help = "read the filters from a ConfigMap of Kubernetes",
     .flags = FIELD_FIXED | FIELD_PROVIDER,
     AT(reads_filters)},
    CUSTOM("provider.k8s.namespace", "QUILKIN_PROVIDERS_K8S_NAMESPACE",
           "the namespace of the ConfigMap, and of the Lease", "NAME", name_type, namespace,
           .default_text = "default", .flags = FIELD_FIXED),
    SWITCH("provider.k8s.leader-election", "QUILKIN_PROVIDERS_K8S_LEADER_ELECTION",
           "of several agents that watch the same, one alone pushes to relays", elects),
    {.flag = "provider.k8s.leader-election.id",
     .variable = "QUILKIN_PROVIDERS_K8S_LEADER_ELECTION_ID",
     .help = "what this replica is called in the Lease",
     .placeholder = "ID",
     .default_help = "the service's id",
     .kind = FIELD_TEXT,
     .flags = FIELD_FIXED,
     AT(id)},
    CUSTOM("provider.k8s.leader-election.lease-name",
           "QUILKIN_PROVIDERS_K8S_LEADER_ELECTION_LEASE_NAME", "what the Lease is called", "NAME",
           name_type, lease, .default_text = "quilkin", .flags = FIELD_FIXED),
    SWITCH("provider.k8s.agones", "QUILKIN_PROVIDERS_K8S_AGONES",
           "take the GameServers of Agones that are allocated as game servers", reads_game_servers),
    CUSTOM("provider.k8s.agones.namespaces", "QUILKIN_PROVIDERS_K8S_AGONES_NAMESPACES",
           "the namespaces in which they are", "NAME,...", namespaces_type, namespaces,
           .default_help = "default", .flags = FIELD_FIXED | FIELD_REPEATED,
           FIELD_GIVEN(struct k8s_settings, has_namespaces)),
    CUSTOM("provider.k8s.agones.namespace", "QUILKIN_PROVIDERS_K8S_AGONES_NAMESPACE",
           "an older name of --provider.k8s.agones.namespaces", "NAME,...", namespaces_type,
           old_namespaces, .flags = FIELD_FIXED | FIELD_REPEATED | FIELD_HIDDEN),
    {.flag = "provider.k8s.agones.address-type",
     .variable = "QUILKIN_PROVIDERS_K8S_AGONES_ADDRESS_TYPE",
     .help = "take the first address of this type, such as InternalIP or PodIP",
     .placeholder = "TYPE",
     .default_help = "the GameServer's own",
     .kind = FIELD_TEXT,
     .flags = FIELD_FIXED,
     AT(address_type)},
    {.flag = "provider.k8s.agones.ip-kind",
     .variable = "QUILKIN_PROVIDERS_K8S_AGONES_IP_KIND",
     .help = "of these addresses, take those of this family",
     .placeholder = "KIND",
     .default_text = "any",
     .kind = FIELD_WORD,
     .words = ip_kinds,
     .flags = FIELD_FIXED,
     AT(ip_kind),
     FIELD_GIVEN(struct k8s_settings, has_ip_kind)},
    CUSTOM("provider.k8s.service", NULL,
           "take what is behind a Service as game servers, by its EndpointSlices", "NS/NAME",
           service_type, service, .flags = FIELD_FIXED),
    {0},
};

static void copy(char *to, size_t room, const struct config_environment *environment,
                 const char *name)
{
    const char *value = environment->get(name, environment->user);

    if (value != NULL && strlen(value) < room)
        strcpy(to, value); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): it fits */
}

static void defaults(void *settings, const struct config_environment *environment)
{
    struct k8s_places *places = &((struct k8s_settings *)settings)->places;

    copy(places->kubeconfig, sizeof places->kubeconfig, environment, "KUBECONFIG");
    copy(places->home, sizeof places->home, environment, "HOME");
    copy(places->host, sizeof places->host, environment, "KUBERNETES_SERVICE_HOST");
    copy(places->port, sizeof places->port, environment, "KUBERNETES_SERVICE_PORT");
}

static int check(void *settings, struct error *error)
{
    struct k8s_settings *own = settings;
    bool has_any = own->reads_filters || own->reads_game_servers || own->service.name[0] != '\0';

    if (own->has_ip_kind && own->address_type[0] == '\0')
        return error_set(error, -EINVAL,
                         "--provider.k8s.agones.ip-kind: needs --provider.k8s.agones.address-type");
    if (!own->reads_game_servers && own->address_type[0] != '\0')
        return error_set(error, -EINVAL,
                         "--provider.k8s.agones.address-type: needs --provider.k8s.agones");
    if (!own->reads_game_servers && (own->has_namespaces || own->old_namespaces.count > 0))
        return error_set(error, -EINVAL,
                         "--provider.k8s.agones.namespaces: needs --provider.k8s.agones");
    if (own->elects && !has_any)
        return error_set(error, -EINVAL,
                         "--provider.k8s.leader-election: needs --provider.k8s, "
                         "--provider.k8s.agones or --provider.k8s.service");
    if (own->namespaces.count == 0)
        own->namespaces = own->old_namespaces;
    if (own->namespaces.count == 0)
        return parse_namespaces("default", &own->namespaces);
    return 0;
}

const struct config_section k8s_section = {.name = "k8s",
                                           .fields = rows,
                                           .bytes = sizeof(struct k8s_settings),
                                           .defaults = defaults,
                                           .check = check};

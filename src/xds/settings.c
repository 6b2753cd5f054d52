/* SPDX-License-Identifier: Apache-2.0 */
#include "xds/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "catalog/clusters.h"
#include "config/types.h"
#include "xds/server.h"

#define AT(member) FIELD_AT(struct xds_settings, member)
#define MIB INT64_C(1048576)

static int parse_url(const char *text, size_t length, struct xds_url *url)
{
    static const char plain[] = "http://", secure[] = "https://";
    struct server_address address;
    struct target target;
    char rest[TARGET_HOST_BYTES + 16];
    bool is_tls = length >= sizeof secure - 1 && memcmp(text, secure, sizeof secure - 1) == 0;
    size_t skip = is_tls ? sizeof secure - 1 : sizeof plain - 1;

    if (!is_tls && (length < skip || memcmp(text, plain, skip) != 0))
        return -1;
    length -= skip;
    if (length > 0 && text[skip + length - 1] == '/')
        length--;
    if (length >= sizeof rest)
        return -1;
    memcpy(rest, text + skip, length);
    rest[length] = '\0';
    if (target_parse(rest, is_tls ? 443 : 80, &target) != TARGET_OK ||
        server_host_parse(target.host, &address) != 0)
        return -1;
    *url = (struct xds_url){.port = target.port, .is_tls = is_tls};
    snprintf(url->host, sizeof url->host, "%s", target.host);
    return 0;
}

static int parse_urls(const char *text, void *value)
{
    struct xds_urls urls = {.count = 0};

    for (;;) {
        size_t length = strcspn(text, ",");

        if (urls.count == XDS_MAX_URLS || parse_url(text, length, &urls.items[urls.count]) != 0)
            return -1;
        urls.count++;
        text += length;
        if (*text == '\0')
            break;
        text++;
    }
    memcpy(value, &urls, sizeof urls);
    return 0;
}

static json_t *show_urls(const void *value)
{
    const struct xds_urls *urls = value;
    json_t *list = urls->count > 0 ? json_array() : json_null();

    for (size_t i = 0; i < urls->count && list != NULL; i++) {
        const struct xds_url *url = &urls->items[i];
        bool has_colon = strchr(url->host, ':') != NULL;
        char text[TARGET_HOST_BYTES + 32];

        snprintf(text, sizeof text, "%s://%s%s%s:%u", url->is_tls ? "https" : "http",
                 has_colon ? "[" : "", url->host, has_colon ? "]" : "", url->port);
        if (json_array_append_new(list, json_string(text)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static const struct field_type urls_type = {
    .parse = parse_urls,
    .show = show_urls,
    .expected = "at most 16 URLs such as http://192.0.2.1:7800 or https://name:7800, and commas "
                "between them"};

#define SERVICE(flag_, variable_, help_, member)                                                   \
    {                                                                                              \
        .flag = (flag_), .variable = "QUILKIN_" variable_, .help = (help_),                        \
        .flags = FIELD_SERVICE | FIELD_FIXED, AT(member)                                           \
    }
#define PORT(flag_, variable_, help_, default_, member)                                            \
    {                                                                                              \
        .flag = (flag_), .variable = "QUILKIN_" variable_, .help = (help_), .flags = FIELD_FIXED,  \
        .default_text = (default_), TYPES_PORT, AT(member)                                         \
    }
#define URLS(flag_, variable_, help_, member)                                                      \
    {                                                                                              \
        .flag = (flag_), .variable = "QUILKIN_" variable_, .help = (help_),                        \
        .placeholder = "URL,...", .kind = FIELD_CUSTOM, .type = &urls_type,                        \
        .flags = FIELD_FIXED | FIELD_REPEATED, AT(member)                                          \
    }
#define FILE_ROW(flag_, variable_, help_, member)                                                  \
    {                                                                                              \
        .flag = (flag_), .variable = (variable_), .help = (help_), .placeholder = "FILE",          \
        .kind = FIELD_TEXT, .flags = FIELD_FIXED, AT(member)                                       \
    }
#define BYTES(key_, variable_, help_, default_, member)                                            \
    {                                                                                              \
        .key = (key_), .variable = (variable_), .help = (help_), .default_text = (default_),       \
        .kind = FIELD_NUMBER, .min = 1024, .max = 4096 * MIB - 1, .flags = FIELD_FIXED, AT(member) \
    }
#define PREFIXES(key_, help_, member)                                                              \
    {                                                                                              \
        .key = (key_), .help = (help_), .kind = FIELD_LIST, .max = XDS_MAX_PREFIXES,               \
        .expected = "a list of at most 4096 prefixes", .members = prefix_row,                      \
        .item_bytes = sizeof(struct prefix), AT(member)                                            \
    }

static const struct field rows[] = {
    SERVICE("service.xds", "SERVICE_XDS", "tell proxies what this process knows, by xDS",
            serves_xds),
    PORT("service.xds.port", "SERVICE_XDS_PORT", "the TCP port for it; 0 takes a free one", "7800",
         xds_port),
    SERVICE("service.mds", "SERVICE_MDS", "be a relay, to which agents push what they know",
            serves_mds),
    PORT("service.mds.port", "SERVICE_MDS_PORT", "the TCP port for it; 0 takes a free one", "7900",
         mds_port),
    SERVICE("service.grpc", "SERVICE_GRPC", "both of --service.xds and --service.mds", serves_both),
    FILE_ROW("service.tls.cert-path", "QUILKIN_SERVICE_TLS_CERT_PATH",
             "serve xDS and mDS over TLS with this certificate, a PEM file", certificates),
    FILE_ROW("service.tls.key-path", "QUILKIN_SERVICE_TLS_KEY_PATH", "its key, a PEM file", key),
    FILE_ROW("service.tls.client-ca-path", NULL,
             "who signs the certificates that clients must have, a PEM file", authorities),
    URLS("provider.xds.endpoints", "PROVIDERS_XDS_ENDPOINTS",
         "servers or relays, of which one at a time tells this process all it knows", servers),
    URLS("provider.mds.endpoints", "PROVIDERS_MDS_ENDPOINTS",
         "relays, to one of which at a time this process pushes what it knows", relays),
    FILE_ROW("provider.tls.ca-path", NULL, "who signs the certificates of servers, a PEM file",
             client_authorities),
    FILE_ROW("provider.tls.cert-path", NULL, "this client's certificate, a PEM file",
             client_certificates),
    FILE_ROW("provider.tls.key-path", NULL, "its key, a PEM file", client_key),
    BYTES("paddock.xds.max_response_bytes", "MAX_GRPC_MESSAGE_SIZE",
          "the most that one message to a client may have", "268435456", response_bytes),
    BYTES("paddock.xds.max_request_bytes", NULL, "the most that one message to a server may have",
          "4194304", request_bytes),
    {.key = "paddock.xds.max_per_address",
     .help = "the most connections of one address to a port of this process",
     .kind = FIELD_NUMBER,
     .default_text = "2048",
     .min = 1,
     .max = SERVER_MAX_CONNECTIONS,
     .flags = FIELD_FIXED,
     AT(per_address)},
    {.key = "paddock.xds.ping_interval",
     .help = "the least time between two PINGs to a server that is silent",
     .kind = FIELD_DURATION,
     .default_text = "6m",
     .min = INT64_C(1000000000),
     .max = INT64_C(3600000000000),
     .flags = FIELD_FIXED,
     AT(ping_ns)},
    PREFIXES("paddock.mds.agents",
             "prefixes from which agents may push to this relay; none: from anywhere", agents),
    PREFIXES("paddock.mds.trusted_proxies",
             "prefixes of proxies that are believed whose agents they forward", trusted_proxies),
    {0},
};

static int check_pair(const char *certificates, const char *key, const char *name,
                      struct error *error)
{
    if ((*certificates != '\0') == (*key != '\0'))
        return 0;
    return error_set(error, -EINVAL, "--%s.tls.%s: needs --%s.tls.%s", name,
                     *key != '\0' ? "key-path" : "cert-path", name,
                     *key != '\0' ? "cert-path" : "key-path");
}

static bool wants_tls(const struct xds_urls *urls)
{
    for (size_t i = 0; i < urls->count; i++) {
        if (urls->items[i].is_tls)
            return true;
    }
    return false;
}

static int check(void *settings, struct error *error)
{
    struct xds_settings *own = settings;
    int code = check_pair(own->certificates, own->key, "service", error);

    if (code == 0)
        code = check_pair(own->client_certificates, own->client_key, "provider", error);
    if (code == 0 && *own->authorities != '\0' && *own->certificates == '\0')
        code = error_set(error, -EINVAL,
                         "--service.tls.client-ca-path: needs --service.tls.cert-path");
    if (code == 0 && (wants_tls(&own->servers) || wants_tls(&own->relays)) &&
        *own->client_authorities == '\0')
        code = error_set(error, -EINVAL, "an https URL needs --provider.tls.ca-path");
    own->serves_xds |= own->serves_both;
    own->serves_mds |= own->serves_both;
    return code;
}

const struct config_section xds_section = {
    .name = "xds", .fields = rows, .bytes = sizeof(struct xds_settings), .check = check};

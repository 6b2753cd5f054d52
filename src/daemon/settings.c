/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/text.h"
#include "config/types.h"
#include "net/address.h"

#define SECOND_NS INT64_C(1000000000)
#define YEAR_NS (SECOND_NS * 86400 * 365)

#define AT(member) FIELD_AT(struct process_settings, member)

/* target_parse() takes no port 0, which means a free one here; so it is given the host alone. */
static int parse_admin_address(const char *text, void *value)
{
    struct process_address parsed = {.text = ""};
    const char *colon = strrchr(text, ':');
    struct in6_addr address;
    uint64_t port;
    char host[PROCESS_ADDRESS_BYTES];

    if (colon == NULL || strlen(text) >= sizeof parsed.text)
        return -1;
    size_t length = (size_t)(colon - text);
    memcpy(host, text, length);
    host[length] = '\0';
    bool is_bracketed = length > 0 && host[0] == '[' && host[length - 1] == ']';
    if (!is_bracketed && strpbrk(host, ":[]") != NULL)
        return -1;
    if (number_parse(colon + 1, 0, UINT16_MAX, &port) != 0 ||
        target_parse(host, (uint16_t)port, &parsed.target) != TARGET_OK ||
        type_address.parse(parsed.target.host, &address) != 0 ||
        is_bracketed != (strchr(parsed.target.host, ':') != NULL))
        return -1;
    memcpy(parsed.text, text, strlen(text) + 1);
    memcpy(value, &parsed, sizeof parsed);
    return 0;
}

static json_t *show_admin_address(const void *value)
{
    const struct process_address *address = value;

    return json_string(address->text);
}

/* A name, or a number that the system has a uid for. */
static int parse_user(const char *text, void *value)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strspn(text, letters);

    if (length == 0 || text[length] != '\0' || length >= PROCESS_USER_BYTES || text[0] == '-' ||
        text[0] == '.')
        return -1;
    memcpy(value, text, length + 1);
    return 0;
}

static json_t *show_text(const void *value)
{
    const char *text = value;

    return *text != '\0' ? json_string(text) : json_null();
}

/* As the kernel has it, without what a terminal would not show. */
static bool is_interface(const char *name)
{
    return name[0] != '\0' && strlen(name) < IF_NAMESIZE && strpbrk(name, "/: \t") == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && text_is_plain(name);
}

static int parse_interfaces(const char *text, void *value)
{
    char name[IF_NAMESIZE + 1];
    unsigned count = 0;

    for (const char *at = text; count == 0 || at[-1] == ','; count++) {
        size_t length = strcspn(at, ",");
        if (length >= sizeof name || count == FASTPATH_MAX_INTERFACES)
            return -1;
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        if (!is_interface(name))
            return -1;
        for (const char *other = text; other < at; other += strcspn(other, ",") + 1) {
            if (strncmp(other, at, length) == 0 && other[length] == ',')
                return -1;
        }
        at += length + 1;
    }
    memcpy(value, text, strlen(text) + 1);
    return 0;
}

static int parse_log_prefix(const char *text, void *value)
{
    if (*text == '\0' || strlen(text) >= PROCESS_LOG_PREFIX_BYTES || strchr(text, '/') != NULL ||
        !text_is_plain(text))
        return -1;
    memcpy(value, text, strlen(text) + 1);
    return 0;
}

/* Whatever RUST_LOG says is no error: it is meant for more programs than this one. */
static int parse_log_level(const char *text, void *value)
{
    struct process_log_level *log = value;

    log_level_parse(text, &log->level, &log->has_ignored);
    return 0;
}

static const struct field_type admin_address = {.parse = parse_admin_address,
                                                .show = show_admin_address,
                                                .expected = "a numeric address and a port, such as "
                                                            "[::]:8000"};
static const struct field_type user = {
    .parse = parse_user,
    .show = show_text,
    .expected = "the name of a user, 1 to 32 letters, digits, '_', '.' and '-', or a number",
    .schema = "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$\"}"
              ",{\"type\":\"integer\",\"minimum\":0}]}",
    .takes_numbers = true};
static const struct field_type interfaces = {
    .parse = parse_interfaces,
    .show = show_text,
    .expected = "the names of 1 to 7 different network interfaces, with commas between them",
    .schema =
        "{\"type\":\"string\",\"pattern\":\"^[^/:, \\\\t]{1,15}(,[^/:, \\\\t]{1,15}){0,6}$\"}"};
static const struct field_type log_prefix = {
    .parse = parse_log_prefix,
    .show = show_text,
    .expected = "1 to 200 bytes of a file's name, without a slash"};
static const struct field_type log_level = {.parse = parse_log_level};

static const char *const log_formats[] = {"auto", "json", "plain", "pretty", NULL};
static const char *const xdp_modes[] = {"off", "auto", "on", NULL};
static const char *const xdp_attachs[] = {"native", "generic", NULL};
static const char *const only_false[] = {"false", NULL};

/* One of the reference's that is not supported yet. */
#define UNSUPPORTED_VALUE(flag_, variable_)                                                        \
    {                                                                                              \
        .flag = (flag_), .variable = "QUILKIN_" variable_, .kind = FIELD_TEXT,                     \
        .flags = FIELD_UNSUPPORTED                                                                 \
    }

#define ID_ROW                                                                                     \
    {                                                                                              \
        .key = "id", .flag = "service.id", .variable = "QUILKIN_SERVICE_ID",                       \
        .help = "the name of this service", .placeholder = "ID", .default_help = "host name",      \
        .kind = FIELD_TEXT, AT(id)                                                                 \
    }
#define ICAO_ROW                                                                                   \
    {                                                                                              \
        .key = "icao_code", .flag = "locality.icao", .variable = "QUILKIN_LOCALITY_ICAO",          \
        .help = "the airport next to this service, four letters", .placeholder = "CODE",           \
        .default_text = "XXXX", .kind = FIELD_CUSTOM, .type = &type_icao, AT(icao_code)            \
    }

/* Also what a provider's file has. */
static const struct field provided[] = {ID_ROW, ICAO_ROW, {0}};

static const struct field fields[] = {
    {.flag = "quiet", .letter = 'q', .variable = "QUIET", .help = "no log output", AT(quiet)},
    {.flag = "log-format",
     .help = "auto, json, plain or pretty",
     .placeholder = "FORMAT",
     .default_text = "auto",
     .kind = FIELD_WORD,
     .words = log_formats,
     AT(log_format)},
    {.flag = "sys.log.dir",
     .variable = "QUILKIN_SYS_LOG_DIRECTORY",
     .help = "a folder where the log is written as well, a file an hour",
     .placeholder = "DIR",
     .kind = FIELD_TEXT,
     .flags = FIELD_FIXED,
     AT(log_folder)},
    {.flag = "sys.log.file-prefix",
     .variable = "QUILKIN_SYS_LOG_FILE_PREFIX",
     .help = "how the names of these files begin",
     .placeholder = "PREFIX",
     .default_text = "quilkin.log",
     .kind = FIELD_CUSTOM,
     .type = &log_prefix,
     .flags = FIELD_FIXED,
     AT(log_prefix)},
    {.variable = "RUST_LOG", .kind = FIELD_CUSTOM, .type = &log_level, AT(log)},
    ID_ROW,
    ICAO_ROW,
    {.flag = "locality.region",
     .variable = "QUILKIN_LOCALITY_REGION",
     .help = "where this service is",
     .placeholder = "NAME",
     .kind = FIELD_TEXT,
     AT(region)},
    {.flag = "locality.region.zone",
     .variable = "QUILKIN_LOCALITY_ZONE",
     .help = "where in the region",
     .placeholder = "NAME",
     .kind = FIELD_TEXT,
     AT(zone)},
    {.flag = "locality.region.sub-zone",
     .variable = "QUILKIN_LOCALITY_SUB_ZONE",
     .help = "where in the zone",
     .placeholder = "NAME",
     .kind = FIELD_TEXT,
     AT(sub_zone)},
    {.flag = "admin.enabled",
     .variable = "QUILKIN_ADMIN_ENABLED",
     .help = "serve metrics and health over HTTP",
     .default_text = "true",
     .flags = FIELD_FIXED,
     AT(admin_enabled)},
    {.flag = "admin.address",
     .variable = "QUILKIN_ADMIN_ADDRESS",
     .help = "the address for it; port 0 takes a free one",
     .placeholder = "ADDRESS",
     .default_text = "[::]:8000",
     .kind = FIELD_CUSTOM,
     .type = &admin_address,
     .flags = FIELD_FIXED,
     AT(admin)},
    {.flag = "termination-timeout",
     .help = "go on answering so long after SIGTERM",
     .placeholder = "DURATION",
     .default_text = "0",
     .kind = FIELD_DURATION,
     .max = YEAR_NS,
     AT(termination_timeout_ns)},
    {.key = "paddock.workers",
     .flag = "service.udp.workers",
     .variable = "QUILKIN_SERVICE_UDP_WORKERS",
     .help = "threads that answer",
     .placeholder = "N",
     .default_help = "one for each CPU",
     .kind = FIELD_NUMBER,
     .min = 1,
     .max = PROCESS_MAX_WORKERS,
     .flags = FIELD_FIXED,
     AT(workers)},
    {.key = "paddock.pin",
     .flag = "pin",
     .help = "keep each worker on a CPU of its own",
     .flags = FIELD_FIXED,
     AT(pin)},
    {.key = "paddock.realtime",
     .flag = "realtime",
     .help = "let workers go before all that has no real-time priority",
     .flags = FIELD_FIXED,
     AT(realtime)},
    {.key = "paddock.low_latency",
     .flag = "low-latency",
     .help = "wake up faster, at the price of CPU time",
     .flags = FIELD_FIXED,
     AT(low_latency)},
    {.key = "paddock.user",
     .flag = "user",
     .help = "whom a service that was started as root becomes: a name or a number",
     .placeholder = "USER",
     .default_text = "nobody",
     .kind = FIELD_CUSTOM,
     .type = &user,
     .flags = FIELD_FIXED,
     AT(user)},
    {.key = "paddock.seccomp",
     .flag = "seccomp",
     .help = "filter the system calls of the process",
     .default_text = "true",
     .flags = FIELD_FIXED,
     AT(seccomp)},
    {.key = "paddock.admin.show_tokens",
     .flag = "admin.show-tokens",
     .variable = "PADDOCK_ADMIN_SHOW_TOKENS",
     .help = "show the tokens of game servers in /config, not their fingerprints",
     .flags = FIELD_FIXED,
     AT(shows_tokens)},
    {.key = "paddock.admin.show_sessions",
     .flag = "admin.show-sessions",
     .variable = "PADDOCK_ADMIN_SHOW_SESSIONS",
     .help = "answer /sessions, which names players, to other hosts as well",
     .flags = FIELD_FIXED,
     AT(shows_sessions)},
    {.key = "paddock.xdp.mode",
     .flag = "xdp",
     .variable = "PADDOCK_XDP",
     .help = "answer by XDP, before the sockets: off, auto or on",
     .placeholder = "MODE",
     .default_text = "off",
     .kind = FIELD_WORD,
     .words = xdp_modes,
     .flags = FIELD_FIXED,
     AT(xdp)},
    {.key = "paddock.xdp.attach",
     .flag = "xdp-attach",
     .variable = "PADDOCK_XDP_ATTACH",
     .help = "native (in the driver) or generic (with any driver)",
     .placeholder = "WAY",
     .default_text = "native",
     .kind = FIELD_WORD,
     .words = xdp_attachs,
     .flags = FIELD_FIXED,
     AT(xdp_attach),
     FIELD_GIVEN(struct process_settings, xdp_attach_given)},
    {.key = "paddock.xdp.interface",
     .flag = "service.udp.xdp.network-interface",
     .variable = "QUILKIN_SERVICE_UDP_XDP_NETWORK_INTERFACE",
     .help = "where XDP answers: a network interface, or several with commas",
     .placeholder = "NAMES",
     .default_help = "that of the default route",
     .kind = FIELD_CUSTOM,
     .type = &interfaces,
     .flags = FIELD_FIXED,
     AT(xdp_interfaces)},
    {.flag = "service.udp.xdp",
     .variable = "QUILKIN_SERVICE_UDP_XDP",
     .help = "the same as --xdp on",
     .alias = "xdp",
     .alias_text = "on"},
    /* For the reference's AF_XDP sockets; what they ask for is so anyway, or cannot be. */
    {.flag = "service.udp.xdp.zerocopy",
     .variable = "QUILKIN_SERVICE_UDP_XDP_ZEROCOPY",
     .flags = FIELD_HIDDEN,
     AT(xdp_zerocopy)},
    {.flag = "service.udp.xdp.tco",
     .variable = "QUILKIN_SERVICE_UDP_XDP_TCO",
     .expected = "false (the XDP program computes checksums, not the network interface)",
     .words = only_false,
     .flags = FIELD_HIDDEN},
    {.flag = "service.udp.xdp.memory-limit",
     .variable = "QUILKIN_SERVICE_UDP_XDP_MEMORY_LIMIT",
     .expected = "a number of bytes",
     .kind = FIELD_NUMBER,
     .max = INT64_MAX,
     .flags = FIELD_HIDDEN},
    UNSUPPORTED_VALUE("service.tls.cert", "SERVICE_TLS_CERT"),
    UNSUPPORTED_VALUE("service.tls.key", "SERVICE_TLS_KEY"),
    {0},
};

/* A host name that is no fit id is no reason to refuse the start. */
static void defaults(void *settings, const struct config_environment *environment)
{
    struct process_settings *process = settings;
    const char *id = environment->host_name;

    if (*id == '\0' || strlen(id) >= sizeof process->id || !text_is_plain(id))
        id = "paddock";
    memcpy(process->id, id, strlen(id) + 1);
    process->log.level = LOG_LEVEL_INFO;
}

static int check(void *settings, struct error *error)
{
    struct process_settings *process = settings;

    if (process->quiet)
        process->log.level = LOG_LEVEL_OFF;
    if (process->xdp_zerocopy && process->xdp_attach == PROCESS_XDP_GENERIC)
        return error_set(error, -EINVAL,
                         "--service.udp.xdp.zerocopy: contradicts --xdp-attach generic");
    return 0;
}

const struct config_section process_section = {.name = "process",
                                               .fields = fields,
                                               .bytes = sizeof(struct process_settings),
                                               .defaults = defaults,
                                               .check = check,
                                               .provided = provided};

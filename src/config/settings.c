#include "config/settings.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/duration.h"
#include "base/number.h"
#include "base/text.h"
#include "net/address.h"

#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)
#define YEAR_NS (SECOND_NS * 86400 * 365)

/* Without controls and quotes, as text_is_plain() has it. */
#define PLAIN_PATTERN                                                                              \
    "^[^\\u0000-\\u001f\"\\\\\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]+" \
    "$"

/* A text of 1 to capacity - 1 bytes. */
static int copy_plain(char *to, size_t capacity, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= capacity || !text_is_plain(text))
        return -1;
    memcpy(to, text, length + 1);
    return 0;
}

static int parse_port(const char *text, uint64_t min, uint16_t *port)
{
    uint64_t value;

    if (number_parse(text, min, UINT16_MAX, &value) < 0)
        return -1;
    *port = (uint16_t)value;
    return 0;
}

static int parse_duration(const char *text, int64_t min, int64_t max, int64_t *ns)
{
    int64_t value;

    if (duration_parse(text, &value) < 0 || value < min || value > max)
        return -1;
    *ns = value;
    return 0;
}

static int parse_address(const char *text, struct in6_addr *address)
{
    struct in_addr ipv4;

    if (inet_pton(AF_INET6, text, address) == 1)
        return 0;
    if (inet_pton(AF_INET, text, &ipv4) != 1)
        return -1;
    *address = address_from_ipv4(ipv4);
    return 0;
}

static int set_quiet(struct config *config, const char *text)
{
    return boolean_parse(text, &config->quiet);
}

static int set_log_format(struct config *config, const char *text)
{
    return log_format_parse(text, &config->log_format);
}

static int set_config_path(struct config *config, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= sizeof config->file)
        return -1;
    memcpy(config->file, text, length + 1);
    config->file_given = true;
    return 0;
}

static int set_service_id(struct config *config, const char *text)
{
    return copy_plain(config->service_id, sizeof config->service_id, text);
}

static int check_icao_code(struct config *config, const char *text)
{
    (void)config;
    return strlen(text) == 4 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 4 ? 0 : -1;
}

static int set_icao_code(struct config *config, const char *text)
{
    if (check_icao_code(config, text) < 0)
        return -1;
    memcpy(config->icao_code, text, sizeof config->icao_code);
    return 0;
}

static int set_region(struct config *config, const char *text)
{
    return copy_plain(config->locality.region, sizeof config->locality.region, text);
}

static int set_zone(struct config *config, const char *text)
{
    return copy_plain(config->locality.zone, sizeof config->locality.zone, text);
}

static int set_sub_zone(struct config *config, const char *text)
{
    return copy_plain(config->locality.sub_zone, sizeof config->locality.sub_zone, text);
}

static int set_qcmp(struct config *config, const char *text)
{
    return boolean_parse(text, &config->qcmp_enabled);
}

static int set_qcmp_port(struct config *config, const char *text)
{
    return parse_port(text, 0, &config->qcmp_port);
}

static int set_admin(struct config *config, const char *text)
{
    return boolean_parse(text, &config->admin_enabled);
}

/* target_parse() takes no port 0, which means a free one here; so it is given the host alone. */
static int set_admin_address(struct config *config, const char *text)
{
    char host[CONFIG_ADDRESS_BYTES];
    const char *colon = strrchr(text, ':');
    struct in6_addr address;
    struct target target;
    uint16_t port;

    if (colon == NULL || strlen(text) >= sizeof config->admin_address)
        return -1;
    size_t length = (size_t)(colon - text);
    memcpy(host, text, length);
    host[length] = '\0';
    bool is_bracketed = length > 0 && host[0] == '[' && host[length - 1] == ']';
    if (!is_bracketed && strpbrk(host, ":[]") != NULL)
        return -1;
    if (parse_port(colon + 1, 0, &port) < 0 || target_parse(host, port, &target) != TARGET_OK ||
        parse_address(target.host, &address) < 0 ||
        is_bracketed != (strchr(target.host, ':') != NULL))
        return -1;
    memcpy(config->admin_address, text, strlen(text) + 1);
    config->admin = target;
    return 0;
}

static int set_termination_timeout(struct config *config, const char *text)
{
    return parse_duration(text, 0, YEAR_NS, &config->termination_timeout_ns);
}

static int set_engine(struct config *config, const char *text)
{
    if (strcmp(text, "auto") == 0)
        config->engine = CONFIG_ENGINE_AUTO;
    else if (strcmp(text, "mmsg") == 0)
        config->engine = CONFIG_ENGINE_MMSG;
    else if (strcmp(text, "xdp") == 0)
        config->engine = CONFIG_ENGINE_XDP;
    else
        return -1;
    return 0;
}

static int check_boolean(struct config *config, const char *text)
{
    bool value;

    (void)config;
    return boolean_parse(text, &value);
}

/* As the kernel has it, without what a terminal would not show. */
static int set_xdp_interface(struct config *config, const char *text)
{
    if (strpbrk(text, "/: \t") != NULL || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return -1;
    return copy_plain(config->xdp_interface, sizeof config->xdp_interface, text);
}

static int set_xdp_mode(struct config *config, const char *text)
{
    if (strcmp(text, "native") != 0 && strcmp(text, "generic") != 0)
        return -1;
    config->xdp_generic = text[0] == 'g';
    config->xdp_mode_given = true;
    return 0;
}

static int set_xdp_zerocopy(struct config *config, const char *text)
{
    return boolean_parse(text, &config->xdp_zerocopy);
}

static int check_xdp_memory_limit(struct config *config, const char *text)
{
    uint64_t bytes;

    (void)config;
    return number_parse(text, 0, UINT64_MAX, &bytes);
}

static int set_workers(struct config *config, const char *text)
{
    uint64_t workers;

    if (number_parse(text, 0, CONFIG_MAX_WORKERS, &workers) < 0)
        return -1;
    config->workers = (unsigned)workers;
    return 0;
}

static int set_pin(struct config *config, const char *text)
{
    return boolean_parse(text, &config->pin);
}

static int set_realtime(struct config *config, const char *text)
{
    return boolean_parse(text, &config->realtime);
}

static int set_low_latency(struct config *config, const char *text)
{
    return boolean_parse(text, &config->low_latency);
}

static int add_listen(struct config *config, const char *text)
{
    struct in6_addr address;

    if (config->listen_count == CONFIG_MAX_LISTEN || parse_address(text, &address) < 0)
        return -1;
    if (!address_is_any(&address) && !address_is_unicast(&address))
        return -1;
    if (address_is_link_local(&address)) /* of which interface, an address alone does not say */
        return -1;
    for (size_t i = 0; i < config->listen_count; i++) {
        if (memcmp(&config->listen[i], &address, sizeof address) == 0)
            return -1;
    }
    config->listen[config->listen_count++] = address;
    return 0;
}

static int set_receive_buffer(struct config *config, const char *text)
{
    return parse_duration(text, 1, 5 * SECOND_NS, &config->receive_buffer_ns);
}

static int set_max_age(struct config *config, const char *text)
{
    return parse_duration(text, 0, YEAR_NS, &config->max_age_ns);
}

static int set_user(struct config *config, const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strspn(text, letters);

    if (length == 0 || text[length] != '\0' || length >= sizeof config->user || text[0] == '-' ||
        text[0] == '.')
        return -1;
    memcpy(config->user, text, length + 1);
    return 0;
}

static int set_seccomp(struct config *config, const char *text)
{
    return boolean_parse(text, &config->seccomp);
}

static int check_version(struct config *config, const char *text)
{
    (void)config;
    return strcmp(text, "v1alpha1") == 0 ? 0 : -1;
}

static int check_off(struct config *config, const char *text)
{
    (void)config;
    return strcmp(text, "false") == 0 ? 0 : -1;
}

static int add_prefix(struct prefix_list *list, const char *text)
{
    struct prefix prefix;

    if (prefix_parse(text, &prefix) < 0)
        return -1;
    return prefix_list_add(list, &prefix);
}

static int add_allow(struct config *config, const char *text)
{
    return add_prefix(&config->allow, text);
}

static int add_deny(struct config *config, const char *text)
{
    return add_prefix(&config->deny, text);
}

static int parse_number(const char *text, uint64_t min, uint64_t max, uint32_t *number)
{
    uint64_t value;

    if (number_parse(text, min, max, &value) < 0)
        return -1;
    *number = (uint32_t)value;
    return 0;
}

static int set_guard(struct config *config, const char *text)
{
    return boolean_parse(text, &config->guard_enabled);
}

static int set_guard_loopback(struct config *config, const char *text)
{
    return boolean_parse(text, &config->guard.loopback);
}

static int set_guard_replies(struct config *config, const char *text)
{
    return parse_number(text, 1, GUARD_MAX_REPLIES, &config->guard.replies_per_second);
}

static int set_guard_leak(struct config *config, const char *text)
{
    return parse_number(text, 0, GUARD_MAX_LEAK, &config->guard.leak);
}

static struct guard_rule *last_rule(struct guard_rule_list *list)
{
    return &list->items[list->count - 1];
}

static int set_ipv4_prefix(struct config *config, const char *text)
{
    return parse_number(text, 1, 32, &last_rule(&config->guard.ipv4)->prefix);
}

static int set_ipv6_prefix(struct config *config, const char *text)
{
    return parse_number(text, 1, 128, &last_rule(&config->guard.ipv6)->prefix);
}

static int set_ipv4_rate(struct config *config, const char *text)
{
    return parse_number(text, 1, GUARD_MAX_RATE, &last_rule(&config->guard.ipv4)->rate);
}

static int set_ipv6_rate(struct config *config, const char *text)
{
    return parse_number(text, 1, GUARD_MAX_RATE, &last_rule(&config->guard.ipv6)->rate);
}

static int set_ipv4_burst(struct config *config, const char *text)
{
    return parse_number(text, 1, GUARD_MAX_BURST, &last_rule(&config->guard.ipv4)->burst);
}

static int set_ipv6_burst(struct config *config, const char *text)
{
    return parse_number(text, 1, GUARD_MAX_BURST, &last_rule(&config->guard.ipv6)->burst);
}

static int check_host(struct config *config, const char *text)
{
    char host[TARGET_HOST_BYTES];

    (void)config;
    return strchr(text, ' ') == NULL ? copy_plain(host, sizeof host, text) : -1;
}

static int check_address(struct config *config, const char *text)
{
    struct in6_addr address;

    (void)config;
    return parse_address(text, &address);
}

static int check_port(struct config *config, const char *text)
{
    uint16_t port;

    (void)config;
    return parse_port(text, 1, &port);
}

#define BOOLEAN(name_, apply_)                                                                     \
    const struct setting setting_##name_ = {                                                       \
        .apply = (apply_), .expected = "true or false", .kind = SETTING_BOOLEAN}
#define NAME(name_, apply_)                                                                        \
    const struct setting setting_##name_ = {                                                       \
        .apply = (apply_),                                                                         \
        .expected = "1 to 255 bytes of text without controls and quotes",                          \
        .kind = SETTING_TEXT,                                                                      \
        .pattern = PLAIN_PATTERN,                                                                  \
        .max = CONFIG_ID_BYTES - 1}
#define NUMBER(name_, apply_, min_, max_)                                                          \
    const struct setting setting_##name_ = {.apply = (apply_),                                     \
                                            .expected = "a number from " #min_ " to " #max_,       \
                                            .kind = SETTING_NUMBER,                                \
                                            .min = (min_),                                         \
                                            .max = (max_)}
#define PREFIX(name_, apply_)                                                                      \
    const struct setting setting_##name_ = {                                                       \
        .apply = (apply_),                                                                         \
        .expected = "an address or a prefix without bits behind it, such as 192.0.2.0/24",         \
        .kind = SETTING_TEXT,                                                                      \
        .pattern = "^[0-9A-Fa-f:.]+(/[0-9]+)?$"}
#define ICAO(name_, apply_)                                                                        \
    const struct setting setting_##name_ = {.apply = (apply_),                                     \
                                            .expected = "four letters A-Z",                        \
                                            .kind = SETTING_TEXT,                                  \
                                            .pattern = "^[A-Z]{4}$"}

BOOLEAN(quiet, set_quiet);
BOOLEAN(qcmp, set_qcmp);
BOOLEAN(admin, set_admin);
BOOLEAN(seccomp, set_seccomp);
BOOLEAN(pin, set_pin);
BOOLEAN(realtime, set_realtime);
BOOLEAN(low_latency, set_low_latency);
BOOLEAN(guard, set_guard);
BOOLEAN(guard_loopback, set_guard_loopback);
NUMBER(guard_replies, set_guard_replies, 1, 100000000);
NUMBER(guard_leak, set_guard_leak, 0, 1000000);
NUMBER(guard_ipv4_prefix, set_ipv4_prefix, 1, 32);
NUMBER(guard_ipv6_prefix, set_ipv6_prefix, 1, 128);
NUMBER(guard_ipv4_rate, set_ipv4_rate, 1, 1000000);
NUMBER(guard_ipv6_rate, set_ipv6_rate, 1, 1000000);
NUMBER(guard_ipv4_burst, set_ipv4_burst, 1, 60000000);
NUMBER(guard_ipv6_burst, set_ipv6_burst, 1, 60000000);
PREFIX(allow, add_allow);
PREFIX(deny, add_deny);
BOOLEAN(xdp, check_boolean);
BOOLEAN(xdp_zerocopy, set_xdp_zerocopy);
NAME(service_id, set_service_id);
NAME(region, set_region);
NAME(zone, set_zone);
NAME(sub_zone, set_sub_zone);
ICAO(icao_code, set_icao_code);
ICAO(datacenter_icao, check_icao_code);

const struct setting setting_log_format = {
    .apply = set_log_format, .expected = "auto, json, plain or pretty", .kind = SETTING_TEXT};
const struct setting setting_config_path = {
    .apply = set_config_path, .expected = "a path of 1 to 4095 bytes", .kind = SETTING_TEXT};
const struct setting setting_qcmp_port = {.apply = set_qcmp_port,
                                          .expected = "a number from 0 to 65535",
                                          .kind = SETTING_NUMBER,
                                          .max = UINT16_MAX};
const struct setting setting_admin_address = {.apply = set_admin_address,
                                              .expected =
                                                  "a numeric address and a port, such as [::]:8000",
                                              .kind = SETTING_TEXT};
const struct setting setting_termination_timeout = {.apply = set_termination_timeout,
                                                    .expected = "a duration of at most 365d",
                                                    .kind = SETTING_DURATION};
const struct setting setting_engine = {.apply = set_engine,
                                       .expected = "auto, mmsg or xdp",
                                       .kind = SETTING_TEXT,
                                       .pattern = "^(auto|mmsg|xdp)$"};
const struct setting setting_xdp_interface = {.apply = set_xdp_interface,
                                              .expected =
                                                  "the name of a network interface, 1 to 15 bytes",
                                              .kind = SETTING_TEXT};
const struct setting setting_xdp_mode = {
    .apply = set_xdp_mode, .expected = "native or generic", .kind = SETTING_TEXT};
const struct setting setting_xdp_tco = {
    .apply = check_off,
    .expected = "false (the XDP program computes checksums, not the network interface)",
    .kind = SETTING_BOOLEAN};
const struct setting setting_xdp_memory_limit = {
    .apply = check_xdp_memory_limit, .expected = "a number of bytes", .kind = SETTING_NUMBER};
const struct setting setting_workers = {.apply = set_workers,
                                        .expected = "a number from 0 to 1024",
                                        .kind = SETTING_NUMBER,
                                        .max = CONFIG_MAX_WORKERS};
const struct setting setting_listen = {
    .apply = add_listen,
    .expected =
        "a numeric address that a host can have, or :: (also for link-local ones) or 0.0.0.0, and "
        "each only once",
    .kind = SETTING_ADDRESS};
const struct setting setting_receive_buffer = {.apply = set_receive_buffer,
                                               .expected = "a duration above 0, at most 5s",
                                               .kind = SETTING_DURATION};
const struct setting setting_max_age = {
    .apply = set_max_age, .expected = "a duration of at most 365d", .kind = SETTING_DURATION};
const struct setting setting_user = {
    .apply = set_user,
    .expected = "the name of a user: 1 to 32 letters, digits, '_', '.' and '-'",
    .kind = SETTING_TEXT,
    .pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$"};
const struct setting setting_version = {
    .apply = check_version, .expected = "v1alpha1", .kind = SETTING_TEXT, .pattern = "^v1alpha1$"};
_Static_assert(GUARD_MAX_REPLIES == 100000000, "setting_guard_replies says it");
_Static_assert(GUARD_MAX_LEAK == 1000000, "setting_guard_leak says it");
_Static_assert(GUARD_MAX_RATE == 1000000, "setting_guard_ipv4_rate says it");
_Static_assert(GUARD_MAX_BURST == 60000000, "setting_guard_ipv4_burst says it");
const struct setting setting_datacenter_host = {
    .apply = check_host,
    .expected = "an address or a name of 1 to 255 bytes",
    .kind = SETTING_TEXT,
    .pattern = "^[^\\u0000-\\u0020\"\\\\\\u007f-\\u009f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066"
               "-\\u2069]+$",
    .max = CONFIG_ID_BYTES - 1};
const struct setting setting_datacenter_address = {
    .apply = check_address, .expected = "a numeric address", .kind = SETTING_ADDRESS};
const struct setting setting_datacenter_port = {.apply = check_port,
                                                .expected = "a number from 1 to 65535",
                                                .kind = SETTING_NUMBER,
                                                .min = 1,
                                                .max = UINT16_MAX};

void settings_defaults(struct config *config, const char *host_name)
{
    *config = (struct config){.log_level = LOG_LEVEL_INFO,
                              .icao_code = "XXXX",
                              .qcmp_port = CONFIG_DEFAULT_QCMP_PORT,
                              .admin_enabled = true,
                              .listen_count = 1, /* :: */
                              .receive_buffer_ns = 20 * MS_NS,
                              .user = "nobody",
                              .seccomp = true,
                              .guard_enabled = true,
                              .guard = guard_default_rules};
    set_admin_address(config, "[::]:8000");
    if (set_service_id(config, host_name) < 0)
        set_service_id(config, "paddock");
}

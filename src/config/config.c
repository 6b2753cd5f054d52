#include "config/config.h"

#include <string.h>

#include "base/number.h"
#include "base/options.h"
#include "base/text.h"

#define SHOWN_BYTES 128

/* What a supported flag does with its text. 0, or -1 when the text is not what was expected. */
typedef int (*apply_fn)(struct config *config, const char *text);

struct setting {
    apply_fn apply; /* NULL: the flag says what to do instead */
    const char *expected;
    enum config_result result; /* without apply */
};

static int set_quiet(struct config *config, const char *text)
{
    return boolean_parse(text, &config->quiet);
}

static int set_log_format(struct config *config, const char *text)
{
    return log_format_parse(text, &config->log_format);
}

static int set_service_id(struct config *config, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= sizeof config->service_id || !text_is_plain(text))
        return -1;
    memcpy(config->service_id, text, length + 1);
    return 0;
}

static int set_qcmp(struct config *config, const char *text)
{
    return boolean_parse(text, &config->qcmp_enabled);
}

static int set_qcmp_port(struct config *config, const char *text)
{
    uint64_t port;

    if (number_parse(text, 0, UINT16_MAX, &port) < 0)
        return -1;
    config->qcmp_port = (uint16_t)port;
    return 0;
}

static int set_workers(struct config *config, const char *text)
{
    uint64_t workers;

    if (number_parse(text, 0, CONFIG_MAX_WORKERS, &workers) < 0)
        return -1;
    config->workers = (unsigned)workers;
    return 0;
}

static const struct setting quiet = {.apply = set_quiet, .expected = "true or false"};
static const struct setting log_format = {.apply = set_log_format,
                                          .expected = "auto, json, plain or pretty"};
static const struct setting service_id = {
    .apply = set_service_id, .expected = "1 to 255 bytes of text without controls and quotes"};
static const struct setting qcmp = {.apply = set_qcmp, .expected = "true or false"};
static const struct setting qcmp_port = {.apply = set_qcmp_port,
                                         .expected = "a port number from 0 to 65535"};
static const struct setting workers = {.apply = set_workers, .expected = "a number from 0 to 1024"};
static const struct setting help = {.result = CONFIG_HELP};
static const struct setting version = {.result = CONFIG_VERSION};

#define UNSUPPORTED(kind_, letter_, name_, environment_)                                           \
    {                                                                                              \
        .name = (name_), .letter = (letter_), .kind = (kind_), .hidden = true,                     \
        .environment = (environment_)                                                              \
    }
#define UNSUPPORTED_SWITCH(name_, environment_)                                                    \
    UNSUPPORTED(OPTION_SWITCH, 0, name_, "QUILKIN_" environment_)
#define UNSUPPORTED_VALUE(name_, environment_)                                                     \
    UNSUPPORTED(OPTION_VALUE, 0, name_, "QUILKIN_" environment_)

/* A row without a setting is one of the reference's that is not supported yet. */
static const struct option_spec specs[] = {
    {.name = "quiet",
     .letter = 'q',
     .kind = OPTION_SWITCH,
     .help = "no log output",
     .environment = "QUIET",
     .user = &quiet},
    {.name = "log-format",
     .kind = OPTION_VALUE,
     .placeholder = "FORMAT",
     .help = "auto, json, plain or pretty",
     .default_text = "auto",
     .user = &log_format},
    {.name = "service.id",
     .kind = OPTION_VALUE,
     .placeholder = "ID",
     .help = "the name of this service",
     .environment = "QUILKIN_SERVICE_ID",
     .default_text = "host name",
     .user = &service_id},
    {.name = "service.qcmp",
     .kind = OPTION_SWITCH,
     .help = "answer QCMP pings",
     .environment = "QUILKIN_SERVICE_QCMP",
     .user = &qcmp},
    {.name = "service.qcmp.port",
     .kind = OPTION_VALUE,
     .placeholder = "PORT",
     .help = "the UDP port for it; 0 takes a free one",
     .environment = "QUILKIN_SERVICE_QCMP_PORT",
     .default_text = "7600",
     .user = &qcmp_port},
    {.name = "service.udp.workers",
     .kind = OPTION_VALUE,
     .placeholder = "N",
     .help = "threads that answer; 0 is one for each CPU",
     .environment = "QUILKIN_SERVICE_UDP_WORKERS",
     .default_text = "0",
     .user = &workers},
    {.name = "help", .letter = 'h', .help = "print this help", .user = &help},
    {.name = "version", .letter = 'V', .help = "print the version", .user = &version},

    UNSUPPORTED(OPTION_VALUE, 'c', "config", "QUILKIN_CONFIG"),
    UNSUPPORTED(OPTION_VALUE, 0, "termination-timeout", NULL),
    UNSUPPORTED_SWITCH("admin.enabled", "ADMIN_ENABLED"),
    UNSUPPORTED_VALUE("admin.address", "ADMIN_ADDRESS"),
    UNSUPPORTED_SWITCH("service.phoenix", "SERVICE_PHOENIX"),
    UNSUPPORTED_VALUE("service.phoenix.port", "SERVICE_PHOENIX_PORT"),
    UNSUPPORTED_SWITCH("service.udp", "SERVICE_UDP"),
    UNSUPPORTED_VALUE("service.udp.port", "SERVICE_UDP_PORT"),
    UNSUPPORTED_SWITCH("service.udp.xdp", "SERVICE_UDP_XDP"),
    UNSUPPORTED_VALUE("service.udp.xdp.network-interface", "SERVICE_UDP_XDP_NETWORK_INTERFACE"),
    UNSUPPORTED_SWITCH("service.udp.xdp.zerocopy", "SERVICE_UDP_XDP_ZEROCOPY"),
    UNSUPPORTED_SWITCH("service.udp.xdp.tco", "SERVICE_UDP_XDP_TCO"),
    UNSUPPORTED_VALUE("service.udp.xdp.memory-limit", "SERVICE_UDP_XDP_MEMORY_LIMIT"),
    UNSUPPORTED_VALUE("locality.region", "LOCALITY_REGION"),
    UNSUPPORTED_VALUE("locality.region.zone", "LOCALITY_ZONE"),
    UNSUPPORTED_VALUE("locality.region.sub-zone", "LOCALITY_SUB_ZONE"),
    UNSUPPORTED_VALUE("locality.icao", "LOCALITY_ICAO"),
    UNSUPPORTED_SWITCH("provider.fs", "PROVIDERS_FS"),
    UNSUPPORTED_VALUE("provider.fs.path", "PROVIDERS_FS_PATH"),
    UNSUPPORTED_VALUE("provider.static.endpoints", "PROVIDERS_STATIC_ENDPOINTS"),
    UNSUPPORTED_VALUE("provider.static.endpoint-tokens", "PROVIDERS_STATIC_ENDPOINT_TOKENS"),
    {0},
};

#define SPEC_COUNT (sizeof specs / sizeof specs[0] - 1)

/* A text for a row, and where it comes from. */
struct source {
    const char *dashes; /* "--" for a flag */
    const char *name;
    const char *text;
};

static int fail_value(struct config_report *report, const struct source *source,
                      const char *expected)
{
    char shown[SHOWN_BYTES];

    text_escape(source->text, shown, sizeof shown);
    snprintf(report->error, sizeof report->error, "%s%s: expected %s, not '%s'", source->dashes,
             source->name, expected, shown);
    return -1;
}

/* 0, or -1 with an error in the report. */
static int apply(struct config *config, const struct option_spec *spec, const struct source *source,
                 struct config_report *report)
{
    const struct setting *setting = spec->user;

    if (setting == NULL) {
        if (spec->kind == OPTION_SWITCH && strcmp(source->text, "false") == 0)
            return 0;
        snprintf(report->error, sizeof report->error, "%s%s: not supported yet", source->dashes,
                 source->name);
        return -1;
    }
    if (setting->apply(config, source->text) < 0)
        return fail_value(report, source, setting->expected);
    return 0;
}

/* Collects the text of each flag given, by row. CONFIG_SERVE for the end of the flags without a
 * command. */
static enum config_result read_flags(int argc, char *const *argv, const char *texts[SPEC_COUNT],
                                     struct config_report *report)
{
    struct options options;
    enum options_event event;

    options_init(&options, specs, OPTIONS_STOP_AT_WORD, argc, argv);
    while ((event = options_next(&options)) == OPTIONS_OPTION) {
        const struct setting *setting = options.spec->user;
        if (setting != NULL && setting->apply == NULL)
            return setting->result;
        texts[options.spec - specs] = options.value;
    }
    if (event == OPTIONS_ERROR) {
        snprintf(report->error, sizeof report->error, "%s", options.error);
        return CONFIG_USAGE;
    }
    report->command = options.index;
    return options.index < argc ? CONFIG_COMMAND : CONFIG_SERVE;
}

static const char *read_variable(const struct config_environment *environment, const char *name)
{
    const char *text = environment->get(name, environment->user);

    return text != NULL && *text != '\0' ? text : NULL;
}

static int apply_all(struct config *config, const char *const texts[SPEC_COUNT],
                     const struct config_environment *environment, bool supported_only,
                     struct config_report *report)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct source source = {.dashes = "--", .name = specs[i].name, .text = texts[i]};
        bool is_ignored = supported_only && specs[i].user == NULL;
        if (source.text == NULL && specs[i].environment != NULL && !is_ignored)
            source = (struct source){"", specs[i].environment,
                                     read_variable(environment, specs[i].environment)};
        if (source.text != NULL && apply(config, &specs[i], &source, report) < 0)
            return -1;
    }
    return 0;
}

static bool is_given(const char *const texts[SPEC_COUNT], const struct setting *setting)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if (specs[i].user == setting)
            return texts[i] != NULL;
    }
    return false;
}

/* A host name that is no fit id is no reason to refuse the start. */
static void set_defaults(struct config *config, const struct config_environment *environment)
{
    *config = (struct config){.log_level = LOG_LEVEL_INFO, .qcmp_port = CONFIG_DEFAULT_QCMP_PORT};
    if (set_service_id(config, environment->host_name) < 0)
        set_service_id(config, "paddock");
    log_level_parse(read_variable(environment, "RUST_LOG"), &config->log_level,
                    &config->log_directives_ignored);
}

enum config_result config_load(struct config *config, int argc, char *const *argv,
                               const struct config_environment *environment,
                               struct config_report *report)
{
    const char *texts[SPEC_COUNT] = {0};
    struct config loaded;
    enum config_result result = read_flags(argc, argv, texts, report);

    if (result != CONFIG_SERVE && result != CONFIG_COMMAND)
        return result;
    set_defaults(&loaded, environment);
    if (apply_all(&loaded, texts, environment, result == CONFIG_COMMAND, report) < 0)
        return CONFIG_USAGE;
    if (loaded.quiet)
        loaded.log_level = LOG_LEVEL_OFF;
    report->service_asked = loaded.qcmp_enabled && is_given(texts, &qcmp);
    *config = loaded;
    if (result == CONFIG_SERVE && !loaded.qcmp_enabled)
        return CONFIG_NOTHING;
    return result;
}

void config_print_help(FILE *stream)
{
    fputs("Usage: paddock [OPTION...] [COMMAND [ARGUMENT...]]\n\nOptions:\n", stream);
    options_print_help(stream, specs);
}

#include "config/flags.h"

#include <string.h>

#include "base/options.h"
#include "base/text.h"
#include "config/settings.h"

#define SHOWN_BYTES 128

/* Flags that end the reading. */
static const struct setting help;
static const struct setting version;

#define UNSUPPORTED(kind_, name_, environment_)                                                    \
    {                                                                                              \
        .name = (name_), .kind = (kind_), .hidden = true, .environment = (environment_)            \
    }
#define UNSUPPORTED_SWITCH(name_, environment_)                                                    \
    UNSUPPORTED(OPTION_SWITCH, name_, "QUILKIN_" environment_)
#define UNSUPPORTED_VALUE(name_, environment_)                                                     \
    UNSUPPORTED(OPTION_VALUE, name_, "QUILKIN_" environment_)

/* A row without a setting is one of the reference's that is not supported yet. */
static const struct option_spec specs[] = {
    {.name = "config",
     .letter = 'c',
     .kind = OPTION_VALUE,
     .placeholder = "PATH",
     .help = "the configuration file",
     .environment = "QUILKIN_CONFIG",
     .default_text = "quilkin.yaml, then /etc/quilkin/quilkin.yaml",
     .user = &setting_config_path},
    {.name = "quiet",
     .letter = 'q',
     .kind = OPTION_SWITCH,
     .help = "no log output",
     .environment = "QUIET",
     .user = &setting_quiet},
    {.name = "log-format",
     .kind = OPTION_VALUE,
     .placeholder = "FORMAT",
     .help = "auto, json, plain or pretty",
     .default_text = "auto",
     .user = &setting_log_format},
    {.name = "service.id",
     .kind = OPTION_VALUE,
     .placeholder = "ID",
     .help = "the name of this service",
     .environment = "QUILKIN_SERVICE_ID",
     .default_text = "host name",
     .user = &setting_service_id},
    {.name = "service.qcmp",
     .kind = OPTION_SWITCH,
     .help = "answer QCMP pings",
     .environment = "QUILKIN_SERVICE_QCMP",
     .user = &setting_qcmp},
    {.name = "service.qcmp.port",
     .kind = OPTION_VALUE,
     .placeholder = "PORT",
     .help = "the UDP port for it; 0 takes a free one",
     .environment = "QUILKIN_SERVICE_QCMP_PORT",
     .default_text = "7600",
     .user = &setting_qcmp_port},
    {.name = "service.qcmp.guard",
     .kind = OPTION_SWITCH,
     .help = "limit the answers to each source",
     .environment = "QUILKIN_SERVICE_QCMP_GUARD",
     .default_text = "true",
     .user = &setting_guard},
    {.name = "service.udp.workers",
     .kind = OPTION_VALUE,
     .placeholder = "N",
     .help = "threads that answer; 0 is one for each CPU",
     .environment = "QUILKIN_SERVICE_UDP_WORKERS",
     .default_text = "0",
     .user = &setting_workers},
    {.name = "admin.enabled",
     .kind = OPTION_SWITCH,
     .help = "serve metrics and health over HTTP",
     .environment = "QUILKIN_ADMIN_ENABLED",
     .default_text = "true",
     .user = &setting_admin},
    {.name = "admin.address",
     .kind = OPTION_VALUE,
     .placeholder = "ADDRESS",
     .help = "the address for it; port 0 takes a free one",
     .environment = "QUILKIN_ADMIN_ADDRESS",
     .default_text = "[::]:8000",
     .user = &setting_admin_address},
    {.name = "locality.region",
     .kind = OPTION_VALUE,
     .placeholder = "NAME",
     .help = "where this service is",
     .environment = "QUILKIN_LOCALITY_REGION",
     .user = &setting_region},
    {.name = "locality.region.zone",
     .kind = OPTION_VALUE,
     .placeholder = "NAME",
     .help = "where in the region",
     .environment = "QUILKIN_LOCALITY_ZONE",
     .user = &setting_zone},
    {.name = "locality.region.sub-zone",
     .kind = OPTION_VALUE,
     .placeholder = "NAME",
     .help = "where in the zone",
     .environment = "QUILKIN_LOCALITY_SUB_ZONE",
     .user = &setting_sub_zone},
    {.name = "locality.icao",
     .kind = OPTION_VALUE,
     .placeholder = "CODE",
     .help = "the airport next to this service, four letters",
     .environment = "QUILKIN_LOCALITY_ICAO",
     .default_text = "XXXX",
     .user = &setting_icao_code},
    {.name = "termination-timeout",
     .kind = OPTION_VALUE,
     .placeholder = "DURATION",
     .help = "go on answering so long after SIGTERM",
     .default_text = "0",
     .user = &setting_termination_timeout},
    {.name = "engine",
     .kind = OPTION_VALUE,
     .placeholder = "ENGINE",
     .help = "how packets move: auto, mmsg or xdp",
     .environment = "PADDOCK_ENGINE",
     .default_text = "mmsg",
     .user = &setting_engine},
    {.name = "pin",
     .kind = OPTION_SWITCH,
     .help = "keep each worker on a CPU of its own",
     .user = &setting_pin},
    {.name = "realtime",
     .kind = OPTION_SWITCH,
     .help = "let workers go before all that has no real-time priority",
     .user = &setting_realtime},
    {.name = "low-latency",
     .kind = OPTION_SWITCH,
     .help = "wake up faster, at the price of CPU time",
     .user = &setting_low_latency},
    {.name = "service.udp.xdp",
     .kind = OPTION_SWITCH,
     .help = "the same as --engine xdp",
     .environment = "QUILKIN_SERVICE_UDP_XDP",
     .user = &setting_xdp},
    {.name = "service.udp.xdp.network-interface",
     .kind = OPTION_VALUE,
     .placeholder = "NAME",
     .help = "where XDP answers",
     .environment = "QUILKIN_SERVICE_UDP_XDP_NETWORK_INTERFACE",
     .default_text = "that of the default route",
     .user = &setting_xdp_interface},
    {.name = "xdp-mode",
     .kind = OPTION_VALUE,
     .placeholder = "MODE",
     .help = "native (in the driver) or generic (with any driver)",
     .default_text = "native",
     .user = &setting_xdp_mode},
    {.name = "receive-buffer",
     .kind = OPTION_VALUE,
     .placeholder = "DURATION",
     .help = "what a socket holds, as time at a worker's full rate",
     .default_text = "20ms",
     .user = &setting_receive_buffer},
    {.name = "user",
     .kind = OPTION_VALUE,
     .placeholder = "NAME",
     .help = "whom a service that was started as root becomes",
     .default_text = "nobody",
     .user = &setting_user},
    {.name = "seccomp",
     .kind = OPTION_SWITCH,
     .help = "filter the system calls of the workers",
     .default_text = "true",
     .user = &setting_seccomp},
    {.name = "help", .letter = 'h', .help = "print this help", .user = &help},
    {.name = "version", .letter = 'V', .help = "print the version", .user = &version},

    UNSUPPORTED_SWITCH("service.phoenix", "SERVICE_PHOENIX"),
    UNSUPPORTED_VALUE("service.phoenix.port", "SERVICE_PHOENIX_PORT"),
    UNSUPPORTED_SWITCH("service.udp", "SERVICE_UDP"),
    UNSUPPORTED_VALUE("service.udp.port", "SERVICE_UDP_PORT"),
    /* Of the reference's AF_XDP sockets; what they ask for is so anyway, or cannot be. */
    {.name = "service.udp.xdp.zerocopy",
     .kind = OPTION_SWITCH,
     .hidden = true,
     .environment = "QUILKIN_SERVICE_UDP_XDP_ZEROCOPY",
     .user = &setting_xdp_zerocopy},
    {.name = "service.udp.xdp.tco",
     .kind = OPTION_SWITCH,
     .hidden = true,
     .environment = "QUILKIN_SERVICE_UDP_XDP_TCO",
     .user = &setting_xdp_tco},
    {.name = "service.udp.xdp.memory-limit",
     .kind = OPTION_VALUE,
     .hidden = true,
     .environment = "QUILKIN_SERVICE_UDP_XDP_MEMORY_LIMIT",
     .user = &setting_xdp_memory_limit},
    UNSUPPORTED_VALUE("sys.log.file-prefix", "SYS_LOG_FILE_PREFIX"),
    UNSUPPORTED_VALUE("sys.log.dir", "SYS_LOG_DIRECTORY"),
    UNSUPPORTED_SWITCH("service.mds", "SERVICE_MDS"),
    UNSUPPORTED_VALUE("service.mds.port", "SERVICE_MDS_PORT"),
    UNSUPPORTED_SWITCH("service.xds", "SERVICE_XDS"),
    UNSUPPORTED_VALUE("service.xds.port", "SERVICE_XDS_PORT"),
    UNSUPPORTED_SWITCH("service.grpc", "SERVICE_GRPC"),
    UNSUPPORTED_VALUE("service.tls.cert", "SERVICE_TLS_CERT"),
    UNSUPPORTED_VALUE("service.tls.key", "SERVICE_TLS_KEY"),
    UNSUPPORTED_VALUE("service.tls.cert-path", "SERVICE_TLS_CERT_PATH"),
    UNSUPPORTED_VALUE("service.tls.key-path", "SERVICE_TLS_KEY_PATH"),
    UNSUPPORTED_SWITCH("provider.fs", "PROVIDERS_FS"),
    UNSUPPORTED_VALUE("provider.fs.path", "PROVIDERS_FS_PATH"),
    UNSUPPORTED_VALUE("provider.static.endpoints", "PROVIDERS_STATIC_ENDPOINTS"),
    UNSUPPORTED_VALUE("provider.static.endpoint-tokens", "PROVIDERS_STATIC_ENDPOINT_TOKENS"),
    UNSUPPORTED_SWITCH("provider.k8s", "PROVIDERS_K8S"),
    UNSUPPORTED_VALUE("provider.k8s.namespace", "PROVIDERS_K8S_NAMESPACE"),
    UNSUPPORTED_SWITCH("provider.k8s.leader-election", "PROVIDERS_K8S_LEADER_ELECTION"),
    UNSUPPORTED_VALUE("provider.k8s.leader-election.id", "PROVIDERS_K8S_LEADER_ELECTION_ID"),
    UNSUPPORTED_VALUE("provider.k8s.leader-election.lease-name",
                      "PROVIDERS_K8S_LEADER_ELECTION_LEASE_NAME"),
    UNSUPPORTED_SWITCH("provider.k8s.agones", "PROVIDERS_K8S_AGONES"),
    UNSUPPORTED_VALUE("provider.k8s.agones.namespace", "PROVIDERS_K8S_AGONES_NAMESPACE"),
    UNSUPPORTED_VALUE("provider.k8s.agones.namespaces", "PROVIDERS_K8S_AGONES_NAMESPACES"),
    UNSUPPORTED_VALUE("provider.k8s.agones.address-type", "PROVIDERS_K8S_AGONES_ADDRESS_TYPE"),
    UNSUPPORTED_VALUE("provider.k8s.agones.ip-kind", "PROVIDERS_K8S_AGONES_IP_KIND"),
    UNSUPPORTED_VALUE("provider.mds.endpoints", "PROVIDERS_MDS_ENDPOINTS"),
    UNSUPPORTED_VALUE("provider.mmdb.endpoints", "PROVIDERS_MMDB_ENDPOINTS"),
    UNSUPPORTED_VALUE("provider.xds.endpoints", "PROVIDERS_XDS_ENDPOINTS"),
    {0},
};

#define SPEC_COUNT (sizeof specs / sizeof specs[0] - 1)

_Static_assert(SPEC_COUNT <= FLAGS_MAX, "struct flags has room for every row");

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

enum config_result flags_read(struct flags *flags, int argc, char *const *argv,
                              struct config_report *report)
{
    struct options options;
    enum options_event event;

    *flags = (struct flags){0};
    report->service_asked = false;
    options_init(&options, specs, OPTIONS_STOP_AT_WORD, argc, argv);
    while ((event = options_next(&options)) == OPTIONS_OPTION) {
        if (options.spec->user == &help)
            return CONFIG_HELP;
        if (options.spec->user == &version)
            return CONFIG_VERSION;
        if (options.spec->user == &setting_qcmp)
            report->service_asked = strcmp(options.value, "true") == 0;
        flags->texts[options.spec - specs] = options.value;
    }
    if (event == OPTIONS_ERROR) {
        snprintf(report->error, sizeof report->error, "%s", options.error);
        return CONFIG_USAGE;
    }
    report->command = options.index;
    return options.index < argc ? CONFIG_COMMAND : CONFIG_SERVE;
}

const char *flags_variable(const struct config_environment *environment, const char *name)
{
    const char *text = environment->get(name, environment->user);

    return text != NULL && *text != '\0' ? text : NULL;
}

/* The text is NULL where a row has none. */
static struct source find_source(size_t row, const struct flags *flags,
                                 const struct config_environment *environment)
{
    struct source source = {.dashes = "--", .name = specs[row].name, .text = flags->texts[row]};

    if (source.text == NULL && specs[row].environment != NULL)
        source = (struct source){"", specs[row].environment,
                                 flags_variable(environment, specs[row].environment)};
    return source;
}

static struct source find_source_of(const struct setting *setting, const struct flags *flags,
                                    const struct config_environment *environment)
{
    size_t row = 0;

    while (specs[row].user != setting)
        row++;
    return find_source(row, flags, environment);
}

static int fail_contradiction(struct config_report *report, const struct source *a,
                              const char *dashes, const char *text)
{
    snprintf(report->error, sizeof report->error, "%s%s: contradicts %s%s", a->dashes, a->name,
             dashes, text);
    return -1;
}

/* Two flags say which engine: that XDP is to be. Of a flag and a variable the flag wins; two of one
 * kind must agree. */
static int apply_xdp(struct config *config, const struct flags *flags,
                     const struct config_environment *environment, struct config_report *report)
{
    struct source xdp = find_source_of(&setting_xdp, flags, environment);
    struct source engine = find_source_of(&setting_engine, flags, environment);
    struct source zerocopy = find_source_of(&setting_xdp_zerocopy, flags, environment);
    bool is_flag = xdp.dashes[0] != '\0';
    char contradicted[64];

    if (config->xdp_zerocopy && config->xdp_generic)
        return fail_contradiction(report, &zerocopy, "--", "xdp-mode generic");
    if (xdp.text == NULL || strcmp(xdp.text, "true") != 0)
        return 0;
    snprintf(contradicted, sizeof contradicted, "%s %s", engine.name,
             engine.text != NULL ? engine.text : "");
    if (engine.text != NULL && (engine.dashes[0] != '\0') == is_flag &&
        strcmp(engine.text, "xdp") != 0)
        return fail_contradiction(report, &xdp, engine.dashes, contradicted);
    if (engine.text == NULL || is_flag)
        config->engine = CONFIG_ENGINE_XDP;
    return 0;
}

int flags_apply(struct config *config, const struct flags *flags,
                const struct config_environment *environment, bool supported_only,
                struct config_report *report)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct source source = find_source(i, flags, environment);
        bool is_ignored = supported_only && specs[i].user == NULL && flags->texts[i] == NULL;
        if (source.text != NULL && !is_ignored && apply(config, &specs[i], &source, report) < 0)
            return -1;
    }
    return apply_xdp(config, flags, environment, report);
}

void config_print_help(FILE *stream)
{
    fputs("Usage: paddock [OPTION...] [COMMAND [ARGUMENT...]]\n\nOptions:\n", stream);
    options_print_help(stream, specs);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "catalog/settings.h"
#include "config/config.h"
#include "daemon/sections.h"
#include "daemon/settings.h"
#include "qcmp/settings.h"

/* An environment as "NAME=value" texts, ended by NULL. */
static const char *lookup(const char *name, void *user)
{
    const char *const *variables = user;
    size_t length = strlen(name);

    for (; *variables != NULL; variables++) {
        if (strncmp(*variables, name, length) == 0 && (*variables)[length] == '=')
            return *variables + length + 1;
    }
    return NULL;
}

#define MAX_KEPT 1024

/* All configurations that the tests have loaded; released at the end. */
static struct config *kept[MAX_KEPT];
static size_t kept_count;

static int free_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < kept_count; i++)
        config_free(kept[i]);
    return 0;
}

/* A load and what came of it. */
struct load {
    struct config *config;
    const struct process_settings *process;
    const struct qcmp_settings *qcmp;
    const struct catalog_settings *catalog;
    const struct config_file *file;
    struct config_report report;
    enum config_result result;
};

#define LIST(...) ((char *[]){"paddock", __VA_ARGS__})
#define ENVIRONMENT(...) ((const char *[]){__VA_ARGS__ NULL})

static struct load load(const char **variables, char **argv)
{
    struct config_environment environment = {
        .get = lookup, .user = variables, .host_name = "host.example"};
    struct load load = {.report = {.command = -1}};
    int argc = 0;

    while (argv[argc] != NULL)
        argc++;
    const struct section_list sections = daemon_sections();
    const struct config_source source = {
        .sections = sections.items, .argc = argc, .argv = argv, .environment = &environment};
    load.result = config_load(&load.config, &source, &load.report);
    if (load.config == NULL)
        return load;
    assert_true(kept_count < MAX_KEPT);
    kept[kept_count++] = load.config;
    load.process = config_settings(load.config, &process_section);
    load.qcmp = config_settings(load.config, &qcmp_section);
    load.catalog = config_settings(load.config, &catalog_section);
    load.file = config_file(load.config);
    return load;
}

static void assert_usage(const char **variables, char **argv, const char *expected)
{
    struct load loaded = load(variables, argv);

    assert_int_equal(loaded.result, CONFIG_USAGE);
    assert_string_equal(loaded.report.error.text, expected);
    assert_null(loaded.config);
}

static void defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct load loaded = load(ENVIRONMENT(), LIST("--service.qcmp", NULL));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_false(loaded.process->quiet);
    assert_int_equal(loaded.process->log_format, LOG_FORMAT_AUTO);
    assert_int_equal(loaded.process->log.level, LOG_LEVEL_INFO);
    assert_false(loaded.process->log.has_ignored);
    assert_string_equal(loaded.process->id, "host.example");
    assert_true(loaded.qcmp->enabled);
    assert_int_equal(loaded.qcmp->port, 7600);
    assert_int_equal(loaded.process->workers, 0);
    assert_string_equal(loaded.process->icao_code, "XXXX");
    assert_string_equal(loaded.process->region, "");
    assert_true(loaded.process->admin_enabled);
    assert_string_equal(loaded.process->admin.text, "[::]:8000");
    assert_string_equal(loaded.process->admin.target.host, "::");
    assert_int_equal(loaded.process->admin.target.port, 8000);
    assert_int_equal(loaded.process->termination_timeout_ns, 0);
    assert_int_equal(loaded.process->xdp, PROCESS_XDP_OFF);
    assert_int_equal(loaded.qcmp->listen_count, 1);
    assert_memory_equal(&loaded.qcmp->listen[0], &in6addr_any, sizeof in6addr_any);
    assert_int_equal(loaded.qcmp->receive_buffer_ns, 20000000);
    assert_int_equal(loaded.qcmp->max_age_ns, 0);
    assert_string_equal(loaded.process->user, "nobody");
    assert_true(loaded.process->seccomp);
    assert_null(loaded.catalog->config.filters);
    assert_false(loaded.file->is_loaded);
}

static void flags_set_everything(void **state)
{
    (void)state;
    struct load loaded = load(ENVIRONMENT(), LIST("-q", "--log-format", "plain", "--service.id=a b",
                                                  "--service.qcmp", "true", "--service.qcmp.port",
                                                  "0", "--service.udp.workers=1024", NULL));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_true(loaded.process->quiet);
    assert_int_equal(loaded.process->log_format, LOG_FORMAT_PLAIN);
    assert_int_equal(loaded.process->log.level, LOG_LEVEL_OFF);
    assert_string_equal(loaded.process->id, "a b");
    assert_true(loaded.qcmp->enabled);
    assert_int_equal(loaded.qcmp->port, 0);
    assert_int_equal(loaded.process->workers, 1024);
}

static void environment_sets_everything(void **state)
{
    (void)state;
    struct load loaded =
        load(ENVIRONMENT("QUIET=false", "QUILKIN_SERVICE_ID=id", "QUILKIN_SERVICE_QCMP=true",
                         "QUILKIN_SERVICE_QCMP_PORT=65535", "QUILKIN_SERVICE_UDP_WORKERS=2",
                         "RUST_LOG=hyper=off,debug", ),
             LIST(NULL));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_string_equal(loaded.process->id, "id");
    assert_int_equal(loaded.qcmp->port, 65535);
    assert_int_equal(loaded.process->workers, 2);
    assert_int_equal(loaded.process->log.level, LOG_LEVEL_DEBUG);
    assert_true(loaded.process->log.has_ignored);
}

static void quiet_wins_over_the_level(void **state)
{
    (void)state;
    struct load loaded =
        load(ENVIRONMENT("QUIET=true", "RUST_LOG=trace", ), LIST("--service.qcmp", NULL));

    assert_true(loaded.process->quiet);
    assert_int_equal(loaded.process->log.level, LOG_LEVEL_OFF);
}

static void flags_win_over_the_environment(void **state)
{
    (void)state;
    struct load loaded = load(
        ENVIRONMENT("QUIET=true", "QUILKIN_SERVICE_QCMP=false", "QUILKIN_SERVICE_QCMP_PORT=bad", ),
        LIST("--quiet=false", "--service.qcmp", "--service.qcmp.port", "9", NULL));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_false(loaded.process->quiet);
    assert_int_equal(loaded.qcmp->port, 9);
}

static void last_of_two_flags_counts(void **state)
{
    (void)state;
    struct load loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "--service.qcmp.port=1",
                                                  "--service.qcmp.port=2", NULL));

    assert_int_equal(loaded.qcmp->port, 2);
    loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "--service.qcmp=false", NULL));
    assert_int_equal(loaded.result, CONFIG_NOTHING);
}

static void empty_variables_are_unset(void **state)
{
    (void)state;
    struct load loaded =
        load(ENVIRONMENT("QUIET=", "QUILKIN_SERVICE_ID=", "QUILKIN_SERVICE_QCMP_PORT=",
                         "QUILKIN_CONFIG=", "RUST_LOG=", ),
             LIST("--service.qcmp", NULL));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_string_equal(loaded.process->id, "host.example");
    assert_int_equal(loaded.qcmp->port, 7600);
}

static void nothing_to_do_is_a_result_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(load(ENVIRONMENT(), LIST(NULL)).result, CONFIG_NOTHING);
    assert_int_equal(load(ENVIRONMENT(), LIST("-q", NULL)).result, CONFIG_NOTHING);
    assert_int_equal(load(ENVIRONMENT("QUILKIN_SERVICE_QCMP=false", ), LIST(NULL)).result,
                     CONFIG_NOTHING);
    assert_int_equal(load(ENVIRONMENT(), LIST("--", NULL)).result, CONFIG_NOTHING);
}

static void command_words_are_left_to_the_caller(void **state)
{
    (void)state;
    struct load loaded = load(ENVIRONMENT(), LIST("-q", "ping", "host", "-a", "3", "--nope", NULL));

    assert_int_equal(loaded.result, CONFIG_COMMAND);
    assert_int_equal(loaded.report.command, 2);
    assert_true(loaded.process->quiet);
    loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "qcmp", "ping", NULL));
    assert_int_equal(loaded.result, CONFIG_COMMAND);
    assert_int_equal(loaded.report.command, 2);
}

static void a_service_beside_a_command_is_told_when_a_flag_asks_for_it(void **state)
{
    (void)state;
    const char **variables = ENVIRONMENT("QUILKIN_SERVICE_QCMP=true", );

    assert_true(load(ENVIRONMENT(), LIST("--service.qcmp", "ping", NULL)).report.service_asked);
    assert_false(
        load(ENVIRONMENT(), LIST("--service.qcmp=false", "ping", NULL)).report.service_asked);
    assert_false(load(variables, LIST("ping", NULL)).report.service_asked);
}

static void commands_do_not_care_for_the_environment_of_a_service(void **state)
{
    (void)state;
    const char **variables =
        ENVIRONMENT("QUILKIN_SERVICE_PHOENIX=true", "QUILKIN_CONFIG=no/x.yaml", );

    assert_int_equal(load(variables, LIST("ping", NULL)).result, CONFIG_COMMAND);
    assert_usage(variables, LIST("--service.tls.cert", "x", "ping", NULL),
                 "--service.tls.cert: not supported yet");
}

static void help_and_version_come_first(void **state)
{
    (void)state;
    assert_int_equal(load(ENVIRONMENT("QUILKIN_CONFIG=x", ), LIST("-h", NULL)).result, CONFIG_HELP);
    assert_int_equal(load(ENVIRONMENT(), LIST("-q", "--help", "--nope", NULL)).result, CONFIG_HELP);
    assert_int_equal(load(ENVIRONMENT(), LIST("-V", NULL)).result, CONFIG_VERSION);
    assert_int_equal(load(ENVIRONMENT(), LIST("--version", "-h", NULL)).result, CONFIG_VERSION);
}

static void bad_values_name_the_flag_and_what_was_expected(void **state)
{
    (void)state;
    const char **none = ENVIRONMENT();

    assert_usage(none, LIST("--service.qcmp.port=65536", NULL),
                 "--service.qcmp.port: expected a number from 0 to 65535, not '65536'");
    assert_usage(none, LIST("--service.qcmp.port=", NULL),
                 "--service.qcmp.port: expected a number from 0 to 65535, not ''");
    assert_usage(none, LIST("--service.qcmp.port", "99999999999999999999999", NULL),
                 "--service.qcmp.port: expected a number from 0 to 65535, not "
                 "'99999999999999999999999'");
    assert_usage(none, LIST("--service.udp.workers=1025", NULL),
                 "--service.udp.workers: expected a number from 1 to 1024, not '1025'");
    assert_usage(none, LIST("--log-format=xml", NULL),
                 "--log-format: expected auto, json, plain or pretty, not 'xml'");
    assert_usage(
        none, LIST("--service.id=", NULL),
        "--service.id: expected 1 to 255 bytes of text without controls and quotes, not ''");
    assert_usage(
        none, LIST("--service.id=a\nb", NULL),
        "--service.id: expected 1 to 255 bytes of text without controls and quotes, not 'a\\nb'");
}

static void bad_values_name_the_variable_and_what_was_expected(void **state)
{
    (void)state;
    assert_usage(ENVIRONMENT("QUIET=1", ), LIST(NULL), "QUIET: expected true or false, not '1'");
    assert_usage(ENVIRONMENT("QUILKIN_SERVICE_QCMP=yes", ), LIST(NULL),
                 "QUILKIN_SERVICE_QCMP: expected true or false, not 'yes'");
    assert_usage(ENVIRONMENT("QUILKIN_SERVICE_QCMP_PORT=-1", ), LIST(NULL),
                 "QUILKIN_SERVICE_QCMP_PORT: expected a number from 0 to 65535, not '-1'");
    assert_usage(ENVIRONMENT("QUILKIN_SERVICE_UDP_WORKERS=\033", ), LIST("ping", NULL),
                 "QUILKIN_SERVICE_UDP_WORKERS: expected a number from 1 to 1024, not '\\u{1b}'");
}

static void bad_options_are_usage_errors(void **state)
{
    (void)state;
    assert_usage(ENVIRONMENT(), LIST("--nope", NULL), "unknown option '--nope'");
    assert_usage(ENVIRONMENT(), LIST("--service.qcm", NULL), "unknown option '--service.qcm'");
    assert_usage(ENVIRONMENT(), LIST("--service.qcmp.port", NULL),
                 "option '--service.qcmp.port' needs a value");
    assert_usage(ENVIRONMENT(), LIST("--service.qcmp=maybe", NULL),
                 "option '--service.qcmp' takes true or false, not 'maybe'");
}

static void service_id_has_room_for_255_bytes(void **state)
{
    (void)state;
    char id[PROCESS_ID_BYTES + 1];
    struct load loaded;

    memset(id, 'i', sizeof id);
    id[PROCESS_ID_BYTES - 1] = '\0';
    loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "--service.id", id, NULL));
    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_string_equal(loaded.process->id, id);
    id[PROCESS_ID_BYTES - 1] = 'i';
    id[PROCESS_ID_BYTES] = '\0';
    loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "--service.id", id, NULL));
    assert_int_equal(loaded.result, CONFIG_USAGE);
    assert_non_null(strstr(loaded.report.error.text, "iii...'"));
}

static void host_name_that_is_no_id_does_not_end_the_start(void **state)
{
    (void)state;
    struct config_environment environment = {
        .get = lookup, .user = ENVIRONMENT(), .host_name = "bad\nname"};
    const struct section_list sections = daemon_sections();
    const struct config_source source = {.sections = sections.items,
                                         .argc = 2,
                                         .argv = LIST("--service.qcmp", NULL),
                                         .environment = &environment};
    struct config_report report;
    struct config *config;

    assert_int_equal(config_load(&config, &source, &report), CONFIG_SERVE);
    const struct process_settings *process = config_settings(config, &process_section);
    assert_string_equal(process->id, "paddock");
    config_free(config);
}

static void flags_of_an_operator_are_taken(void **state)
{
    (void)state;
    struct load loaded = load(
        ENVIRONMENT("PADDOCK_XDP=on", "QUILKIN_LOCALITY_ZONE=z", ),
        LIST("--service.qcmp", "--admin.enabled=false", "--admin.address=127.0.0.1:0",
             "--termination-timeout=30", "--xdp=auto", "--service.qcmp.receive-buffer=5s",
             "--user=_x", "--seccomp", "false", "--pin", "--realtime", "--low-latency",
             "--locality.icao=EFHK", "--locality.region=r", "--locality.region.sub-zone=s", NULL));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_false(loaded.process->admin_enabled);
    assert_string_equal(loaded.process->admin.target.host, "127.0.0.1");
    assert_int_equal(loaded.process->admin.target.port, 0);
    assert_int_equal(loaded.process->termination_timeout_ns, INT64_C(30000000000));
    assert_int_equal(loaded.qcmp->receive_buffer_ns, INT64_C(5000000000));
    assert_string_equal(loaded.process->user, "_x");
    assert_false(loaded.process->seccomp);
    assert_true(loaded.process->pin);
    assert_true(loaded.process->realtime);
    assert_true(loaded.process->low_latency);
    assert_string_equal(loaded.process->icao_code, "EFHK");
    assert_string_equal(loaded.process->region, "r");
    assert_string_equal(loaded.process->zone, "z");
    assert_string_equal(loaded.process->sub_zone, "s");
}

static void values_beyond_the_range_of_a_flag_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        const char *values[14];
    } bad[] = {
        {"admin.address",
         {"", ":", "8000", "[::]", "::1:80", "localhost:80", "[127.0.0.1]:80", "127.0.0.1:65536",
          "[::]:80:90", "[::1%lo]:80", "1.2.3.4:", "[:]:1"}},
        {"termination-timeout", {"", "-1", "366d", "1x", "0.1ns"}},
        {"xdp", {"", "on ", "ON", "true", "xdp"}},
        {"service.udp.xdp.network-interface",
         {"", ".", "..", "a/b", "a b", "a:b", "a\nb", "abcdefghijklmnop", "a,", ",a", "a,,b",
          "a,b,a", "a,a", "1,2,3,4,5,6,7,8"}},
        {"xdp-attach", {"", "auto", "Native"}},
        {"service.udp.xdp.tco", {"true"}},
        {"service.udp.xdp.memory-limit", {"", "-1", "1k", "18446744073709551616"}},
        {"service.qcmp.receive-buffer", {"0", "10001ms", "20 ms"}},
        {"user", {"", "-x", ".x", "a b", "a:b", "abcdefghijklmnopqrstuvwxyz0123456"}},
        {"locality.icao", {"", "EFH", "EFHKX", "efhk", "EF\xc3\x84"}},
        {"locality.region", {"", "a\"b", "a\nb"}},
        {"config", {""}},
    };
    char flag[128];
    char start[64];

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (size_t j = 0; j < 14 && bad[i].values[j] != NULL; j++) {
            snprintf(flag, sizeof flag, "--%s=%s", bad[i].flag, bad[i].values[j]);
            snprintf(start, sizeof start, "--%s: expected ", bad[i].flag);
            struct load loaded = load(ENVIRONMENT(), LIST("--service.qcmp", flag, NULL));
            assert_int_equal(loaded.result, CONFIG_USAGE);
            assert_memory_equal(loaded.report.error.text, start, strlen(start));
        }
    }
}

static enum process_xdp xdp_of(struct load loaded)
{
    assert_int_equal(loaded.result, CONFIG_SERVE);
    return loaded.process->xdp;
}

static void xdp_is_chosen_by_either_flag(void **state)
{
    (void)state;
    assert_int_equal(xdp_of(load(ENVIRONMENT(), LIST("--service.qcmp", "--xdp=on", NULL))),
                     PROCESS_XDP_ON);
    assert_int_equal(xdp_of(load(ENVIRONMENT(), LIST("--service.qcmp", "--xdp=auto", NULL))),
                     PROCESS_XDP_AUTO);
    assert_int_equal(xdp_of(load(ENVIRONMENT(), LIST("--service.qcmp", "--service.udp.xdp", NULL))),
                     PROCESS_XDP_ON);
    assert_int_equal(
        xdp_of(load(ENVIRONMENT("QUILKIN_SERVICE_UDP_XDP=true", ), LIST("--service.qcmp", NULL))),
        PROCESS_XDP_ON);
    assert_int_equal(xdp_of(load(ENVIRONMENT("QUILKIN_SERVICE_UDP_XDP=true", ),
                                 LIST("--service.qcmp", "--xdp=off", NULL))),
                     PROCESS_XDP_OFF);
    assert_int_equal(xdp_of(load(ENVIRONMENT("PADDOCK_XDP=off", ),
                                 LIST("--service.qcmp", "--service.udp.xdp", NULL))),
                     PROCESS_XDP_ON);
    assert_int_equal(xdp_of(load(ENVIRONMENT("QUILKIN_SERVICE_UDP_XDP=true", ),
                                 LIST("--service.qcmp", "--service.udp.xdp=false", NULL))),
                     PROCESS_XDP_OFF);
    assert_int_equal(
        xdp_of(load(ENVIRONMENT(), LIST("--service.qcmp", "--xdp=on", "--service.udp.xdp", NULL))),
        PROCESS_XDP_ON);
}

static void two_choices_of_xdp_at_once_are_refused(void **state)
{
    (void)state;
    assert_usage(ENVIRONMENT(), LIST("--service.qcmp", "--service.udp.xdp", "--xdp=off", NULL),
                 "--service.udp.xdp: contradicts --xdp off");
    assert_usage(ENVIRONMENT(), LIST("--service.qcmp", "--service.udp.xdp", "--xdp=auto", NULL),
                 "--service.udp.xdp: contradicts --xdp auto");
    assert_usage(ENVIRONMENT("PADDOCK_XDP=off", "QUILKIN_SERVICE_UDP_XDP=true", ),
                 LIST("--service.qcmp", NULL),
                 "QUILKIN_SERVICE_UDP_XDP: contradicts PADDOCK_XDP off");
}

static void what_xdp_needs_is_taken(void **state)
{
    (void)state;
    struct load loaded =
        load(ENVIRONMENT("QUILKIN_SERVICE_UDP_XDP_NETWORK_INTERFACE=eth9", ),
             LIST("--service.qcmp", "--xdp-attach=generic", "--service.udp.xdp.tco=false",
                  "--service.udp.xdp.memory-limit=1024", NULL));
    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_string_equal(loaded.process->xdp_interfaces, "eth9");
    assert_int_equal(loaded.process->xdp_attach, PROCESS_XDP_GENERIC);
    assert_true(loaded.process->xdp_attach_given);
    loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "--service.udp.xdp.zerocopy", NULL));
    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_string_equal(loaded.process->xdp_interfaces, "");
    loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "--service.udp.xdp.network-interface",
                                      "1,2,3,4,5,12,abcdefghijklmno", NULL));
    assert_string_equal(loaded.process->xdp_interfaces, "1,2,3,4,5,12,abcdefghijklmno");
    assert_int_equal(loaded.process->xdp_attach, PROCESS_XDP_NATIVE);
    assert_false(loaded.process->xdp_attach_given);
    loaded = load(ENVIRONMENT(), LIST("--service.qcmp", "--xdp-attach=native", NULL));
    assert_int_equal(loaded.process->xdp_attach, PROCESS_XDP_NATIVE);
    assert_true(loaded.process->xdp_attach_given);
    assert_usage(
        ENVIRONMENT(),
        LIST("--service.qcmp", "--service.udp.xdp.zerocopy", "--xdp-attach", "generic", NULL),
        "--service.udp.xdp.zerocopy: contradicts --xdp-attach generic");
}

static const struct {
    const char *flag;
    const char *variable;
} unsupported[] = {
    {"service.tls.cert", "QUILKIN_SERVICE_TLS_CERT"},
    {"service.tls.key", "QUILKIN_SERVICE_TLS_KEY"},
};

#define UNSUPPORTED_COUNT (sizeof unsupported / sizeof unsupported[0])

static void flags_that_are_not_supported_are_refused(void **state)
{
    (void)state;
    char flag[128];
    char expected[128];

    for (size_t i = 0; i < UNSUPPORTED_COUNT; i++) {
        snprintf(expected, sizeof expected, "--%s: not supported yet", unsupported[i].flag);
        snprintf(flag, sizeof flag, "--%s=true", unsupported[i].flag);
        assert_usage(ENVIRONMENT(), LIST("--service.qcmp", flag, NULL), expected);
    }
}

static void variables_that_are_not_supported_are_refused(void **state)
{
    (void)state;
    char variable[128];
    char expected[128];

    for (size_t i = 0; i < UNSUPPORTED_COUNT; i++) {
        if (unsupported[i].variable == NULL)
            continue;
        snprintf(expected, sizeof expected, "%s: not supported yet", unsupported[i].variable);
        snprintf(variable, sizeof variable, "%s=true", unsupported[i].variable);
        assert_usage(ENVIRONMENT(variable, ), LIST("--service.qcmp", NULL), expected);
    }
}

static void help_lists_what_is_supported_and_nothing_else(void **state)
{
    (void)state;
    static const char *const supported[] = {"-c, --config PATH",
                                            "-q, --quiet",
                                            "--admin.address ADDRESS",
                                            "--termination-timeout DURATION",
                                            "--log-format FORMAT",
                                            "--service.id ID",
                                            "--service.qcmp [BOOL]",
                                            "--service.qcmp.port",
                                            "-V, --version",
                                            "--service.udp.workers N",
                                            "-h, --help",
                                            "QUILKIN_SERVICE_QCMP_PORT"};
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);

    assert_non_null(stream);
    const struct section_list sections = daemon_sections();
    config_print_help(stream, sections.items);
    fclose(stream);
    for (size_t i = 0; i < sizeof supported / sizeof supported[0]; i++)
        assert_non_null(strstr(text, supported[i]));
    assert_non_null(strstr(text, "--provider.fs"));
    assert_null(strstr(text, "--service.tls.cert "));
    assert_non_null(strstr(text, "--provider.xds"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(flags_set_everything),
        cmocka_unit_test(environment_sets_everything),
        cmocka_unit_test(quiet_wins_over_the_level),
        cmocka_unit_test(flags_win_over_the_environment),
        cmocka_unit_test(last_of_two_flags_counts),
        cmocka_unit_test(empty_variables_are_unset),
        cmocka_unit_test(nothing_to_do_is_a_result_of_its_own),
        cmocka_unit_test(command_words_are_left_to_the_caller),
        cmocka_unit_test(a_service_beside_a_command_is_told_when_a_flag_asks_for_it),
        cmocka_unit_test(commands_do_not_care_for_the_environment_of_a_service),
        cmocka_unit_test(help_and_version_come_first),
        cmocka_unit_test(bad_values_name_the_flag_and_what_was_expected),
        cmocka_unit_test(bad_values_name_the_variable_and_what_was_expected),
        cmocka_unit_test(bad_options_are_usage_errors),
        cmocka_unit_test(service_id_has_room_for_255_bytes),
        cmocka_unit_test(host_name_that_is_no_id_does_not_end_the_start),
        cmocka_unit_test(flags_of_an_operator_are_taken),
        cmocka_unit_test(values_beyond_the_range_of_a_flag_are_refused),
        cmocka_unit_test(xdp_is_chosen_by_either_flag),
        cmocka_unit_test(two_choices_of_xdp_at_once_are_refused),
        cmocka_unit_test(what_xdp_needs_is_taken),
        cmocka_unit_test(flags_that_are_not_supported_are_refused),
        cmocka_unit_test(variables_that_are_not_supported_are_refused),
        cmocka_unit_test(help_lists_what_is_supported_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, free_all);
}

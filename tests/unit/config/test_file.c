/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog/settings.h"
#include "config/config.h"
#include "daemon/sections.h"
#include "daemon/settings.h"
#include "qcmp/settings.h"

#define LIST(...) ((char *[]){"paddock", "--service.qcmp", __VA_ARGS__, NULL})

/* A folder of its own, which is the current one. */
static int enter_folder(void **state)
{
    char *folder = strdup("/tmp/paddock-config-XXXXXX");

    *state = folder;
    return folder != NULL && mkdtemp(folder) != NULL ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
    char *folder = *state;

    unlink("a.yaml");
    unlink("quilkin.yaml");
    unlink("pipe");
    int result = chdir("/") == 0 ? rmdir(folder) : -1;
    free(folder);
    return result;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* The only variable there is, as NAME=value, or NULL. */
static const char *lookup(const char *name, void *user)
{
    const char *variable = user;
    size_t length = strlen(name);

    if (variable == NULL || strncmp(variable, name, length) != 0 || variable[length] != '=')
        return NULL;
    return variable + length + 1;
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

static struct load load(const char *variable, char **argv)
{
    char text[128] = "";
    struct config_environment environment = {.get = lookup, .host_name = "host"};
    struct load load = {.config = NULL};
    int argc = 0;

    if (variable != NULL) {
        snprintf(text, sizeof text, "%s", variable);
        environment.user = text;
    }
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

static void assert_bad(char **argv, const char *expected)
{
    struct load loaded = load(NULL, argv);

    assert_int_equal(loaded.result, CONFIG_BAD_FILE);
    assert_string_equal(loaded.report.error.text, expected);
    assert_null(loaded.config);
}

static void flags_win_over_variables_and_those_over_the_file(void **state)
{
    (void)state;
    write_file("a.yaml", "id: file\nqcmp_port: 1\npaddock: {workers: 3}\n");
    struct load loaded =
        load("QUILKIN_SERVICE_QCMP_PORT=2", LIST("-c", "a.yaml", "--service.id=flag"));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_string_equal(loaded.process->id, "flag");
    assert_int_equal(loaded.qcmp->port, 2);
    assert_int_equal(loaded.process->workers, 3);
}

static void variable_names_the_file(void **state)
{
    (void)state;
    write_file("a.yaml", "qcmp_port: 1\n");
    struct load loaded = load("QUILKIN_CONFIG=a.yaml", LIST("-q"));

    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_int_equal(loaded.qcmp->port, 1);
    assert_string_equal(config_watch_path(loaded.config, 0), "a.yaml");
    assert_null(config_watch_path(loaded.config, 1));
}

static void default_file_is_taken_when_it_is_there(void **state)
{
    (void)state;
    struct load loaded = load(NULL, LIST("-q"));
    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_int_equal(loaded.qcmp->port, 7600);
    assert_string_equal(config_watch_path(loaded.config, 0), "quilkin.yaml");
    assert_string_equal(config_watch_path(loaded.config, 1), "/etc/quilkin/quilkin.yaml");
    assert_null(config_watch_path(loaded.config, 2));

    write_file("quilkin.yaml", "qcmp_port: 1\n");
    loaded = load(NULL, LIST("-q"));
    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_int_equal(loaded.qcmp->port, 1);
    assert_string_equal(config_watch_path(loaded.config, 0), "quilkin.yaml");
    assert_null(config_watch_path(loaded.config, 1));
}

static void file_that_was_named_must_be_readable(void **state)
{
    (void)state;
    assert_bad(LIST("-c", "a.yaml"), "a.yaml: cannot be read: No such file or directory");
    assert_bad(LIST("-c", "/"), "/: cannot be read: not a regular file");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_bad(LIST("-c", "pipe"), "pipe: cannot be read: not a regular file");
}

static void file_of_16_mebibytes_is_taken_and_a_byte_more_is_not(void **state)
{
    (void)state;
    size_t bytes = 16 * 1024 * 1024;
    char *text = malloc(bytes + 2);

    assert_non_null(text);
    memset(text, '#', bytes + 1);
    text[bytes] = '\0';
    write_file("a.yaml", text);
    assert_int_equal(load(NULL, LIST("-c", "a.yaml")).result, CONFIG_SERVE);
    text[bytes] = '#';
    text[bytes + 1] = '\0';
    write_file("a.yaml", text);
    free(text);
    assert_bad(LIST("-c", "a.yaml"), "a.yaml:1:1: larger than 16 MiB");
}

static void many_values_are_refused(void **state)
{
    (void)state;
    FILE *file = fopen("a.yaml", "w");

    assert_non_null(file);
    fputs("filters: [", file);
    for (int i = 0; i < 300000; i++)
        fputs("{},", file);
    fputs("]\n", file);
    assert_int_equal(fclose(file), 0);
    /* 300000 values, three of which are the document, `filters` and its list. */
    assert_bad(LIST("-c", "a.yaml"), "a.yaml:1:900002: more than 300000 values");
}

static void many_blank_lines_are_refused(void **state)
{
    (void)state;
    static const char breaks[] = {'\n', '\r'};
    char text[260];

    for (size_t i = 0; i < sizeof breaks; i++) {
        memset(text, breaks[i], sizeof text);
        text[256] = '\0';
        write_file("a.yaml", text);
        assert_int_equal(load(NULL, LIST("-c", "a.yaml")).result, CONFIG_SERVE);
        text[256] = breaks[i];
        text[257] = '\0';
        write_file("a.yaml", text);
        assert_bad(LIST("-c", "a.yaml"), "a.yaml:257:2: more than 256 blank lines in a row");
    }
}

static void a_file_with_nothing_but_comments_is_known(void **state)
{
    static const char *const empty[] = {"", "\n", " \n# version: v1alpha1\n"};
    (void)state;
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        write_file("a.yaml", empty[i]);
        assert_true(load(NULL, LIST("-c", "a.yaml")).file->is_empty);
    }
    write_file("a.yaml", "{}\n");
    assert_false(load(NULL, LIST("-c", "a.yaml")).file->is_empty);
    assert_false(load(NULL, LIST("-q")).file->is_empty);
}

static void bad_file_applies_in_no_part_and_names_its_place(void **state)
{
    (void)state;
    write_file("a.yaml", "id: a\nqcmp_port: abc\n");
    assert_bad(LIST("-c", "a.yaml"),
               "a.yaml:2:12: qcmp_port: expected a number from 0 to 65535, found 'abc'");
}

static void commands_do_not_read_the_file(void **state)
{
    (void)state;
    write_file("quilkin.yaml", "nonsense\n");
    assert_int_equal(load(NULL, LIST("ping")).result, CONFIG_COMMAND);
    assert_int_equal(load(NULL, LIST("--service.qcmp=false")).result, CONFIG_NOTHING);
    assert_int_equal(load(NULL, LIST("-q")).result, CONFIG_BAD_FILE);
}

static void assert_difference(const char *text, const char *expected)
{
    struct config_name names[CONFIG_DIFF_MAX];

    write_file("a.yaml", "version: v1alpha1\n");
    struct load before = load(NULL, LIST("-c", "a.yaml"));
    write_file("a.yaml", text);
    struct load after = load(NULL, LIST("-c", "a.yaml"));
    assert_int_equal(before.result, CONFIG_SERVE);
    assert_int_equal(after.result, CONFIG_SERVE);
    size_t count = config_diff(before.config, after.config, names);
    assert_int_equal(count, expected != NULL);
    if (expected != NULL)
        assert_string_equal(names[0].text, expected);
    config_keep_fixed(after.config, before.config);
    assert_int_equal(config_diff(before.config, after.config, names), 0);
}

static void differences_are_those_that_need_a_restart(void **state)
{
    (void)state;
    assert_difference("paddock: {workers: 2}\n", "paddock.workers");
    assert_difference("paddock: {qcmp: {listen: [127.0.0.1]}}\n", "paddock.qcmp.listen");
    assert_difference("paddock: {qcmp: {listen: [\"::\", 127.0.0.1]}}\n", "paddock.qcmp.listen");
    assert_difference("paddock: {qcmp: {receive_buffer: 1s}}\n", "paddock.qcmp.receive_buffer");
    assert_difference("paddock: {user: root}\n", "paddock.user");
    assert_difference("paddock: {seccomp: false}\n", "paddock.seccomp");
    assert_difference("paddock: {pin: true}\n", "paddock.pin");
    assert_difference("paddock: {realtime: true}\n", "paddock.realtime");
    assert_difference("paddock: {low_latency: true}\n", "paddock.low_latency");
    assert_difference("paddock: {user: nobody, qcmp: {listen: [\"::\"]}}\n", NULL);
    assert_difference("paddock: {xdp: {mode: auto}}\n", "paddock.xdp.mode");
    assert_difference("paddock: {xdp: {mode: on}}\n", "paddock.xdp.mode");
    assert_difference("paddock: {xdp: {mode: true}}\n", "paddock.xdp.mode");
    assert_difference("paddock: {xdp: {attach: generic}}\n", "paddock.xdp.attach");
    assert_difference("paddock: {xdp: {interface: eth0}}\n", "paddock.xdp.interface");
    assert_difference("paddock: {xdp: {mode: off}}\n", NULL);
    assert_difference("id: a\nqcmp_port: 1\nfilters: []\n"
                      "paddock: {qcmp: {max_age: 1s}}\n",
                      NULL);
}

static void texts_that_are_set_in_other_ways_do_not_differ(void **state)
{
    struct config_name names[CONFIG_DIFF_MAX];

    (void)state;
    write_file("a.yaml", "paddock: {user: ab}\n");
    struct load before = load(NULL, LIST("-c", "a.yaml"));
    write_file("a.yaml", "paddock: {user: longer}\n");
    struct load after = load(NULL, LIST("-c", "a.yaml", "--user", "ab"));
    assert_int_equal(config_diff(before.config, after.config, names), 0);
}

static void the_guard_is_on_unless_told_otherwise_and_a_flag_wins(void **state)
{
    (void)state;
    write_file("a.yaml", "paddock: {qcmp: {guard: {enabled: false, leak: 7}}}\n");
    struct load none = load(NULL, LIST("-q"));
    struct load file = load(NULL, LIST("-c", "a.yaml"));
    struct load flag = load(NULL, LIST("-c", "a.yaml", "--service.qcmp.guard"));
    struct load variable = load("QUILKIN_SERVICE_QCMP_GUARD=false", LIST("-q"));
    assert_true(none.qcmp->guard_enabled);
    assert_false(file.qcmp->guard_enabled);
    assert_true(flag.qcmp->guard_enabled);
    assert_int_equal(flag.qcmp->guard.leak, 7);
    assert_false(variable.qcmp->guard_enabled);
}

static void rules_of_the_guard_replace_those_that_stand_by_default(void **state)
{
    (void)state;
    write_file("a.yaml", "paddock: {qcmp: {guard: {ipv4: [{prefix: 28, rate: 1, burst: 60}]}}}\n");
    struct load loaded = load(NULL, LIST("-c", "a.yaml"));
    const struct guard_rules *rules = &loaded.qcmp->guard;
    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_int_equal(rules->ipv4.count, 1);
    assert_int_equal(rules->ipv4.items[0].prefix, 28);
    assert_int_equal(rules->ipv4.items[0].burst, 60);
    assert_int_equal(rules->ipv6.count, 2);
}

static void a_hundred_thousand_prefixes_are_read(void **state)
{
    (void)state;
    FILE *file = fopen("a.yaml", "w");
    assert_non_null(file);
    fputs("paddock:\n  qcmp:\n    access:\n      deny:\n", file);
    for (int i = 0; i < 100000; i++)
        fprintf(file, "        - 2001:db8:%x:%x::/64\n", i / 65536, i % 65536);
    assert_int_equal(fclose(file), 0);
    struct load loaded = load(NULL, LIST("-c", "a.yaml"));
    assert_int_equal(loaded.result, CONFIG_SERVE);
    assert_int_equal(loaded.qcmp->deny.count, 100000);
}

static void json_has_file_and_flags_merged(void **state)
{
    (void)state;
    write_file("a.yaml", "id: file\n"
                         "paddock: {qcmp: {listen: [127.0.0.1, \"::1\"], max_age: 1500us}}\n");
    struct load loaded = load(NULL, LIST("-c", "a.yaml", "--service.qcmp.port=9"));
    assert_int_equal(loaded.result, CONFIG_SERVE);
    json_t *json = config_to_json(loaded.config, false);
    assert_non_null(json);
    assert_int_equal(json_object_del(json, "flags"), 0);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(
        text, "{\"version\":\"v1alpha1\",\"id\":\"file\",\"icao_code\":\"XXXX\","
              "\"paddock\":{\"pin\":false,\"realtime\":false,\"low_latency\":false,"
              "\"user\":\"nobody\",\"seccomp\":true,"
              "\"admin\":{\"show_tokens\":false,\"show_sessions\":false},"
              "\"xdp\":{\"mode\":\"off\",\"attach\":\"native\"},"
              "\"qcmp\":{\"listen\":[\"127.0.0.1\",\"::1\"],"
              "\"receive_buffer\":\"20ms\",\"max_age\":\"1500us\","
              "\"guard\":{\"enabled\":true,\"loopback\":false,"
              "\"replies_per_second\":200000,"
              "\"ipv4\":[{\"prefix\":32,\"rate\":100,\"burst\":200},"
              "{\"prefix\":24,\"rate\":1000,\"burst\":2000}],"
              "\"ipv6\":[{\"prefix\":64,\"rate\":100,\"burst\":200},"
              "{\"prefix\":48,\"rate\":1000,\"burst\":2000}],\"leak\":64}},"
              "\"udp\":{\"port\":7777,\"listen\":[\"::\"],"
              "\"receive_buffer\":\"20ms\",\"gro\":false,\"dscp\":false,\"loopback\":false,"
              "\"session_timeout\":\"60s\",\"sessions\":{\"max\":0,"
              "\"max_per_address\":0,\"max_packets_per_second\":0,"
              "\"max_bytes_per_second\":0,\"removed_endpoint\":\"keep\","
              "\"migrate_by\":\"nothing\",\"log_rate\":0},"
              "\"clusters\":{},\"listeners\":[]},"
              "\"phoenix\":{\"port\":7600,\"listen\":[\"::\"],"
              "\"interval\":{\"min\":\"1s\",\"max\":\"60s\"},"
              "\"cors\":false,\"requests_per_second\":100,"
              "\"loopback\":false},"
              "\"xds\":{\"max_response_bytes\":268435456,"
              "\"max_request_bytes\":4194304,\"max_per_address\":2048,\"ping_interval\":\"360s\"},"
              "\"mds\":{\"agents\":[],\"trusted_proxies\":[]}},"
              "\"qcmp_port\":9}");
    free(text);
    json_decref(json);
}

static void json_shows_flags_and_access_lists_when_asked(void **state)
{
    (void)state;
    write_file("a.yaml",
               "paddock: {qcmp: {access: {allow: [10.0.0.0/8], deny: [10.1.0.7, \"::/0\"]}}}\n");
    struct load loaded =
        load(NULL, LIST("-c", "a.yaml", "--locality.region=north", "--termination-timeout=3s"));
    json_t *json = config_to_json(loaded.config, true);
    const json_t *flags = json_object_get(json, "flags");

    assert_string_equal(json_string_value(json_object_get(flags, "locality.region")), "north");
    assert_string_equal(json_string_value(json_object_get(flags, "termination-timeout")), "3s");
    assert_string_equal(json_string_value(json_object_get(flags, "admin.address")), "[::]:8000");
    assert_null(json_object_get(flags, "locality.region.zone"));
    char *access = json_dumps(
        json_object_get(json_object_get(json_object_get(json, "paddock"), "qcmp"), "access"),
        JSON_COMPACT);
    assert_string_equal(access, "{\"allow\":[\"10.0.0.0/8\"],\"deny\":[\"10.1.0.7/32\",\"::/0\"]}");
    free(access);
    json_decref(json);
}

/* The configuration as text, without what only flags say and without what is only kept. */
static char *comparable_new(const struct config *config)
{
    static const char *const left_out[] = {"flags", "filters", "clusters", "datacenters"};
    json_t *json = config_to_json(config, true);

    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        (void)json_object_del(json, left_out[i]);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

static void example_has_the_defaults(void **state)
{
    (void)state;
    char example_path[] = PADDOCK_EXAMPLE;
    struct load none = load(NULL, LIST("-q"));
    struct load example = load(NULL, LIST("-q", "-c", example_path));

    assert_int_equal(example.result, CONFIG_SERVE);
    assert_true(example.file->is_loaded);
    char *expected = comparable_new(none.config);
    char *found = comparable_new(example.config);
    assert_string_equal(found, expected);
    free(expected);
    free(found);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(flags_win_over_variables_and_those_over_the_file),
        IN_FOLDER(variable_names_the_file),
        IN_FOLDER(default_file_is_taken_when_it_is_there),
        IN_FOLDER(file_that_was_named_must_be_readable),
        IN_FOLDER(file_of_16_mebibytes_is_taken_and_a_byte_more_is_not),
        IN_FOLDER(many_values_are_refused),
        IN_FOLDER(many_blank_lines_are_refused),
        IN_FOLDER(bad_file_applies_in_no_part_and_names_its_place),
        IN_FOLDER(a_file_with_nothing_but_comments_is_known),
        IN_FOLDER(commands_do_not_read_the_file),
        IN_FOLDER(differences_are_those_that_need_a_restart),
        IN_FOLDER(texts_that_are_set_in_other_ways_do_not_differ),
        IN_FOLDER(json_has_file_and_flags_merged),
        IN_FOLDER(the_guard_is_on_unless_told_otherwise_and_a_flag_wins),
        IN_FOLDER(rules_of_the_guard_replace_those_that_stand_by_default),
        IN_FOLDER(a_hundred_thousand_prefixes_are_read),
        IN_FOLDER(example_has_the_defaults),
        IN_FOLDER(json_shows_flags_and_access_lists_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, free_all);
}

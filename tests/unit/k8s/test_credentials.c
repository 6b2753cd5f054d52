/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cmocka.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "k8s/credentials.h"
#include "k8s/watcher.h"

#define HEAD                                                                                       \
    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"                  \
    "clusters: [{name: c, cluster: {server: \"https://192.0.2.1:6443/\"}}]\nusers: [{name: u, "    \
    "user: "

static int parse(const char *text, struct credentials_facts *facts, struct error *error)
{
    const struct credentials_files files = {.opened = NULL};
    const struct credentials_source source = {"/nowhere/config", text, strlen(text)};

    return credentials_parse(&source, 1, &files, facts, error);
}

static void a_token_and_a_server_are_found(void **state)
{
    struct credentials_facts facts = {0};

    (void)state;
    assert_int_equal(parse(HEAD "{token: abc}}]\n", &facts, NULL), 0);
    assert_string_equal(facts.server, "https://192.0.2.1:6443");
    assert_string_equal(facts.token.data, "abc");
    assert_null(facts.authorities.data);
    assert_false(facts.is_unverified);
    credentials_facts_fini(&facts);
}

static void data_may_stand_in_lines_and_nothing_is_nothing(void **state)
{
    struct credentials_facts facts = {0};

    (void)state;
    assert_int_equal(parse(HEAD "{exec: null, client-certificate-data: \"YWJj\\nZGVm\\r\\n\", "
                                "client-key-data: YQ==}}]\n",
                           &facts, NULL),
                     0);
    assert_string_equal(facts.certificate.data, "abcdef");
    credentials_facts_fini(&facts);
}

static void what_cannot_be_used_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"", "expected a map with current-context"},
        {"[]", "expected a map with current-context"},
        {"current-context: x", "contexts: none is 'x' and has a cluster"},
        {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]",
         "clusters: none is 'c'"},
        {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, "
         "cluster: {server: ftp}}]",
         "server: expected an http or https URL"},
        {HEAD "{exec: {command: a}}}]",
         "user.exec: not supported, as no program is run for credentials, and nobody is "
         "impersonated; expected token, tokenFile or client-certificate"},
        {HEAD "{token: \"a b\"}}]", "the token has a character that no token has"},
        {HEAD "{token: \"a\\r\\nX: y\"}}]", "the token has a character that no token has"},
        {HEAD "{tokenFile: none}}]", "cannot read /nowhere/none: No such file or directory"},
        {HEAD "{client-key-data: YQ==}}]",
         "client-certificate and client-key: one needs the other"},
        {HEAD "{client-key-data: '?'}}]", "client-key-data: expected base64"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct credentials_facts facts = {0};
        struct error error = {0};

        assert_true(parse(rows[i].text, &facts, &error) < 0);
        assert_memory_equal(error.text, "/nowhere/config: ", 17);
        assert_string_equal(error.text + 17, rows[i].error);
        assert_null(facts.server);
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void remove_file(const char *folder, const char *name)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void the_first_of_several_files_that_has_a_name_wins(void **state)
{
    static const char second[] = "{current-context: y, clusters: [{name: c, cluster: {server: "
                                 "\"http://second\"}}], users: [{name: u, user: {tokenFile: "
                                 "token}}]}";
    char folder[] = "/tmp/paddock-kubeconfig-XXXXXX", below[64];
    struct k8s_places places = {.host = ""};
    struct credentials *credentials = NULL;
    struct error error = {0};
    struct log log;

    (void)state;
    log_init(&log, &(struct log_options){.fd = -1, .level = LOG_LEVEL_OFF});
    assert_non_null(mkdtemp(folder));
    snprintf(below, sizeof below, "%s/below", folder);
    assert_int_equal(mkdir(below, 0700), 0);
    snprintf(places.kubeconfig, sizeof places.kubeconfig, ":%s/none:%s/first::%s/second:%s/later",
             folder, folder, below, folder);
    write_file(folder, "first",
               "{current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], "
               "users: [{name: v, user: {token: other}}]}");
    write_file(below, "second", second);
    write_file(below, "token", "below");
    assert_int_equal(credentials_new(&credentials, &places, "/nowhere", &error), 0);
    const struct credentials_facts *facts = credentials_facts(credentials);
    assert_string_equal(facts->server, "http://second");
    assert_string_equal(facts->token.data, "below");
    write_file(folder, "none", "{users: [{name: u, user: {token: first}}]}"); /* it appears */
    credentials_refresh(credentials, &log);
    assert_string_equal(facts->token.data, "first");
    assert_string_equal(facts->server, "http://second");
    credentials_free(credentials);

    write_file(below, "second", "{clusters: [{name: c, cluster: {server: ftp}}]}");
    assert_int_equal(credentials_new(&credentials, &places, "/nowhere", &error), -EINVAL);
    assert_memory_equal(error.text, below, strlen(below));
    assert_string_equal(error.text + strlen(below),
                        "/second: server: expected an http or https URL");
    memset(places.kubeconfig, 'a', 2 * CREDENTIALS_MAX_SOURCES + 2);
    for (unsigned i = 1; i < 2 * CREDENTIALS_MAX_SOURCES + 2; i += 2)
        places.kubeconfig[i] = ':';
    places.kubeconfig[2 * CREDENTIALS_MAX_SOURCES + 2] = '\0';
    assert_int_equal(credentials_new(&credentials, &places, "/nowhere", &error), -E2BIG);
    assert_string_equal(error.text, "KUBECONFIG: expected at most 16 files");
    remove_file(below, "token");
    remove_file(below, "second");
    remove_file(folder, "none");
    remove_file(folder, "first");
    rmdir(below);
    rmdir(folder);
}

static void a_pod_finds_its_account_and_reads_a_rotated_token(void **state)
{
    char folder[] = "/tmp/paddock-account-XXXXXX";
    const struct k8s_places places = {.host = "2001:db8::1", .port = "443"};
    struct credentials *credentials = NULL;
    struct error error = {0};
    struct rlimit files;
    struct log log;

    (void)state;
    log_init(&log, &(struct log_options){.fd = -1, .level = LOG_LEVEL_OFF});
    assert_non_null(mkdtemp(folder));
    assert_int_equal(credentials_new(&credentials, &places, folder, &error), -ENOENT);
    write_file(folder, "ca.crt", "authorities");
    write_file(folder, "token", "one\n");
    assert_int_equal(credentials_new(&credentials, &places, folder, &error), 0);
    const struct credentials_facts *facts = credentials_facts(credentials);
    assert_string_equal(facts->server, "https://[2001:db8::1]:443");
    assert_string_equal(facts->token.data, "one");
    assert_string_equal(facts->authorities.data, "authorities");
    write_file(folder, "token", "three\n");
    credentials_refresh(credentials, &log);
    assert_string_equal(facts->token.data, "three");
    write_file(folder, "token", "");
    credentials_refresh(credentials, &log);
    assert_string_equal(facts->token.data, "three"); /* what is of no use leaves the old */
    write_file(folder, "token", "four\n");           /* read later, where it cannot be at once */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, files.rlim_max}), 0);
    credentials_refresh(credentials, &log);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_string_equal(facts->token.data, "three");
    credentials_refresh(credentials, &log);
    assert_string_equal(facts->token.data, "four");
    credentials_free(credentials);
    remove_file(folder, "token");
    remove_file(folder, "ca.crt");
    rmdir(folder);
}

static void without_a_cluster_there_is_an_error(void **state)
{
    const struct k8s_places places = {.home = ""}, several = {.kubeconfig = "/a:/b"},
                            nothing = {.kubeconfig = ":"};
    struct credentials *credentials = NULL;
    struct error error = {0};

    (void)state;
    assert_int_equal(credentials_new(&credentials, &places, "/nowhere", &error), -ENOENT);
    assert_string_equal(error.text,
                        "no cluster: neither KUBECONFIG nor ~/.kube/config, and not in a pod");
    assert_int_equal(credentials_new(&credentials, &several, "/nowhere", &error), -ENOENT);
    assert_string_equal(error.text, "cannot read /b: No such file or directory");
    assert_int_equal(credentials_new(&credentials, &nothing, "/nowhere", &error), -ENOENT);
    assert_string_equal(error.text, "KUBECONFIG: expected a file");
}

static void tries_come_later_and_later_and_not_all_at_once(void **state)
{
    int64_t backoff_ns = 0, other_ns = 0;

    (void)state;
    assert_int_equal(watcher_wait_ns(&backoff_ns, 0), 250000000);
    assert_int_equal(watcher_wait_ns(&backoff_ns, 0), 500000000);
    assert_int_equal(watcher_wait_ns(&backoff_ns, 0), 1000000000);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(watcher_wait_ns(&backoff_ns, 0), 2000000000);
    assert_int_equal(watcher_wait_ns(&other_ns, 124999999), 374999999);
    assert_int_equal(watcher_wait_ns(&other_ns, UINT64_C(1) << 60),
                     500000000 + (1LL << 60) % 250000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_and_a_server_are_found),
        cmocka_unit_test(data_may_stand_in_lines_and_nothing_is_nothing),
        cmocka_unit_test(what_cannot_be_used_is_refused_with_a_reason),
        cmocka_unit_test(the_first_of_several_files_that_has_a_name_wins),
        cmocka_unit_test(a_pod_finds_its_account_and_reads_a_rotated_token),
        cmocka_unit_test(without_a_cluster_there_is_an_error),
        cmocka_unit_test(tries_come_later_and_later_and_not_all_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

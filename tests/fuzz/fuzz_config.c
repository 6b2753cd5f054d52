/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Configuration files. Oracles: what is accepted, written by field_show() and read again, is
 * the same configuration, and within its limits; what is refused has one plain line that names the
 * file and a place inside it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "catalog/settings.h"
#include "config/file.h"
#include "daemon/settings.h"
#include "qcmp/settings.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses the list of the pieces of a quoted text with many escapes if the text turns
 * out to be wrong: see docs/decisions/0005-libfyaml.md. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

struct loaded {
    struct process_settings process;
    struct qcmp_settings qcmp;
    struct catalog_settings catalog;
};

#define SECTIONS 3

static const struct config_section *const sections[SECTIONS] = {&process_section, &qcmp_section,
                                                                &catalog_section};

static void tables_init(struct field_table tables[SECTIONS], struct loaded *loaded)
{
    void *const settings[SECTIONS] = {&loaded->process, &loaded->qcmp, &loaded->catalog};

    for (size_t i = 0; i < SECTIONS; i++)
        tables[i] = (struct field_table){sections[i]->fields, settings[i]};
}

static int load(const char *text, size_t bytes, struct loaded *loaded, struct error *error)
{
    const struct config_environment environment = {.host_name = "host"};
    struct config_file file = {.path = "f.yaml"};
    struct field_table tables[SECTIONS];

    memset(loaded, 0, sizeof *loaded);
    tables_init(tables, loaded);
    for (size_t i = 0; i < SECTIONS; i++) {
        field_defaults(tables[i].fields, tables[i].settings);
        if (sections[i]->defaults != NULL)
            sections[i]->defaults(tables[i].settings, &environment);
    }
    return file_apply(&file, text, bytes, &(struct file_tables){tables, SECTIONS}, error);
}

static void release(struct loaded *loaded)
{
    struct field_table tables[SECTIONS];

    tables_init(tables, loaded);
    for (size_t i = 0; i < SECTIONS; i++)
        field_fini(tables[i].fields, tables[i].settings);
}

static void check_limits(const struct loaded *loaded)
{
    const struct process_settings *process = &loaded->process;
    const struct qcmp_settings *qcmp = &loaded->qcmp;

    CHECK(process->workers <= PROCESS_MAX_WORKERS);
    CHECK(process->id[0] != '\0' && text_is_plain(process->id));
    CHECK(strlen(process->icao_code) == 4);
    CHECK(process->xdp <= PROCESS_XDP_ON && process->xdp_attach <= PROCESS_XDP_GENERIC);
    CHECK(strlen(process->xdp_interfaces) < PROCESS_INTERFACES_BYTES);
    CHECK(process->user[0] != '\0' && strlen(process->user) < PROCESS_USER_BYTES);
    CHECK(process->admin_enabled && process->admin.target.port == 8000);
    CHECK(qcmp->listen_count >= 1 && qcmp->listen_count <= NET_MAX_ADDRESSES);
    CHECK(qcmp->receive_buffer_ns > 0 && qcmp->receive_buffer_ns <= INT64_C(5000000000));
    CHECK(qcmp->max_age_ns >= 0);
    CHECK(qcmp->guard.ipv4.count >= 1 && qcmp->guard.ipv4.count <= GUARD_LEVELS);
}

static json_t *show(const struct loaded *loaded)
{
    const void *settings[SECTIONS] = {&loaded->process, &loaded->qcmp, &loaded->catalog};
    json_t *json = json_object();

    CHECK(json != NULL);
    for (size_t i = 0; i < SECTIONS; i++)
        CHECK(field_show(sections[i]->fields, settings[i], json, true, true) == 0);
    return json;
}

/* A JSON text is a YAML text. */
static void check_round_trip(const struct loaded *loaded)
{
    struct error error;
    struct loaded again;
    json_t *json = show(loaded);
    char *text = json_dumps(json, JSON_COMPACT);

    CHECK(text != NULL);
    if (strlen(text) < 1000000) {
        if (load(text, strlen(text), &again, &error) != 0) {
            fprintf(stderr, "%s\n%s\n", text, error.text);
            abort();
        }
        json_t *json_again = show(&again);
        CHECK(json_equal(json, json_again));
        json_decref(json_again);
        release(&again);
    }
    free(text);
    json_decref(json);
}

static void check_error(const char *error, const uint8_t *data, size_t size)
{
    unsigned line = 0, column = 0, lines = 1;

    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n' || data[i] == '\r';
    CHECK(sscanf(error, "f.yaml:%u:%u: ", &line, &column) == 2);
    CHECK(line >= 1 && line <= lines && column >= 1);
    CHECK(strchr(error, '\n') == NULL && strlen(error) < ERROR_TEXT_BYTES - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct loaded loaded;
    struct error error;

    if (load((const char *)data, size, &loaded, &error) == 0) {
        check_limits(&loaded);
        check_round_trip(&loaded);
    } else {
        check_error(error.text, data, size);
    }
    release(&loaded);
    return 0;
}

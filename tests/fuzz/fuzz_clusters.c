/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Filters, clusters and data centres of a file. Oracles: what is accepted, shown and read again is
 * the same, also by the catalog, which takes what it shows; what is refused has one line that names
 * a place inside the file.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/catalog_text.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* docs/decisions/0005-libfyaml.md says what libfyaml loses. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static void check_again(const struct catalog_settings *settings)
{
    struct catalog_settings again;
    struct error error = {0};
    json_t *json = json_object();

    CHECK(field_show(catalog_section.fields, settings, json, true, true) == 0);
    char *text = json_dumps(json, JSON_COMPACT);
    CHECK(text != NULL);
    if (strlen(text) < 1000000) {
        if (catalog_text_parse(text, strlen(text), &again, &error) != 0) {
            fprintf(stderr, "%s\n%s\n", text, error.text);
            abort();
        }
        CHECK(clusters_equal(settings->config.clusters, again.config.clusters));
        CHECK(datacenters_equal(settings->config.datacenters, again.config.datacenters));
        CHECK(settings->config.filters == NULL
                  ? again.config.filters == NULL
                  : json_equal(settings->config.filters, again.config.filters));
        field_fini(catalog_section.fields, &again);
    }
    free(text);
    json_decref(json);
}

static void check_catalog(const struct catalog_settings *settings)
{
    struct log log;
    struct catalog *catalog;
    struct catalog_change change;
    struct catalog_settings again;
    struct error error = {0};
    json_t *json = json_object();

    log_init(&log, &(struct log_options){.fd = -1, .level = LOG_LEVEL_OFF});
    CHECK(catalog_new(&catalog, NULL, &log) == 0);
    CHECK(catalog_settings_change(settings, CATALOG_CONFIG, "eu", &change) == 0);
    CHECK(catalog_update(catalog, CATALOG_CONFIG, &change) == 0);
    CHECK(catalog_read(catalog)->number <= 2);
    CHECK(clusters_find(catalog_read(catalog)->clusters, "") == NULL);
    CHECK(catalog_show(catalog, json, false) == 0);
    json_object_del(json, "paddock");
    json_object_del(json, "datacenters");
    char *text = json_dumps(json, JSON_COMPACT);
    CHECK(text != NULL);
    if (strlen(text) < 1000000) {
        CHECK(catalog_text_parse(text, strlen(text), &again, &error) == 0);
        CHECK(again.config.clusters->count == catalog_read(catalog)->clusters->count);
        field_fini(catalog_section.fields, &again);
    }
    free(text);
    json_decref(json);
    catalog_free(catalog);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalog_settings settings;
    struct error error = {0};
    unsigned line = 0, column = 0, lines = 1;

    if (catalog_text_parse((const char *)data, size, &settings, &error) == 0) {
        check_again(&settings);
        check_catalog(&settings);
    } else {
        for (size_t i = 0; i < size; i++)
            lines += data[i] == '\n' || data[i] == '\r';
        CHECK(sscanf(error.text, "%u:%u: ", &line, &column) == 2);
        CHECK(line >= 1 && line <= lines && column >= 1 && strchr(error.text, '\n') == NULL);
    }
    field_fini(catalog_section.fields, &settings);
    return 0;
}

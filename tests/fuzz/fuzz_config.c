/** @file
 * Configuration files. Oracles: what is accepted, written by config_to_json() and read again, is
 * the same configuration, and within its limits; what is refused has one plain line that names the
 * file and a place inside it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/config.h"
#include "config/file.h"
#include "config/settings.h"
#include "support/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses the list of the pieces of a quoted text with many escapes if the text turns
 * out to be wrong: see docs/decisions/0005-libfyaml.md. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libfyaml.so";
}

static int load(const char *text, size_t bytes, struct config *config, char *error)
{
    struct file_text file = {.name = "f.yaml", .text = text, .bytes = bytes};

    settings_defaults(config, "host");
    return file_apply(config, &file, error);
}

static void check_limits(const struct config *config)
{
    CHECK(config->workers <= CONFIG_MAX_WORKERS);
    CHECK(config->service_id[0] != '\0' && text_is_plain(config->service_id));
    CHECK(strlen(config->icao_code) == 4);
    CHECK(config->listen_count >= 1 && config->listen_count <= CONFIG_MAX_LISTEN);
    CHECK(config->receive_buffer_ns > 0 && config->receive_buffer_ns <= INT64_C(10000000000));
    CHECK(config->max_age_ns >= 0);
    CHECK(config->user[0] != '\0' && strlen(config->user) < CONFIG_USER_BYTES);
    CHECK(config->admin_enabled && config->admin.port == 8000);
}

/* A JSON text is a YAML text; the flags are not part of the file. */
static void check_round_trip(const struct config *config)
{
    char error[CONFIG_ERROR_BYTES];
    const char *names[CONFIG_DIFF_MAX];
    struct config again;
    json_t *json = config_to_json(config, true);

    CHECK(json != NULL);
    CHECK(json_object_del(json, "flags") == 0);
    char *text = json_dumps(json, JSON_COMPACT);
    CHECK(text != NULL);
    if (strlen(text) < 1000000) {
        if (load(text, strlen(text), &again, error) != 0) {
            fprintf(stderr, "%s\n%s\n", text, error);
            abort();
        }
        json_t *json_again = config_to_json(&again, true);
        CHECK(json_object_del(json_again, "flags") == 0);
        CHECK(json_equal(json, json_again));
        CHECK(config_diff(config, &again, names) == 0);
        CHECK(again.qcmp_port == config->qcmp_port && again.max_age_ns == config->max_age_ns);
        CHECK(again.receive_buffer_ns == config->receive_buffer_ns);
        json_decref(json_again);
        config_fini(&again);
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
    CHECK(strchr(error, '\n') == NULL && strlen(error) < CONFIG_ERROR_BYTES - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config;
    char error[CONFIG_ERROR_BYTES];

    if (load((const char *)data, size, &config, error) == 0) {
        check_limits(&config);
        check_round_trip(&config);
    } else {
        check_error(error, data, size);
    }
    config_fini(&config);
    return 0;
}

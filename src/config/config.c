#include "config/config.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "config/file.h"
#include "config/flags.h"
#include "config/settings.h"

static void set_log_level(struct config *config, const struct config_environment *environment)
{
    log_level_parse(flags_variable(environment, "RUST_LOG"), &config->log_level,
                    &config->log_directives_ignored);
    if (config->quiet)
        config->log_level = LOG_LEVEL_OFF;
}

/* Only the flags say which file there is, and they also win over it: hence before and after. */
static enum config_result load_file(struct config *config, const struct flags *flags,
                                    const struct config_environment *environment,
                                    struct config_report *report)
{
    if (file_load(config, report) < 0)
        return CONFIG_BAD_FILE;
    return flags_apply(config, flags, environment, false, report) == 0 ? CONFIG_SERVE
                                                                       : CONFIG_USAGE;
}

enum config_result config_load(struct config *config, int argc, char *const *argv,
                               const struct config_environment *environment,
                               struct config_report *report)
{
    struct flags flags;
    struct config loaded;
    enum config_result result = flags_read(&flags, argc, argv, report);

    if (result != CONFIG_SERVE && result != CONFIG_COMMAND)
        return result;
    settings_defaults(&loaded, environment->host_name);
    if (flags_apply(&loaded, &flags, environment, result == CONFIG_COMMAND, report) < 0)
        return CONFIG_USAGE;
    if (result == CONFIG_SERVE && !loaded.qcmp_enabled)
        result = CONFIG_NOTHING;
    if (result == CONFIG_SERVE)
        result = load_file(&loaded, &flags, environment, report);
    if (result == CONFIG_USAGE || result == CONFIG_BAD_FILE) {
        config_fini(&loaded);
        return result;
    }
    set_log_level(&loaded, environment);
    *config = loaded;
    return result;
}

void config_fini(struct config *config)
{
    json_decref(config->filters);
    json_decref(config->clusters);
    json_decref(config->datacenters);
    prefix_list_fini(&config->allow);
    prefix_list_fini(&config->deny);
    config->filters = NULL;
    config->clusters = NULL;
    config->datacenters = NULL;
}

const char *config_watch_path(const struct config *config, unsigned index)
{
    if (config->file_given)
        return index == 0 ? config->file : NULL;
    for (unsigned i = 0; i < index; i++) {
        const char *before = file_default_path(i);
        if (before == NULL || (config->file_loaded && strcmp(before, config->file) == 0))
            return NULL;
    }
    return file_default_path(index);
}

/* What stays as it was at the start: where a configuration has it, and as whose change it is told.
 * Bytes are compared, so nothing may lie between the members; of a text those up to its end. */
struct fixed {
    const char *name;
    size_t offset, bytes;
    bool is_text;
};

#define FIXED(name_, first, last, is_text_)                                                        \
    {                                                                                              \
        .name = (name_), .offset = offsetof(struct config, first),                                 \
        .bytes = offsetof(struct config, last) + sizeof((struct config *)NULL)->last -             \
                 offsetof(struct config, first),                                                   \
        .is_text = (is_text_)                                                                      \
    }

static const struct fixed FIXED_SETTINGS[] = {
    FIXED("paddock.engine", engine, engine, false),
    FIXED("paddock.workers", workers, workers, false),
    FIXED("paddock.pin", pin, pin, false),
    FIXED("paddock.realtime", realtime, realtime, false),
    FIXED("paddock.low_latency", low_latency, low_latency, false),
    FIXED("paddock.listen", listen_count, listen, false), /* what is not used of it is zero */
    FIXED("paddock.receive_buffer", receive_buffer_ns, receive_buffer_ns, false),
    FIXED("paddock.user", user, user, true),
    FIXED("paddock.seccomp", seccomp, seccomp, false),
    FIXED("--admin.enabled", admin_enabled, admin_enabled, false),
    FIXED("--admin.address", admin_address, admin, true), /* and what was read from it */
};
#define FIXED_COUNT (sizeof FIXED_SETTINGS / sizeof FIXED_SETTINGS[0])

static_assert(FIXED_COUNT <= CONFIG_DIFF_MAX, "the caller's array is too small");

static bool differs(const struct fixed *fixed, const struct config *a, const struct config *b)
{
    const char *in_a = (const char *)a + fixed->offset;
    const char *in_b = (const char *)b + fixed->offset;
    return fixed->is_text ? strcmp(in_a, in_b) != 0 : memcmp(in_a, in_b, fixed->bytes) != 0;
}

size_t config_diff(const struct config *running, const struct config *loaded,
                   const char *names[CONFIG_DIFF_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < FIXED_COUNT; i++) {
        if (differs(&FIXED_SETTINGS[i], running, loaded))
            names[count++] = FIXED_SETTINGS[i].name;
    }
    return count;
}

void config_keep_fixed(struct config *loaded, const struct config *running)
{
    for (size_t i = 0; i < FIXED_COUNT; i++) {
        size_t offset = FIXED_SETTINGS[i].offset;
        memcpy((char *)loaded + offset, (const char *)running + offset, FIXED_SETTINGS[i].bytes);
    }
}

#include "config/config.h"

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
    if (file_load(config, report->error) < 0)
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

size_t config_diff(const struct config *running, const struct config *loaded,
                   const char *names[CONFIG_DIFF_MAX])
{
    bool is_listen_same = running->listen_count == loaded->listen_count &&
                          memcmp(running->listen, loaded->listen,
                                 running->listen_count * sizeof running->listen[0]) == 0;
    const struct {
        const char *name;
        bool differs;
    } settings[] = {
        {"paddock.engine", running->engine != loaded->engine},
        {"paddock.workers", running->workers != loaded->workers},
        {"paddock.listen", !is_listen_same},
        {"paddock.receive_buffer", running->receive_buffer_ns != loaded->receive_buffer_ns},
        {"paddock.user", strcmp(running->user, loaded->user) != 0},
        {"paddock.seccomp", running->seccomp != loaded->seccomp},
        {"--admin.enabled", running->admin_enabled != loaded->admin_enabled},
        {"--admin.address", strcmp(running->admin_address, loaded->admin_address) != 0},
    };
    size_t count = 0;

    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (settings[i].differs)
            names[count++] = settings[i].name;
    }
    return count;
}

void config_keep_fixed(struct config *loaded, const struct config *running)
{
    loaded->engine = running->engine;
    loaded->workers = running->workers;
    loaded->listen_count = running->listen_count;
    memcpy(loaded->listen, running->listen, sizeof loaded->listen);
    loaded->receive_buffer_ns = running->receive_buffer_ns;
    memcpy(loaded->user, running->user, sizeof loaded->user);
    loaded->seccomp = running->seccomp;
    loaded->admin_enabled = running->admin_enabled;
    memcpy(loaded->admin_address, running->admin_address, sizeof loaded->admin_address);
    loaded->admin = running->admin;
}

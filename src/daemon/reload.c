/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "catalog/settings.h"
#include "daemon/operator.h"

#define SHOWN_BYTES 512

/* What does not fit as a region is none, as for the locality. */
static void tell_self(struct catalog *catalog, const struct process_settings *process,
                      const char *locality)
{
    struct catalog_self self = *catalog_self(catalog);

    snprintf(self.id, sizeof self.id, "%s", process->id);
    snprintf(self.icao_code, sizeof self.icao_code, "%s", process->icao_code);
    snprintf(self.region, sizeof self.region, "%.127s", process->region);
    snprintf(self.locality, sizeof self.locality, "%s", locality);
    catalog_set_self(catalog, &self);
}

int reload_tell_catalog(struct catalog *catalog, const struct config *config)
{
    static const enum catalog_source sources[] = {CATALOG_CONFIG, CATALOG_FS, CATALOG_STATIC};
    const struct catalog_settings *settings = config_settings(config, &catalog_section);
    const struct process_settings *process = config_settings(config, &process_section);
    struct catalog_change changes[sizeof sources / sizeof sources[0]];
    struct locality parts = {.region = ""};
    char locality[LOCALITY_TEXT_BYTES];
    size_t made = 0, told = 0;
    int error = 0;

    snprintf(parts.region, sizeof parts.region, "%.127s", process->region);
    snprintf(parts.zone, sizeof parts.zone, "%.127s", process->zone);
    snprintf(parts.sub_zone, sizeof parts.sub_zone, "%.127s", process->sub_zone);
    if (locality_format(&parts, locality) != 0)
        locality[0] = '\0';
    while (made < sizeof sources / sizeof sources[0] && error == 0) {
        error = catalog_settings_change(settings, sources[made], locality, &changes[made]);
        made += error == 0;
    }
    /* The files alone change at a reload. Where memory runs out between the two, the first has
     * changed all the same, and the next reload brings the other. */
    for (; told < made && error == 0; told++)
        error = catalog_update(catalog, sources[told], &changes[told]);
    for (; told < made; told++)
        catalog_change_fini(&changes[told]);
    if (error == 0)
        tell_self(catalog, process, locality);
    return error;
}

static void refuse(struct daemon *daemon, struct config *next, const char *error)
{
    atomic_fetch_add_explicit(&daemon->reloads_failed, 1, memory_order_relaxed);
    LOG_EVENT(daemon->log, LOG_LEVEL_ERROR,
              log_text("message", "configuration not reloaded: the running one stays"),
              log_text("error", error));
    config_free(next);
}

/* The next look compares with what was read, not with what was there at the last look. */
static void note_files(struct daemon *daemon, const struct config *next)
{
    const struct config_file *file = config_file(next);
    const struct config_file *provider = config_provider(next);
    for (unsigned i = 0; i < daemon->watches_count; i++) {
        struct watch *watch = &daemon->watches[i];
        if (file->is_loaded && strcmp(watch->path, file->path) == 0)
            watch->known = file->identity;
        if (provider != NULL && provider->identity.exists &&
            strcmp(watch->path, provider->path) == 0)
            watch->known = provider->identity;
    }
}

static void count_provider(struct daemon *daemon)
{
    atomic_fetch_add_explicit(&daemon->provider_failures, 1, memory_order_relaxed);
}

/* A program that writes a file anew may have cleared or removed it first; what it had, access lists
 * for one, would be gone with it. Returns what is missing, or NULL. */
static const char *find_loss(const struct config_file *before, const struct config_file *now)
{
    if (before == NULL || !before->is_loaded || before->is_empty)
        return NULL;
    if (now->is_empty)
        return "there is nothing in the file now";
    return now->is_loaded ? NULL : "the file is not there any more";
}

static void refuse_loss(struct daemon *daemon, struct config *next, const char *path,
                        const char *loss)
{
    char shown[SHOWN_BYTES], text[sizeof shown + 96];
    text_escape(path, shown, sizeof shown);
    snprintf(text, sizeof text, "%s: %s; {} in it stands for the defaults", shown, loss);
    refuse(daemon, next, text);
}

static void warn_about_fixed(struct daemon *daemon, const struct config *next)
{
    struct config_name names[CONFIG_DIFF_MAX];
    size_t found = config_diff(daemon->config, next, names);
    for (size_t i = 0; i < found; i++)
        LOG_EVENT(
            daemon->log, LOG_LEVEL_WARN,
            log_text("message", "this setting cannot change at run time: restart to apply it"),
            log_text("setting", names[i].text));
}

/* All that can fail comes before any service commits. Takes a configuration that is fine by
 * itself. */
static void take_over(struct daemon *daemon, struct config *next)
{
    struct error error;
    struct shown *shown = operator_prepare(next);
    size_t prepared = 0;
    int code = shown != NULL ? 0 : -ENOMEM;

    warn_about_fixed(daemon, next);
    config_keep_fixed(next, daemon->config);
    error_system(&error, -ENOMEM, "cannot take it over");
    while (code == 0 && prepared < daemon->running_count) {
        struct running *service = &daemon->running[prepared];
        code = service->ops->prepare(service->self, next, &error);
        prepared += code == 0;
    }
    if (code == 0)
        code = reload_tell_catalog(daemon->catalog, next);
    if (code != 0) {
        while (prepared-- > 0)
            daemon->running[prepared].ops->abandon(daemon->running[prepared].self);
        operator_abandon(shown);
        refuse(daemon, next, error.text);
        return;
    }

    for (size_t i = 0; i < daemon->running_count; i++)
        daemon->running[i].ops->commit(daemon->running[i].self);
    atomic_fetch_add_explicit(&daemon->reloads_ok, 1, memory_order_relaxed);
    operator_show(daemon, shown);
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "configuration reloaded"));
}

bool reload(struct daemon *daemon, bool is_repeated)
{
    const struct config_file *before = config_file(daemon->config);
    struct config_report report;
    struct config *next = NULL;
    enum config_result result = config_load(&next, &daemon->start->source, &report);

    if (result == CONFIG_BAD_FILE && report.is_passing) {
        if (is_repeated)
            return true;
        refuse(daemon, NULL, report.error.text);
        LOG_EVENT(
            daemon->log, LOG_LEVEL_INFO,
            log_text("message", "the configuration file is tried again until it can be read"));
        return true;
    }
    if (result == CONFIG_USAGE || result == CONFIG_BAD_FILE) {
        if (report.is_provider)
            count_provider(daemon);
        refuse(daemon, NULL, report.error.text);
        return false;
    }

    const struct config_file *provider = config_provider(next);
    const char *loss = find_loss(before, config_file(next));
    note_files(daemon, next);
    if (loss != NULL) {
        refuse_loss(daemon, next, before->path, loss);
        return false;
    }
    loss = find_loss(config_provider(daemon->config), provider);
    if (loss != NULL) {
        count_provider(daemon);
        refuse_loss(daemon, next, provider->path, loss);
        return false;
    }
    take_over(daemon, next);
    return false;
}

#include "daemon/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "daemon/sections.h"

#define SHOWN_BYTES 512

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Of a list, or of a map with the key `map`. */
static bool has_any(const json_t *value)
{
    return json_array_size(value) > 0 || json_object_size(json_object_get(value, "map")) > 0;
}

void reload_warn_unused(struct log *log, const struct config *config, uint64_t load)
{
    const struct catalog_settings *catalog = config_settings(config, &catalog_section);
    const struct {
        const char *key;
        const json_t *value;
    } unused[] = {{"filters", catalog->filters},
                  {"clusters", catalog->clusters},
                  {"datacenters", catalog->datacenters}};
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++) {
        if (has_any(unused[i].value))
            LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", "this key is not used yet"),
                      log_text("key", unused[i].key), log_uint("load", load));
    }
}

struct rules_options reload_rules(const struct config *config)
{
    const struct qcmp_settings *qcmp = config_settings(config, &qcmp_section);
    return (struct rules_options){.allow = &qcmp->allow,
                                  .deny = &qcmp->deny,
                                  .guard = qcmp->guard_enabled ? &qcmp->guard : NULL};
}

void reload_warn_receive_buffer(const struct daemon *daemon)
{
    size_t asked = 0, granted = 0;
    qcmp_service_receive_buffer(daemon->service, &asked, &granted);
    if (granted < asked)
        LOG_EVENT(daemon->log, LOG_LEVEL_WARN,
                  log_text("message",
                           "the receive buffer is smaller than asked for: raise net.core.rmem_max"),
                  log_uint("asked_bytes", asked), log_uint("granted_bytes", granted));
}

static void fail(struct daemon *daemon, const char *error)
{
    count(&daemon->reloads_failed);
    LOG_EVENT(daemon->log, LOG_LEVEL_ERROR,
              log_text("message", "configuration not reloaded: the running one stays"),
              log_text("error", error));
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

/* Returns whether the service is where the new configuration wants it; if not, the reload has
 * failed. A port of 0 is the one that was taken at the start. */
static bool move(struct daemon *daemon, const struct qcmp_settings *next)
{
    if (next->port == daemon_qcmp(daemon)->port)
        return true;
    int error = qcmp_service_move(daemon->service, next->port);
    if (error != 0) {
        char text[96];
        count(&daemon->failed_port_changes);
        snprintf(text, sizeof text, "cannot change to QCMP port %u: %s", (unsigned)next->port,
                 strerror(-error));
        fail(daemon, text);
        return false;
    }
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "qcmp port changed"),
              log_uint("port", qcmp_service_port(daemon->service)));
    /* Whoever goes by the log loses nothing that was sent before. */
    qcmp_service_leave(daemon->service);
    reload_warn_receive_buffer(daemon);
    return true;
}

static void apply(struct daemon *daemon, struct config *next, struct rules *rules)
{
    warn_about_fixed(daemon, next);
    uint64_t reloads = atomic_load_explicit(&daemon->reloads_ok, memory_order_relaxed);
    reload_warn_unused(daemon->log, next, reloads + 2); /* after the one at the start */
    config_keep_fixed(next, daemon->config);
    const struct qcmp_settings *qcmp = config_settings(next, &qcmp_section);
    qcmp_service_set_max_age(daemon->service, qcmp->max_age_ns);
    qcmp_service_apply(daemon->service, rules);
    pthread_mutex_lock(&daemon->lock);
    struct config *before = daemon->config;
    daemon->config = next;
    pthread_mutex_unlock(&daemon->lock);
    config_free(before);
    count(&daemon->reloads_ok);
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO, log_text("message", "configuration reloaded"));
}

static void fail_for_now(struct daemon *daemon, const char *error)
{
    fail(daemon, error);
    LOG_EVENT(daemon->log, LOG_LEVEL_INFO,
              log_text("message", "the configuration file is tried again until it can be read"));
}

/* Of a configuration that is fine by itself; takes it. */
static void take_over(struct daemon *daemon, struct config *next)
{
    struct rules *rules;
    struct rules_options options = reload_rules(next);
    int error = qcmp_service_prepare(daemon->service, &options, &rules);
    if (error != 0) {
        fail(daemon, error == -EOPNOTSUPP ? "the engine cannot enforce access lists or the guard"
                                          : strerror(-error));
        config_free(next);
        return;
    }
    if (!move(daemon, config_settings(next, &qcmp_section))) {
        rules_free(rules);
        config_free(next);
        return;
    }
    apply(daemon, next, rules);
}

/* What is wrong with a file that had something in it before, or NULL. Whoever writes it anew may
 * have cleared or removed it first, and access lists with it. */
static const char *find_loss(const struct daemon *daemon, const struct config *next)
{
    const struct config_file *before = config_file(daemon->config), *file = config_file(next);
    if (!before->is_loaded || before->is_empty)
        return NULL;
    if (!file->is_loaded)
        return "the file is not there any more";
    return file->is_empty ? "there is nothing in the file now" : NULL;
}

static void refuse(struct daemon *daemon, struct config *next, const char *loss)
{
    char file[SHOWN_BYTES], text[sizeof file + 96];
    text_escape(config_file(daemon->config)->path, file, sizeof file);
    snprintf(text, sizeof text, "%s: %s; {} in it stands for the defaults", file, loss);
    fail(daemon, text);
    config_free(next);
}

bool reload(struct daemon *daemon, bool is_repeated)
{
    const struct daemon_start *start = daemon->start;
    struct config_report report;
    struct config *next;
    const struct config_source source = {.sections = daemon_sections,
                                         .argc = start->argc,
                                         .argv = start->argv,
                                         .environment = start->environment};
    enum config_result result = config_load(&next, &source, &report);
    if (result == CONFIG_BAD_FILE && report.is_passing) {
        if (!is_repeated)
            fail_for_now(daemon, report.error.text);
        return true;
    }
    if (result == CONFIG_USAGE || result == CONFIG_BAD_FILE) {
        fail(daemon, report.error.text);
        return false;
    }
    const char *loss = find_loss(daemon, next);
    if (loss != NULL)
        refuse(daemon, next, loss);
    else
        take_over(daemon, next);
    return false;
}

#include "daemon/operator.h"

#include <jansson.h>
#include <stdlib.h>

#include <qcmp/version.h>

#include "base/clock.h"
#include "daemon/qcmp_metrics.h"
#include "metrics/system.h"

#ifdef __clang__
#define COMPILER __VERSION__ /* with its name */
#else
#define COMPILER "gcc " __VERSION__
#endif

static bool flag(const atomic_bool *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static uint64_t number(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

bool operator_alive(const struct daemon *daemon)
{
    int64_t ticked_ns = atomic_load_explicit(&daemon->ticked_ns, memory_order_relaxed);
    return flag(&daemon->alive) && clock_monotonic_ns() - ticked_ns < DAEMON_DEAD_NS;
}

static bool live(void *user)
{
    return operator_alive(user);
}

static bool ready(void *user)
{
    const struct daemon *daemon = user;
    return operator_alive(daemon) && !flag(&daemon->stopping);
}

/* All of it under the lock: what is printed shares parts with the configuration. */
static struct http_blob *render_config(const struct daemon *daemon, bool with_access)
{
    json_t *json = config_to_json(&daemon->config, with_access);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    /* The port that serves, where the configuration leaves the choice. */
    bool is_whole = json != NULL && out != NULL &&
                    json_object_set_new(json, "qcmp_port",
                                        json_integer(qcmp_service_port(daemon->service))) == 0 &&
                    json_dumpf(json, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF;
    json_decref(json);
    if (out != NULL && (fclose(out) != 0 || !is_whole)) {
        free(text);
        text = NULL;
    }
    return http_blob_new(text, bytes);
}

static struct http_blob *show_config(bool with_access, void *user)
{
    struct daemon *daemon = user;
    struct http_blob **shown = &daemon->shown[with_access];
    pthread_mutex_lock(&daemon->lock);
    uint64_t version = number(&daemon->reloads_ok);
    if (*shown == NULL || daemon->shown_version[with_access] != version) {
        http_blob_unref(*shown);
        *shown = render_config(daemon, with_access);
        daemon->shown_version[with_access] = version;
    }
    struct http_blob *blob = *shown != NULL ? http_blob_ref(*shown) : NULL;
    pthread_mutex_unlock(&daemon->lock);
    return blob;
}

static void write_metrics(struct metrics *out, void *user)
{
    struct daemon *daemon = user;
    struct qcmp_figures figures = {.active = operator_alive(daemon) ? 1 : 0,
                                   .failed_port_changes = number(&daemon->failed_port_changes)};
    char id[CONFIG_ID_BYTES];
    pthread_mutex_lock(&daemon->lock);
    snprintf(id, sizeof id, "%s", daemon->config.service_id);
    pthread_mutex_unlock(&daemon->lock);
    qcmp_service_sample(daemon->service, &figures.counters, &figures.kernel_drops);
    const struct xdp *xdp = qcmp_service_xdp(daemon->service);

    metrics_info(out, "quilkin_info", "Which service this is.", "id", id, "version", qcmp_version(),
                 "commit", PADDOCK_COMMIT, NULL);
    metrics_info(out, "paddock_build_info", "Which program this is.", "version", qcmp_version(),
                 "commit", PADDOCK_COMMIT, "compiler", COMPILER, NULL);
    metrics_family(out, "quilkin_shutdown_initiated", METRICS_GAUGE, NULL,
                   "Whether the process has been told to stop.");
    metrics_sample(out, flag(&daemon->stopping), NULL);
    qcmp_metrics_write(out, &figures);
    metrics_family(out, "paddock_config_reloads", METRICS_COUNTER, NULL,
                   "Times that the configuration was read again.");
    metrics_sample(out, number(&daemon->reloads_ok), "result", "ok", NULL);
    metrics_sample(out, number(&daemon->reloads_failed), "result", "error", NULL);

    struct counters_sum sum = {0};
    uint64_t answered = 0;
    if (xdp != NULL)
        xdp_count(xdp, &sum, &answered);
    metrics_family(out, "paddock_xdp_attached", METRICS_GAUGE, NULL,
                   "Whether the XDP program is on its interface.");
    metrics_sample(out, xdp != NULL && xdp_is_attached(xdp), NULL);
    metrics_family(out, "paddock_xdp_answered", METRICS_COUNTER, NULL,
                   "Replies by the XDP program, which are among all answered.");
    metrics_sample(out, answered, NULL);
    metrics_family(out, "paddock_xdp_transmit_errors", METRICS_COUNTER, NULL,
                   "Frames of XDP programs that the interface lost, as far as its driver counts "
                   "them.");
    metrics_sample(out, xdp != NULL ? xdp_transmit_errors(xdp) : 0, NULL);
    metrics_system_write(out);
}

struct admin_callbacks operator_callbacks(void)
{
    return (struct admin_callbacks){
        .live = live, .ready = ready, .metrics = write_metrics, .config = show_config};
}

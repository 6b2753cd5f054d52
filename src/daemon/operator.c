#include "daemon/operator.h"

#include <errno.h>
#include <jansson.h>

#include <qcmp/version.h>

#include "base/clock.h"
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

static struct metrics_xdp read_xdp(const struct xdp *xdp)
{
    struct metrics_xdp metrics = {.attached = false};
    struct counters_sum sum = {0};
    if (xdp == NULL)
        return metrics;
    metrics.attached = xdp_is_attached(xdp);
    metrics.transmit_errors = xdp_transmit_errors(xdp);
    xdp_count(xdp, &sum, &metrics.answered);
    return metrics;
}

static int write_metrics(FILE *out, enum metrics_format format, void *user)
{
    struct daemon *daemon = user;
    struct counters_sum sum;
    struct metrics_clock clock;
    struct metrics_process process;
    uint64_t drops;
    char id[PROCESS_ID_BYTES];
    pthread_mutex_lock(&daemon->lock);
    snprintf(id, sizeof id, "%s", daemon_process(daemon)->id);
    pthread_mutex_unlock(&daemon->lock);
    qcmp_service_sample(daemon->service, &sum, &drops);
    struct metrics_sources sources = {.id = id,
                                      .version = qcmp_version(),
                                      .commit = PADDOCK_COMMIT,
                                      .compiler = COMPILER,
                                      .active = operator_alive(daemon) ? 1 : 0,
                                      .shutting_down = flag(&daemon->stopping),
                                      .counters = &sum,
                                      .kernel_drops = drops,
                                      .failed_port_changes = number(&daemon->failed_port_changes),
                                      .reloads_ok = number(&daemon->reloads_ok),
                                      .reloads_failed = number(&daemon->reloads_failed),
                                      .xdp = read_xdp(qcmp_service_xdp(daemon->service)),
                                      .clock = metrics_clock_read(&clock) == 0 ? &clock : NULL,
                                      .process =
                                          metrics_process_read(&process) == 0 ? &process : NULL};
    return metrics_render(out, &sources, format);
}

static int print_config(FILE *out, const struct daemon *daemon, bool with_access)
{
    json_t *json = config_to_json(daemon->config, with_access);
    if (json == NULL)
        return -ENOMEM;
    /* The port that serves, where the configuration leaves the choice. */
    if (json_object_set_new(json, "qcmp_port", json_integer(qcmp_service_port(daemon->service))) !=
        0) {
        json_decref(json);
        return -ENOMEM;
    }
    int result = json_dumpf(json, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF ? 0 : -EIO;
    json_decref(json);
    return result;
}

/* All of it under the lock: what is printed shares parts with the configuration. */
static int write_config(FILE *out, bool with_access, void *user)
{
    struct daemon *daemon = user;
    pthread_mutex_lock(&daemon->lock);
    int result = print_config(out, daemon, with_access);
    pthread_mutex_unlock(&daemon->lock);
    return result;
}

struct admin_callbacks operator_callbacks(void)
{
    return (struct admin_callbacks){
        .live = live, .ready = ready, .metrics = write_metrics, .config = write_config};
}

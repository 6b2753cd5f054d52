/* SPDX-License-Identifier: Apache-2.0 */
#include "qcmp/service.h"

#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "loop/ports.h"
#include "qcmp/fast.h"
#include "qcmp/metrics.h"
#include "qcmp/responder.h"
#include "qcmp/settings.h"

/* Whom to answer: one version, which does not change. */
struct rules {
    struct retired retired;
    struct responder_rules responder;
    struct guard_parameters limits; /* what responder.limits points to, unless that is NULL */
    struct access *access;          /* the same as responder.access */
};

/* What a worker writes: a cache line of its own. */
struct turn {
    alignas(64) struct responder_turn own;
    struct qcmp *qcmp;
};

struct qcmp {
    struct service_env env;
    struct quiescent_slot rules;
    _Atomic int64_t max_age_ns; /* relaxed: a number by itself */
    struct siphash_key *key;    /* in memory that core dumps leave out, as the rules with it */
    struct guard_set *table; /* NULL as long as the guard was never on; that of `fast`, if there */
    uint32_t swept;          /* sets of it */
    struct qcmp_fast *fast;  /* NULL: sockets alone */
    struct port_counters *counters;
    struct turn *turns;
    bool is_started;
    _Atomic uint64_t failed_port_changes;

    /* Prepared, until a commit. */
    struct rules *next_rules;
    const struct qcmp_settings *next;
    struct ports_slot ports;
};

static void receive(struct port *port, struct packet *packets, unsigned count, void *user)
{
    struct turn *turn = user;
    const struct rules *rules = quiescent_read(&turn->qcmp->rules);
    int64_t max_age_ns = atomic_load_explicit(&turn->qcmp->max_age_ns, memory_order_relaxed);

    turn->own.oldest_ns = max_age_ns > 0 ? port_read_ns(port) - max_age_ns : INT64_MIN;
    if (rules->responder.limits != NULL)
        turn->own.now_ns = (uint64_t)clock_monotonic_ns();
    for (struct packet *packet = packets; packet < packets + count; packet++) {
        enum outcome outcome = responder_answer(packet, &rules->responder, &turn->own);
        if (outcome_kind(outcome) == OUTCOME_KIND_VALID) {
            const struct port_message pong = {.data = packet->data,
                                              .bytes = QCMP_PONG_BYTES,
                                              .to = &packet->peer,
                                              .from = &packet->local,
                                              .stamp_at = QCMP_TRANSMIT_OFFSET,
                                              .received_ns = packet->received_ns,
                                              .is_doubtful = turn->own.is_doubtful};
            port_send(port, &pong);
        }
        port_count(port, outcome, packet);
    }
}

static void rules_release(struct retired *retired)
{
    struct rules *rules = (struct rules *)retired;
    if (rules == NULL)
        return;
    access_free(rules->access);
    guard_secret_free(rules, sizeof *rules);
}

/* Makes a version, also for the driver. The guard's table comes with the first version that needs
 * it, and stays. */
static int prepare_rules(struct qcmp *qcmp, const struct qcmp_settings *settings,
                         struct error *error)
{
    struct rules *made = guard_secret_new(sizeof *made);
    int code = made != NULL ? 0 : -ENOMEM;

    if (code == 0)
        code = access_new(&made->access, &settings->allow, &settings->deny);
    if (code == 0 && settings->guard_enabled && qcmp->table == NULL) {
        code = siphash_key_init(qcmp->key);
        if (code == 0)
            qcmp->table =
                qcmp->fast != NULL ? qcmp_fast_guard_table(qcmp->fast) : guard_table_new();
        if (code == 0 && qcmp->table == NULL)
            code = -ENOMEM;
    }
    if (code == 0) {
        made->responder.access = made->access;
        if (settings->guard_enabled) {
            guard_parameters_init(&made->limits, &settings->guard, qcmp->key);
            made->responder.limits = &made->limits;
            made->responder.table = qcmp->table;
        }
    }
    if (code == 0 && qcmp->fast != NULL) {
        const struct guard_driver_options same = {
            .allow = &settings->allow, .deny = &settings->deny, .limits = made->responder.limits};
        code = qcmp_fast_prepare(qcmp->fast, &same);
    }
    if (code != 0) {
        rules_release((struct retired *)made);
        return error_system(error, code, "cannot take access lists and limits");
    }
    qcmp->next_rules = made;
    return 0;
}

/* Where to listen by a configuration. @param users room for one a worker. */
static struct ports_options ports_for(struct qcmp *qcmp, const struct qcmp_settings *settings,
                                      void **users)
{
    for (unsigned i = 0; i < workers_count(qcmp->env.workers); i++)
        users[i] = &qcmp->turns[i];

    return (struct ports_options){.name = "QCMP",
                                  .key = "paddock.qcmp.listen",
                                  .port_key = "qcmp_port, --service.qcmp.port",
                                  .port = settings->port,
                                  .addresses = settings->listen,
                                  .addresses_count = settings->listen_count,
                                  .receive_buffer_ns = settings->receive_buffer_ns,
                                  .max_bytes = RESPONDER_BYTES,
                                  .counters = qcmp->counters,
                                  .receive = receive,
                                  .users = users};
}

static void commit_rules(struct qcmp *qcmp)
{
    struct rules *before = quiescent_publish(&qcmp->rules, qcmp->next_rules);
    qcmp->next_rules = NULL;
    if (before != NULL)
        workers_retire(qcmp->env.workers, &before->retired, rules_release);

    int code = qcmp->fast != NULL ? qcmp_fast_replace(qcmp->fast) : 0;
    if (code != 0)
        LOG_EVENT(qcmp->env.log, LOG_LEVEL_WARN,
                  log_text("message", "xdp detached: the sockets go on alone"),
                  log_text("interface", fastpath_interfaces(qcmp->env.fastpath)),
                  log_text("reason", "it does not take the new limits and access lists"));
}

/* Others are told where this process answers. */
static void tell_port(const struct qcmp *qcmp)
{
    struct catalog_self self = *catalog_self(qcmp->env.catalog);

    self.qcmp_port = ports_number(qcmp->ports.current);
    catalog_set_self(qcmp->env.catalog, &self);
}

static void commit(void *self)
{
    struct qcmp *qcmp = self;
    struct fastpath *fastpath = qcmp->env.fastpath;

    atomic_store_explicit(&qcmp->max_age_ns, qcmp->next->max_age_ns, memory_order_relaxed);
    commit_rules(qcmp);
    struct ports *before = qcmp->ports.current;
    if (!ports_slot_commit(&qcmp->ports))
        return;

    tell_port(qcmp);
    /* A client that goes by the log loses nothing that it had sent to the old port before. */
    if (fastpath != NULL)
        fastpath_port_add(fastpath, ports_number(qcmp->ports.current), FASTPATH_QCMP);
    LOG_EVENT(qcmp->env.log, LOG_LEVEL_INFO, log_text("message", "qcmp port changed"),
              log_uint("port", ports_number(qcmp->ports.current)));
    if (fastpath != NULL)
        fastpath_port_remove(fastpath, ports_number(before));
    ports_slot_leave(&qcmp->ports);
    ports_warn(qcmp->ports.current, qcmp->env.log);
}

static void abandon(void *self)
{
    struct qcmp *qcmp = self;
    rules_release((struct retired *)qcmp->next_rules);
    qcmp->next_rules = NULL;
    ports_slot_abandon(&qcmp->ports);
}

static int prepare(void *self, const struct config *next, struct error *error)
{
    struct qcmp *qcmp = self;
    const struct qcmp_settings *settings = config_settings(next, &qcmp_section);
    struct error port_error;
    void *users[WORKERS_MAX];

    int code = prepare_rules(qcmp, settings, error);
    if (code != 0)
        return code;
    qcmp->next = settings;
    const struct ports_options options = ports_for(qcmp, settings, users);
    code = ports_slot_prepare(&qcmp->ports, qcmp->env.workers, &options, &port_error);
    if (code != 0) {
        atomic_fetch_add_explicit(&qcmp->failed_port_changes, 1, memory_order_relaxed);
        abandon(qcmp);
        error_set(error, code, "cannot change to QCMP port %u: %s", (unsigned)settings->port,
                  port_error.text);
    }
    return code;
}

static void qcmp_free(struct qcmp *qcmp)
{
    abandon(qcmp);
    rules_release(qcmp->rules.version);
    if (qcmp->fast == NULL)
        guard_table_free(qcmp->table);
    qcmp_fast_close(qcmp->fast);
    ports_slot_fini(&qcmp->ports);
    free(qcmp->counters);
    free(qcmp->turns);
    guard_secret_free(qcmp->key, sizeof *qcmp->key);
    free(qcmp);
}

static int open_qcmp(void **self, const struct service_env *env, const struct config *config,
                     struct error *error)
{
    const struct qcmp_settings *settings = config_settings(config, &qcmp_section);
    unsigned workers = workers_count(env->workers);
    struct qcmp *qcmp = calloc(1, sizeof *qcmp);
    void *users[WORKERS_MAX];
    int code = -ENOMEM;
    if (qcmp == NULL)
        return error_system(error, code, "cannot serve QCMP");

    qcmp->env = *env;
    ports_slot_init(&qcmp->ports);
    qcmp->counters = port_counters_new(workers);
    qcmp->turns = aligned_alloc(alignof(struct turn), workers * sizeof *qcmp->turns);
    qcmp->key = guard_secret_new(sizeof *qcmp->key);
    if (qcmp->counters == NULL || qcmp->turns == NULL || qcmp->key == NULL) {
        error_system(error, code, "cannot serve QCMP");
        goto fail;
    }
    for (unsigned i = 0; i < workers; i++) {
        qcmp->turns[i] = (struct turn){.qcmp = qcmp};
        if (getrandom(&qcmp->turns[i].own.random, sizeof(uint64_t), 0) != sizeof(uint64_t)) {
            code = error_set(error, -EIO, "cannot serve QCMP: no random numbers");
            goto fail;
        }
    }
    code = env->fastpath != NULL ? qcmp_fast_open(&qcmp->fast, env->fastpath, error) : 0;
    if (code == 0)
        code = prepare_rules(qcmp, settings, error);
    if (code == 0) {
        const struct ports_options options = ports_for(qcmp, settings, users);
        code = ports_slot_prepare(&qcmp->ports, env->workers, &options, error);
    }
    if (code != 0)
        goto fail;

    atomic_init(&qcmp->max_age_ns, settings->max_age_ns);
    commit_rules(qcmp);
    ports_slot_commit(&qcmp->ports);
    *self = qcmp;
    return 0;

fail:
    qcmp_free(qcmp);
    return code;
}

static int start(void *self, struct error *error)
{
    struct qcmp *qcmp = self;
    char address[ADDRESS_TEXT_BYTES];
    struct in6_addr first = ports_first_address(qcmp->ports.current);
    uint16_t port = ports_number(qcmp->ports.current);

    ports_warn(qcmp->ports.current, qcmp->env.log);
    int code = ports_start(qcmp->ports.current);
    if (code != 0)
        return error_system(error, code, "cannot wait for QCMP datagrams");
    qcmp->is_started = true;
    if (qcmp->env.fastpath != NULL)
        fastpath_port_add(qcmp->env.fastpath, port, FASTPATH_QCMP);
    tell_port(qcmp);
    address_format(&first, port, address);
    LOG_EVENT(qcmp->env.log, LOG_LEVEL_INFO, log_text("message", "qcmp ready"),
              log_uint("port", port), log_text("address", address));
    return 0;
}

static void tick(void *self, int64_t now_ns)
{
    struct qcmp *qcmp = self;

    if (qcmp->table == NULL)
        return;
    guard_table_sweep(qcmp->table, qcmp->swept, (uint64_t)now_ns);
    qcmp->swept = (qcmp->swept + GUARD_SWEEP_SETS) % GUARD_SETS;
}

static struct qcmp_sum sum_up(struct qcmp *qcmp)
{
    struct qcmp_sum sum = {.failed_port_changes = atomic_load_explicit(&qcmp->failed_port_changes,
                                                                       memory_order_relaxed)};
    sum.kernel_drops = ports_slot_drops(&qcmp->ports);
    port_counters_add(&sum.port, qcmp->counters, workers_count(qcmp->env.workers));
    sum.answered = sum.port.sent;
    if (qcmp->fast != NULL) {
        uint64_t before = sum.answered;
        qcmp_fast_count(qcmp->fast, sum.port.packets, sum.port.bytes, &sum.answered);
        sum.answered_fast = sum.answered - before;
    }
    return sum;
}

static void metrics(void *self, bool is_alive, struct metrics *out)
{
    struct qcmp_sum sum = sum_up(self);
    qcmp_metrics_write(out, is_alive, &sum);
}

static void show(const void *self, json_t *json)
{
    const struct qcmp *qcmp = self;
    json_object_set_new(json, "qcmp_port", json_integer(ports_number(qcmp->ports.current)));
}

static void stop(void *self)
{
    struct qcmp *qcmp = self;

    if (qcmp->env.fastpath != NULL)
        fastpath_port_remove(qcmp->env.fastpath, ports_number(qcmp->ports.current));
    if (qcmp->is_started) {
        ports_slot_stop(&qcmp->ports);
        struct qcmp_sum sum = sum_up(qcmp);
        qcmp_log_stopped(qcmp->env.log, &sum);
    }
    qcmp_free(qcmp);
}

static bool is_wanted(const struct config *config)
{
    return ((const struct qcmp_settings *)config_settings(config, &qcmp_section))->enabled;
}

static size_t listen_addresses(const struct config *config, const struct in6_addr **addresses)
{
    const struct qcmp_settings *settings = config_settings(config, &qcmp_section);
    *addresses = settings->listen;
    return settings->listen_count;
}

const struct service_ops qcmp_service = {.name = "qcmp",
                                         .section = &qcmp_section,
                                         .is_wanted = is_wanted,
                                         .listen = listen_addresses,
                                         .open = open_qcmp,
                                         .start = start,
                                         .prepare = prepare,
                                         .commit = commit,
                                         .abandon = abandon,
                                         .tick = tick,
                                         .metrics = metrics,
                                         .show = show,
                                         .stop = stop};

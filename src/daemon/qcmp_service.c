#include "daemon/qcmp_service.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "base/siphash.h"
#include "engine/engine.h"
#include "responder/responder.h"

struct worker_thread {
    /* The worker's own, which it writes: a cache line for itself. */
    alignas(COUNTERS_CACHE_LINE) struct responder_turn turn;

    alignas(COUNTERS_CACHE_LINE) pthread_t thread;
    const struct qcmp_service *service;
    struct engine *engine;
    sem_t *began;
    unsigned index;
    uint64_t turns_seen;   /* by qcmp_service_alive(), */
    int64_t turned_ns;     /* and when they were last seen to grow */
    uint64_t turns_before; /* when rules_waiting had been replaced */
};

/* An engine on one port, with its threads. */
struct listener {
    struct qcmp_service *service;
    struct engine *engine;
    struct counters *counters;
    struct worker_thread *threads;
    unsigned workers; /* whose threads run */
    sem_t began;      /* posted by each of them */
};

struct qcmp_service {
    struct qcmp_service_options options;
    struct in6_addr addresses[ENGINE_MAX_ADDRESSES];
    _Atomic int64_t max_age_ns; /* relaxed: a number by itself */
    /* In sequential consistency with the workers' turns: a worker that turns after these have been
     * replaced does not use the old ones. */
    struct rules *_Atomic rules;
    struct rules *rules_waiting; /* replaced, until every worker has turned */
    struct rules *rules_retired; /* replaced later: wait for the next round */
    struct siphash_key *key;     /* with the table; from guard_secret_new() */
    struct guard_set *table;     /* NULL as long as the guard was never on; that of XDP, if there */
    uint32_t swept;              /* sets of it */
    bool is_unruled;             /* not said yet */

    pthread_mutex_t lock;        /* over what follows */
    struct listener *current;    /* on the port in use */
    struct listener *leaving;    /* on the port before, until it is empty */
    struct counters_sum retired; /* of ports that are closed */
    uint64_t retired_drops;
};

static void answer(const struct batch *batch, void *user)
{
    const struct listener *listener = user;
    const struct qcmp_service *service = listener->service;
    struct responder_turn *turn = &listener->threads[batch->worker].turn;
    int64_t max_age_ns = atomic_load_explicit(&service->max_age_ns, memory_order_relaxed);
    const struct rules *rules = atomic_load_explicit(&service->rules, memory_order_seq_cst);
    turn->oldest_ns = max_age_ns > 0 ? batch->read_ns - max_age_ns : INT64_MIN;
    if (rules->responder.limits != NULL)
        turn->now_ns = (uint64_t)clock_monotonic_ns();
    responder_answer(batch, &rules->responder, turn);
}

static void *worker_main(void *argument)
{
    const struct worker_thread *worker = argument;
    const struct qcmp_service_options *options = &worker->service->options;
    if (options->worker_began != NULL)
        options->worker_began(options->user);
    sem_post(worker->began);
    engine_run(worker->engine, worker->index);
    return NULL;
}

/* The CPU number @p index of those that the process may use, and from the first again. */
static void choose_cpu(const cpu_set_t *allowed, unsigned index, cpu_set_t *chosen)
{
    unsigned left = index % (unsigned)CPU_COUNT(allowed);
    CPU_ZERO(chosen);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && left-- == 0)
            CPU_SET(cpu, chosen);
    }
}

/* As a thread is made, because its filter of system calls permits no change later. Returns errno.
 */
static int set_cpu(pthread_attr_t *attributes, unsigned index)
{
    cpu_set_t allowed, chosen;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return errno;
    choose_cpu(&allowed, index, &chosen);
    return pthread_attr_setaffinity_np(attributes, sizeof chosen, &chosen);
}

/* In turns (SCHED_RR), since two workers may have one CPU. Returns an errno value. */
static int set_realtime(pthread_attr_t *attributes)
{
    struct sched_param least = {.sched_priority = sched_get_priority_min(SCHED_RR)};
    int error = pthread_attr_setinheritsched(attributes, PTHREAD_EXPLICIT_SCHED);
    if (error == 0)
        error = pthread_attr_setschedpolicy(attributes, SCHED_RR);
    return error == 0 ? pthread_attr_setschedparam(attributes, &least) : error;
}

static int worker_create(struct worker_thread *worker)
{
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;
    if (worker->service->options.pin)
        error = set_cpu(&attributes, worker->index);
    if (error == 0 && worker->service->options.realtime)
        error = set_realtime(&attributes);
    if (error == 0)
        error = pthread_create(&worker->thread, &attributes, worker_main, worker);
    pthread_attr_destroy(&attributes);
    return -error;
}

static void listener_stop(struct listener *listener)
{
    engine_stop(listener->engine);
    for (unsigned i = 0; i < listener->workers; i++)
        pthread_join(listener->threads[i].thread, NULL);
}

/* So that whoever is told that the service is ready can rely on what a worker does first. */
static void await_workers(struct listener *listener)
{
    for (unsigned i = 0; i < listener->workers; i++) {
        while (sem_wait(&listener->began) != 0)
            ; /* interrupted by a signal */
    }
}

/* What was started when a thread cannot be, listener_stop() ends. */
static int listener_start(struct listener *listener, const struct qcmp_service *service)
{
    for (unsigned i = 0; i < service->options.workers; i++) {
        struct worker_thread *worker = &listener->threads[i];
        worker->service = service;
        worker->engine = listener->engine;
        worker->began = &listener->began;
        worker->index = i;
        worker->turned_ns = clock_monotonic_ns();
        int error = worker_create(worker);
        if (error != 0)
            return error;
        char name[16];
        snprintf(name, sizeof name, "qcmp-%u", i % 10000);
        pthread_setname_np(worker->thread, name);
        listener->workers++;
    }
    await_workers(listener);
    return 0;
}

static void listener_free(struct listener *listener)
{
    engine_close(listener->engine);
    sem_destroy(&listener->began);
    free(listener->counters);
    free(listener->threads);
    free(listener);
}

static int seed(struct listener *listener, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        uint64_t *random = &listener->threads[i].turn.random;
        if (getrandom(random, sizeof *random, 0) != sizeof *random)
            return -EIO;
    }
    return 0;
}

static int listener_init(struct listener *listener, struct qcmp_service *service, uint16_t port)
{
    unsigned workers = service->options.workers;
    int error;
    size_t counters_bytes = workers * sizeof *listener->counters;
    listener->counters = aligned_alloc(COUNTERS_CACHE_LINE, counters_bytes);
    listener->threads = aligned_alloc(COUNTERS_CACHE_LINE, workers * sizeof *listener->threads);
    if (listener->counters == NULL || listener->threads == NULL)
        return -ENOMEM;
    memset(listener->threads, 0, workers * sizeof *listener->threads);
    for (unsigned i = 0; i < workers; i++)
        counters_init(&listener->counters[i]);
    error = seed(listener, workers);
    if (error != 0)
        return error;
    struct engine_options options = {.port = port,
                                     .addresses = service->addresses,
                                     .addresses_count = service->options.addresses_count,
                                     .failed_address = service->options.failed_address,
                                     .receive_buffer_ns = service->options.receive_buffer_ns,
                                     .low_latency = service->options.low_latency,
                                     .workers = workers,
                                     .counters = listener->counters,
                                     .handler = answer,
                                     .user = listener};
    listener->service = service;
    return engine_open(&listener->engine, service->options.engine, &options);
}

static int listener_open(struct listener **listener, struct qcmp_service *service, uint16_t port)
{
    struct listener *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return -ENOMEM;
    sem_init(&opened->began, 0, 0);
    int error = listener_init(opened, service, port);
    if (error != 0) {
        listener_free(opened);
        return error;
    }
    *listener = opened;
    return 0;
}

/* The guard's table comes with the first rules that need it, and stays. */
static int table_open(struct qcmp_service *service)
{
    struct qcmp_fast *fast = service->options.fast;
    if (service->table != NULL)
        return 0;
    if (service->key == NULL)
        service->key = guard_secret_new(sizeof *service->key);
    int error = service->key != NULL ? siphash_key_init(service->key) : -ENOMEM;
    if (error == 0)
        service->table = fast != NULL ? qcmp_fast_guard_table(fast) : guard_table_new();
    if (error == 0 && service->table == NULL)
        error = -ENOMEM;
    return error;
}

/* The same lists and limits for the program in the driver. */
static int prepare_xdp(struct qcmp_fast *fast, const struct rules_options *options,
                       const struct rules *rules)
{
    const struct guard_driver_options same = {
        .allow = options->allow, .deny = options->deny, .limits = rules->responder.limits};
    return fast != NULL ? qcmp_fast_prepare(fast, &same) : 0;
}

int qcmp_service_prepare(struct qcmp_service *service, const struct rules_options *options,
                         struct rules **rules)
{
    bool is_limited =
        options->guard != NULL || options->allow->count > 0 || options->deny->count > 0;
    struct rules *made;
    if (is_limited && !service->options.engine->hands_over_all)
        return -EOPNOTSUPP;
    int error = options->guard != NULL ? table_open(service) : 0;
    if (error == 0)
        error = rules_new(&made, options, service->table, service->key);
    if (error != 0)
        return error;
    error = prepare_xdp(service->options.fast, options, made);
    if (error != 0) {
        rules_free(made);
        return error;
    }
    *rules = made;
    return 0;
}

static bool has_turned(struct listener *listener)
{
    for (unsigned i = 0; listener != NULL && i < listener->workers; i++) {
        if (counter_read_ordered(&listener->counters[i].turns) == listener->threads[i].turns_before)
            return false;
    }
    return true;
}

static void note_turns(struct listener *listener)
{
    for (unsigned i = 0; listener != NULL && i < listener->workers; i++)
        listener->threads[i].turns_before = counter_read_ordered(&listener->counters[i].turns);
}

/* A listener that is opened meanwhile knows the newest rules alone; one that is gone has no worker.
 */
static void release_rules(struct qcmp_service *service)
{
    if (service->rules_waiting != NULL) {
        if (!has_turned(service->leaving) || !has_turned(service->current))
            return;
        rules_free(service->rules_waiting);
    }
    service->rules_waiting = service->rules_retired;
    service->rules_retired = NULL;
    note_turns(service->leaving);
    note_turns(service->current);
}

void qcmp_service_apply(struct qcmp_service *service, struct rules *rules)
{
    struct rules *before = atomic_exchange_explicit(&service->rules, rules, memory_order_seq_cst);
    before->next = service->rules_retired;
    service->rules_retired = before;
    release_rules(service);
    /* On a failure the sockets go on alone, by these rules. */
    if (service->options.fast != NULL && qcmp_fast_replace(service->options.fast) != 0)
        service->is_unruled = true;
}

enum fastpath_event qcmp_service_tick(struct qcmp_service *service, int64_t now_ns)
{
    release_rules(service);
    if (service->table != NULL) {
        guard_table_sweep(service->table, service->swept, (uint64_t)now_ns);
        service->swept = (service->swept + GUARD_SWEEP_SETS) % GUARD_SETS;
    }
    return service->options.xdp != NULL ? fastpath_tick(service->options.xdp) : FASTPATH_NOTHING;
}

static void service_free(struct qcmp_service *service)
{
    rules_free(service->rules_retired);
    rules_free(service->rules_waiting);
    rules_free(service->rules);
    if (service->options.xdp == NULL)
        guard_table_free(service->table);
    guard_secret_free(service->key, sizeof *service->key);
    free(service);
}

static int service_init(struct qcmp_service *service)
{
    static const struct prefix_list nobody;
    const struct rules_options everybody = {.allow = &nobody, .deny = &nobody};
    const struct qcmp_service_options *options = &service->options;
    struct rules *rules;
    int error =
        qcmp_service_prepare(service, options->rules != NULL ? options->rules : &everybody, &rules);
    if (error != 0)
        return error;
    atomic_init(&service->rules, rules);
    error = options->fast != NULL ? qcmp_fast_replace(options->fast) : 0;
    if (error != 0)
        return error;
    return listener_open(&service->current, service, options->port);
}

int qcmp_service_open(struct qcmp_service **service, const struct qcmp_service_options *options)
{
    if (options->addresses_count < 1 || options->addresses_count > ENGINE_MAX_ADDRESSES)
        return -EINVAL;
    struct qcmp_service *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return -ENOMEM;
    opened->options = *options;
    memcpy(opened->addresses, options->addresses,
           options->addresses_count * sizeof *options->addresses);
    opened->options.addresses = opened->addresses;
    if (options->engine == NULL)
        opened->options.engine = &engine_mmsg;
    qcmp_service_set_max_age(opened, options->max_age_ns);
    int error = service_init(opened);
    if (error != 0) {
        service_free(opened);
        return error;
    }
    opened->options.rules = NULL;
    opened->options.failed_address = NULL;
    pthread_mutex_init(&opened->lock, NULL);
    *service = opened;
    return 0;
}

/* The sockets are there by then, for what XDP passes on. */
static void add_port(const struct qcmp_service *service, const struct listener *listener)
{
    if (service->options.xdp != NULL)
        fastpath_port_add(service->options.xdp, engine_port(listener->engine), FASTPATH_QCMP);
}

/* Before the sockets stop: what comes later finds nobody. */
static void remove_port(const struct qcmp_service *service, const struct listener *listener)
{
    if (service->options.xdp != NULL)
        fastpath_port_remove(service->options.xdp, engine_port(listener->engine));
}

int qcmp_service_start(struct qcmp_service *service)
{
    int error = listener_start(service->current, service);
    if (error == 0)
        add_port(service, service->current);
    return error;
}

uint16_t qcmp_service_port(struct qcmp_service *service)
{
    pthread_mutex_lock(&service->lock);
    uint16_t port = engine_port(service->current->engine);
    pthread_mutex_unlock(&service->lock);
    return port;
}

bool qcmp_service_ipv6(struct qcmp_service *service)
{
    pthread_mutex_lock(&service->lock);
    bool ipv6 = engine_ipv6(service->current->engine);
    pthread_mutex_unlock(&service->lock);
    return ipv6;
}

void qcmp_service_receive_buffer(struct qcmp_service *service, size_t *asked, size_t *granted)
{
    pthread_mutex_lock(&service->lock);
    engine_receive_buffer(service->current->engine, asked, granted);
    pthread_mutex_unlock(&service->lock);
}

/* Keeps the counts of a listener that has stopped. Under the lock. */
static void keep_counts(struct qcmp_service *service, const struct listener *listener)
{
    counters_sum_add(&service->retired, listener->counters, listener->workers);
    service->retired_drops += engine_drops(listener->engine);
}

/* Ends the leaving listener. */
static void retire(struct qcmp_service *service)
{
    struct listener *leaving = service->leaving;
    remove_port(service, leaving);
    listener_stop(leaving);
    pthread_mutex_lock(&service->lock);
    keep_counts(service, leaving);
    service->leaving = NULL;
    pthread_mutex_unlock(&service->lock);
    listener_free(leaving);
}

void qcmp_service_leave(struct qcmp_service *service)
{
    if (service->leaving != NULL)
        retire(service);
}

int qcmp_service_move(struct qcmp_service *service, uint16_t port)
{
    struct listener *next;
    if (port == qcmp_service_port(service))
        return 0;
    qcmp_service_leave(service);
    int error = listener_open(&next, service, port);
    if (error != 0)
        return error;
    error = listener_start(next, service);
    if (error != 0) {
        listener_stop(next); /* of which some workers may have answered */
        pthread_mutex_lock(&service->lock);
        keep_counts(service, next);
        pthread_mutex_unlock(&service->lock);
        listener_free(next);
        return error;
    }
    add_port(service, next);
    pthread_mutex_lock(&service->lock);
    service->leaving = service->current;
    service->current = next;
    pthread_mutex_unlock(&service->lock);
    return 0;
}

void qcmp_service_set_max_age(struct qcmp_service *service, int64_t max_age_ns)
{
    atomic_store_explicit(&service->max_age_ns, max_age_ns, memory_order_relaxed);
}

static void add_listener(struct listener *listener, struct counters_sum *sum, uint64_t *drops)
{
    if (listener == NULL)
        return;
    counters_sum_add(sum, listener->counters, listener->workers);
    *drops += engine_drops(listener->engine);
}

static void add_xdp(const struct qcmp_fast *fast, struct counters_sum *sum)
{
    struct counters_sum own = {0};
    if (fast == NULL)
        return;
    qcmp_fast_count(fast, own.packets, own.bytes, &sum->answered);
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        sum->packets[i] += own.packets[i];
        sum->bytes[i] += own.bytes[i];
        sum->received += own.packets[i];
    }
}

void qcmp_service_sample(struct qcmp_service *service, struct counters_sum *sum, uint64_t *drops)
{
    pthread_mutex_lock(&service->lock);
    *sum = service->retired;
    *drops = service->retired_drops;
    add_listener(service->leaving, sum, drops);
    add_listener(service->current, sum, drops);
    pthread_mutex_unlock(&service->lock);
    add_xdp(service->options.fast, sum);
}

const struct fastpath *qcmp_service_xdp(const struct qcmp_service *service)
{
    return service->options.xdp;
}

const struct qcmp_fast *qcmp_service_fast(const struct qcmp_service *service)
{
    return service->options.fast;
}

bool qcmp_service_is_unruled(struct qcmp_service *service)
{
    bool is_unruled = service->is_unruled;
    service->is_unruled = false;
    return is_unruled;
}

int qcmp_service_poll_fd(const struct qcmp_service *service)
{
    return service->options.xdp != NULL ? fastpath_poll_fd(service->options.xdp) : -1;
}

static bool worker_alive(struct worker_thread *worker, const struct counters *counters,
                         int64_t now_ns)
{
    uint64_t turns = atomic_load_explicit(&counters->turns.value, memory_order_relaxed);
    if (turns != worker->turns_seen) {
        worker->turns_seen = turns;
        worker->turned_ns = now_ns;
    }
    return now_ns - worker->turned_ns < QCMP_SERVICE_DEAD_NS;
}

bool qcmp_service_alive(struct qcmp_service *service, int64_t now_ns)
{
    bool alive = true;
    pthread_mutex_lock(&service->lock);
    const struct listener *current = service->current;
    for (unsigned i = 0; i < current->workers; i++)
        alive = worker_alive(&current->threads[i], &current->counters[i], now_ns) && alive;
    pthread_mutex_unlock(&service->lock);
    return alive;
}

void qcmp_service_stop(struct qcmp_service *service, struct counters_sum *sum, uint64_t *drops)
{
    qcmp_service_leave(service);
    pthread_mutex_lock(&service->lock);
    service->leaving = service->current;
    service->current = NULL;
    pthread_mutex_unlock(&service->lock);
    retire(service);
    if (service->options.xdp != NULL)
        fastpath_detach(service->options.xdp);
    *sum = service->retired;
    *drops = service->retired_drops;
    add_xdp(service->options.fast, sum);
    qcmp_fast_close(service->options.fast);
    fastpath_close(service->options.xdp);
    pthread_mutex_destroy(&service->lock);
    service_free(service);
}

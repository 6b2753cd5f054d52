#include "daemon/qcmp_service.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "responder/responder.h"

struct worker_thread {
    pthread_t thread;
    const struct qcmp_service *service;
    struct engine *engine;
    unsigned index;
    uint64_t turns_seen; /* by qcmp_service_alive(), */
    int64_t turned_ns;   /* and when they were last seen to grow */
};

/* An engine on one port, with its threads. */
struct listener {
    struct engine *engine;
    struct counters *counters;
    struct worker_thread *threads;
    unsigned workers; /* whose threads run */
};

struct qcmp_service {
    struct qcmp_service_options options;
    struct in6_addr addresses[ENGINE_MAX_ADDRESSES];
    _Atomic int64_t max_age_ns; /* relaxed: a number by itself */

    pthread_mutex_t lock;        /* over what follows */
    struct listener *current;    /* on the port in use */
    struct listener *leaving;    /* on the port before, until it is empty */
    struct counters_sum retired; /* of ports that are closed */
    uint64_t retired_drops;
};

/* Clocks are read only where an age limit asks for it. */
static bool too_old(const struct qcmp_service *service, const struct engine_packet *packet)
{
    int64_t max_age_ns = atomic_load_explicit(&service->max_age_ns, memory_order_relaxed);
    return max_age_ns > 0 && clock_wall_ns() - packet->received_ns > max_age_ns;
}

static struct engine_verdict answer(const struct engine_packet *packet, uint8_t *reply, void *user)
{
    if (too_old(user, packet))
        return (struct engine_verdict){.outcome = OUTCOME_TOO_OLD};
    struct responder_question question = {.data = packet->data,
                                          .bytes = packet->bytes,
                                          .source = packet->source,
                                          .destination = packet->destination,
                                          .source_port = packet->source_port,
                                          .to_broadcast = packet->to_broadcast,
                                          .received_ns = packet->received_ns};
    struct engine_verdict verdict = {.outcome = responder_answer(&question, reply)};
    if (verdict.outcome == OUTCOME_VALID) {
        verdict.action = ENGINE_REPLY;
        verdict.reply_bytes = QCMP_PONG_BYTES;
        verdict.stamp_offset = QCMP_TRANSMIT_OFFSET;
    }
    return verdict;
}

static void *worker_main(void *argument)
{
    const struct worker_thread *worker = argument;
    const struct qcmp_service_options *options = &worker->service->options;
    if (options->worker_began != NULL)
        options->worker_began(options->user);
    engine_run(worker->engine, worker->index);
    return NULL;
}

static void listener_stop(struct listener *listener)
{
    engine_stop(listener->engine);
    for (unsigned i = 0; i < listener->workers; i++)
        pthread_join(listener->threads[i].thread, NULL);
}

/* What was started when a thread cannot be, listener_stop() ends. */
static int listener_start(struct listener *listener, const struct qcmp_service *service)
{
    for (unsigned i = 0; i < service->options.workers; i++) {
        struct worker_thread *worker = &listener->threads[i];
        worker->service = service;
        worker->engine = listener->engine;
        worker->index = i;
        worker->turned_ns = clock_monotonic_ns();
        int error = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (error != 0)
            return -error;
        char name[16];
        snprintf(name, sizeof name, "qcmp-%u", i % 10000);
        pthread_setname_np(worker->thread, name);
        listener->workers++;
    }
    return 0;
}

static void listener_free(struct listener *listener)
{
    engine_close(listener->engine);
    free(listener->counters);
    free(listener->threads);
    free(listener);
}

static int listener_init(struct listener *listener, struct qcmp_service *service, uint16_t port)
{
    unsigned workers = service->options.workers;
    size_t counters_bytes = workers * sizeof *listener->counters;
    listener->counters = aligned_alloc(COUNTERS_CACHE_LINE, counters_bytes);
    listener->threads = calloc(workers, sizeof *listener->threads);
    if (listener->counters == NULL || listener->threads == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < workers; i++)
        counters_init(&listener->counters[i]);
    struct engine_options options = {.port = port,
                                     .addresses = service->addresses,
                                     .addresses_count = service->options.addresses_count,
                                     .receive_buffer_ns = service->options.receive_buffer_ns,
                                     .workers = workers,
                                     .counters = listener->counters,
                                     .handler = answer,
                                     .user = service};
    return engine_open(&listener->engine, &engine_mmsg, &options);
}

static int listener_open(struct listener **listener, struct qcmp_service *service, uint16_t port)
{
    struct listener *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return -ENOMEM;
    int error = listener_init(opened, service, port);
    if (error != 0) {
        listener_free(opened);
        return error;
    }
    *listener = opened;
    return 0;
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
    qcmp_service_set_max_age(opened, options->max_age_ns);
    int error = listener_open(&opened->current, opened, options->port);
    if (error != 0) {
        free(opened);
        return error;
    }
    pthread_mutex_init(&opened->lock, NULL);
    *service = opened;
    return 0;
}

/* The sockets are there by then, for what XDP passes on. */
static void add_port(const struct qcmp_service *service, const struct listener *listener)
{
    if (service->options.xdp != NULL)
        xdp_port_add(service->options.xdp, engine_port(listener->engine));
}

/* Before the sockets stop: what comes later finds nobody. */
static void remove_port(const struct qcmp_service *service, const struct listener *listener)
{
    if (service->options.xdp != NULL)
        xdp_port_remove(service->options.xdp, engine_port(listener->engine));
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

/* Ends the leaving listener, and keeps its counts. */
static void retire(struct qcmp_service *service)
{
    struct listener *leaving = service->leaving;
    remove_port(service, leaving);
    listener_stop(leaving);
    pthread_mutex_lock(&service->lock);
    counters_sum_add(&service->retired, leaving->counters, leaving->workers);
    service->retired_drops += engine_drops(leaving->engine);
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
        listener_stop(next);
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

static void add_xdp(const struct xdp *xdp, struct counters_sum *sum)
{
    uint64_t answered = 0;
    if (xdp != NULL)
        xdp_count(xdp, sum, &answered);
}

void qcmp_service_sample(struct qcmp_service *service, struct counters_sum *sum, uint64_t *drops)
{
    pthread_mutex_lock(&service->lock);
    *sum = service->retired;
    *drops = service->retired_drops;
    add_listener(service->leaving, sum, drops);
    add_listener(service->current, sum, drops);
    pthread_mutex_unlock(&service->lock);
    add_xdp(service->options.xdp, sum);
}

const struct xdp *qcmp_service_xdp(const struct qcmp_service *service)
{
    return service->options.xdp;
}

int qcmp_service_poll_fd(const struct qcmp_service *service)
{
    return service->options.xdp != NULL ? xdp_poll_fd(service->options.xdp) : -1;
}

enum xdp_event qcmp_service_tick(struct qcmp_service *service)
{
    return service->options.xdp != NULL ? xdp_tick(service->options.xdp) : XDP_NOTHING;
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
        xdp_detach(service->options.xdp);
    *sum = service->retired;
    *drops = service->retired_drops;
    add_xdp(service->options.xdp, sum);
    xdp_close(service->options.xdp);
    pthread_mutex_destroy(&service->lock);
    free(service);
}

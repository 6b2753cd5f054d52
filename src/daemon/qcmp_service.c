#include "daemon/qcmp_service.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qcmp/wire.h>

#include "engine/engine.h"
#include "responder/responder.h"

struct worker_thread {
    pthread_t thread;
    struct engine *engine;
    unsigned index;
};

struct qcmp_service {
    struct engine *engine;
    struct counters *counters;
    struct worker_thread *threads;
    unsigned workers; /* whose threads run */
};

static struct engine_verdict answer(const struct engine_packet *packet, uint8_t *reply, void *user)
{
    (void)user;
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
    engine_run(worker->engine, worker->index);
    return NULL;
}

static void threads_stop(struct qcmp_service *service)
{
    engine_stop(service->engine);
    for (unsigned i = 0; i < service->workers; i++)
        pthread_join(service->threads[i].thread, NULL);
    service->workers = 0;
}

static int threads_start(struct qcmp_service *service, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        struct worker_thread *worker = &service->threads[i];
        worker->engine = service->engine;
        worker->index = i;
        int error = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (error != 0) {
            threads_stop(service);
            return -error;
        }
        char name[16];
        snprintf(name, sizeof name, "qcmp-%u", i % 10000);
        pthread_setname_np(worker->thread, name);
        service->workers++;
    }
    return 0;
}

static void service_free(struct qcmp_service *service)
{
    engine_close(service->engine);
    free(service->counters);
    free(service->threads);
    free(service);
}

static int service_start(struct qcmp_service *service, uint16_t port, unsigned workers)
{
    size_t counters_bytes = workers * sizeof *service->counters;
    service->counters = aligned_alloc(COUNTERS_CACHE_LINE, counters_bytes);
    service->threads = calloc(workers, sizeof *service->threads);
    if (service->counters == NULL || service->threads == NULL)
        return -ENOMEM;
    memset(service->counters, 0, counters_bytes);
    struct engine_options options = {.addresses = &in6addr_any,
                                     .addresses_count = 1,
                                     .port = port,
                                     .workers = workers,
                                     .counters = service->counters,
                                     .handler = answer};
    int error = engine_open(&service->engine, &engine_mmsg, &options);
    return error != 0 ? error : threads_start(service, workers);
}

int qcmp_service_start(struct qcmp_service **service, uint16_t port, unsigned workers)
{
    struct qcmp_service *started = calloc(1, sizeof *started);
    if (started == NULL)
        return -ENOMEM;
    int error = service_start(started, port, workers);
    if (error != 0) {
        service_free(started);
        return error;
    }
    *service = started;
    return 0;
}

uint16_t qcmp_service_port(const struct qcmp_service *service)
{
    return engine_port(service->engine);
}

bool qcmp_service_ipv6(const struct qcmp_service *service)
{
    return engine_ipv6(service->engine);
}

struct counters_sum qcmp_service_stop(struct qcmp_service *service)
{
    unsigned workers = service->workers;
    threads_stop(service);
    struct counters_sum sum = counters_sum(service->counters, workers);
    service_free(service);
    return sum;
}

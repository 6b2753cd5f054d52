/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct thread {
    alignas(64) struct quiescent quiescent; /* on a cache line that nobody else writes */

    alignas(64) struct worker worker;
    pthread_t thread;
    struct workers *workers;
    atomic_bool is_called; /* orders what workers_call() has written before it */
    uint64_t turns_noted;  /* when `waiting` had been retired */
    uint64_t turns_seen;   /* by workers_tick(), */
    int64_t turned_ns;     /* and when they were last seen to grow */
};

struct workers {
    struct workers_options options;
    unsigned running;
    atomic_bool stopping; /* relaxed: the wake-up after it orders */
    sem_t done;           /* posted by each worker, for its begin or a call */
    void (*call)(struct worker *worker, void *user);
    void *user;
    struct neighbours *neighbours;
    struct retired *waiting; /* until every worker has passed */
    struct retired *retired; /* later: wait for the next round */
    struct thread threads[];
};

int workers_new(struct workers **workers, const struct workers_options *options)
{
    size_t bytes = sizeof(struct workers) + options->count * sizeof(struct thread);
    struct workers *made = aligned_alloc(alignof(struct workers), bytes);
    int error = 0;
    if (made == NULL)
        return -ENOMEM;

    memset(made, 0, bytes);
    made->options = *options;
    sem_init(&made->done, 0, 0);
    made->neighbours = neighbours_new();
    if (made->neighbours == NULL)
        error = -ENOMEM;
    for (unsigned i = 0; i < options->count && error == 0; i++) {
        struct thread *thread = &made->threads[i];
        thread->workers = made;
        thread->worker.index = i;
        error = loop_new(&thread->worker.loop);
        if (error == 0 && options->low_latency)
            error = loop_poll_devices(thread->worker.loop);
        thread->worker.batch = port_batch_new();
        if (error == 0 && thread->worker.batch == NULL)
            error = -ENOMEM;
        if (error == 0)
            port_batch_watch(thread->worker.batch, made->neighbours);
    }
    if (error != 0) {
        workers_free(made);
        return error;
    }
    *workers = made;
    return 0;
}

static void *run(void *argument)
{
    struct thread *thread = argument;
    struct workers *workers = thread->workers;

    if (workers->options.began != NULL)
        workers->options.began(workers->options.user);
    sem_post(&workers->done);
    while (!atomic_load_explicit(&workers->stopping, memory_order_relaxed)) {
        loop_turn(thread->worker.loop, clock_monotonic_ns() + WORKER_TURN_NS);
        quiescent_pass(&thread->quiescent);
        if (atomic_exchange_explicit(&thread->is_called, false, memory_order_acq_rel)) {
            workers->call(&thread->worker, workers->user);
            sem_post(&workers->done);
        }
    }
    return NULL;
}

/* The CPU number @p index of those that the process may use, and from the first again. */
static int set_cpu(pthread_attr_t *attributes, unsigned index)
{
    cpu_set_t allowed, chosen;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return errno;

    unsigned left = index % (unsigned)CPU_COUNT(&allowed);
    CPU_ZERO(&chosen);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && left-- == 0)
            CPU_SET(cpu, &chosen);
    }
    return pthread_attr_setaffinity_np(attributes, sizeof chosen, &chosen);
}

/* As it is made, because a worker's filter of system calls permits no change later. */
static int create(struct thread *thread, const struct workers_options *options)
{
    struct sched_param least = {.sched_priority = sched_get_priority_min(SCHED_RR)};
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return -error;

    if (options->pin)
        error = set_cpu(&attributes, thread->worker.index);
    if (error == 0 && options->realtime)
        error = pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    if (error == 0 && options->realtime) /* SCHED_RR, since two workers may have one CPU */
        error = pthread_attr_setschedpolicy(&attributes, SCHED_RR);
    if (error == 0 && options->realtime)
        error = pthread_attr_setschedparam(&attributes, &least);
    if (error == 0)
        error = pthread_create(&thread->thread, &attributes, run, thread);
    pthread_attr_destroy(&attributes);
    return -error;
}

static void await(struct workers *workers, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        while (sem_wait(&workers->done) != 0)
            ; /* interrupted by a signal */
    }
}

int workers_start(struct workers *workers, struct error *error)
{
    const struct workers_options *options = &workers->options;
    int code = 0;

    for (unsigned i = 0; i < options->count && code == 0; i++) {
        char name[16];
        struct thread *thread = &workers->threads[i];
        thread->turned_ns = clock_monotonic_ns();
        code = create(thread, options);
        if (code != 0)
            break;
        snprintf(name, sizeof name, "worker-%u", i % 100000);
        pthread_setname_np(thread->thread, name);
        workers->running++;
    }
    await(workers, workers->running);
    if (code != 0)
        error_system(error, code, "cannot start %u workers%s%s%s", options->count,
                     code == -EAGAIN ? " (memory, or the number of processes, is limited)" : "",
                     options->pin ? ", each on a CPU of its own (pin)" : "",
                     options->realtime ? ", in real time (realtime)" : "");
    return code;
}

unsigned workers_count(const struct workers *workers)
{
    return workers->options.count;
}

struct worker *workers_get(struct workers *workers, unsigned index)
{
    return &workers->threads[index].worker;
}

void workers_call(struct workers *workers, void (*call)(struct worker *worker, void *user),
                  void *user)
{
    if (workers->running == 0) {
        for (unsigned i = 0; i < workers->options.count; i++)
            call(&workers->threads[i].worker, user);
        return;
    }

    workers->call = call;
    workers->user = user;
    for (unsigned i = 0; i < workers->running; i++) {
        atomic_store_explicit(&workers->threads[i].is_called, true, memory_order_release);
        loop_wake(workers->threads[i].worker.loop);
    }
    await(workers, workers->running);
}

static void release(struct retired **list)
{
    while (*list != NULL) {
        struct retired *first = *list;
        *list = first->next;
        first->release(first);
    }
}

/* What was retired waits until every worker has passed since; what is retired meanwhile, for the
 * next round. */
static void release_passed(struct workers *workers)
{
    for (unsigned i = 0; workers->waiting != NULL && i < workers->running; i++) {
        if (quiescent_turns(&workers->threads[i].quiescent) == workers->threads[i].turns_noted)
            return;
    }
    release(&workers->waiting);

    workers->waiting = workers->retired;
    workers->retired = NULL;
    for (unsigned i = 0; workers->waiting != NULL && i < workers->running; i++) {
        struct thread *thread = &workers->threads[i];
        thread->turns_noted = quiescent_turns(&thread->quiescent);
        loop_wake(thread->worker.loop); /* an idle one passes soon, too */
    }
}

void workers_retire(struct workers *workers, struct retired *retired,
                    void (*release_it)(struct retired *retired))
{
    retired->release = release_it;
    retired->next = workers->retired;
    workers->retired = retired;
    release_passed(workers);
}

bool workers_tick(struct workers *workers, int64_t now_ns)
{
    bool alive = true;

    release_passed(workers);
    neighbours_look(workers->neighbours); /* after a failure, what was known stays */
    for (unsigned i = 0; i < workers->running; i++) {
        struct thread *thread = &workers->threads[i];
        uint64_t turns = quiescent_turns(&thread->quiescent);
        if (turns != thread->turns_seen) {
            thread->turns_seen = turns;
            thread->turned_ns = now_ns;
        }
        alive = alive && now_ns - thread->turned_ns < WORKER_DEAD_NS;
    }
    return alive;
}

void workers_free(struct workers *workers)
{
    if (workers == NULL)
        return;

    atomic_store_explicit(&workers->stopping, true, memory_order_relaxed);
    for (unsigned i = 0; i < workers->running; i++)
        loop_wake(workers->threads[i].worker.loop);
    for (unsigned i = 0; i < workers->running; i++)
        pthread_join(workers->threads[i].thread, NULL);
    release(&workers->waiting);
    release(&workers->retired);
    for (unsigned i = 0; i < workers->options.count; i++) {
        loop_free(workers->threads[i].worker.loop);
        port_batch_free(workers->threads[i].worker.batch);
    }
    neighbours_free(workers->neighbours);
    sem_destroy(&workers->done);
    free(workers);
}

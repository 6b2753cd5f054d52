/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "loop/worker.h"

#define WORKERS 3

struct fixture {
    struct workers *workers;
    atomic_uint began;
    atomic_uint calls[WORKERS];
    pthread_t threads[WORKERS];
    char names[WORKERS][16];
};

static void count_begin(void *user)
{
    atomic_fetch_add(&((struct fixture *)user)->began, 1);
}

static void fixture_start(struct fixture *fixture, struct workers_options options)
{
    memset(fixture, 0, sizeof *fixture);
    options.began = count_begin;
    options.user = fixture;
    assert_int_equal(workers_new(&fixture->workers, &options), 0);
    assert_int_equal(atomic_load(&fixture->began), 0);
    assert_int_equal(workers_start(fixture->workers, NULL), 0);
    assert_int_equal(atomic_load(&fixture->began), options.count);
}

static void note_call(struct worker *worker, void *user)
{
    struct fixture *fixture = user;
    atomic_fetch_add(&fixture->calls[worker->index], 1);
    fixture->threads[worker->index] = pthread_self();
    pthread_getname_np(pthread_self(), fixture->names[worker->index], sizeof fixture->names[0]);
}

static void a_call_runs_once_in_each_thread_and_is_waited_for(void **state)
{
    struct fixture fixture;
    (void)state;
    fixture_start(&fixture, (struct workers_options){.count = WORKERS});
    for (unsigned round = 1; round <= 100; round++) {
        workers_call(fixture.workers, note_call, &fixture);
        for (unsigned i = 0; i < WORKERS; i++)
            assert_int_equal(atomic_load(&fixture.calls[i]), round);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        char name[16] = "worker-0";
        name[7] = (char)('0' + i);
        assert_string_equal(fixture.names[i], name);
        assert_false(pthread_equal(fixture.threads[i], pthread_self()));
        assert_false(pthread_equal(fixture.threads[i], fixture.threads[(i + 1) % WORKERS]));
    }
    workers_free(fixture.workers);
}

static void before_the_start_the_caller_does_what_is_called(void **state)
{
    struct fixture fixture = {0};
    const struct workers_options options = {.count = WORKERS};
    (void)state;
    assert_int_equal(workers_new(&fixture.workers, &options), 0);
    workers_call(fixture.workers, note_call, &fixture);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(atomic_load(&fixture.calls[i]), 1);
        assert_true(pthread_equal(fixture.threads[i], pthread_self()));
    }
    workers_free(fixture.workers);
}

/* A version whose release is noted. */
struct version {
    struct retired retired;
    atomic_bool is_released;
};

static void release(struct retired *retired)
{
    atomic_store(&((struct version *)retired)->is_released, true);
}

/* A worker that holds a version within a turn, as long as the test likes. */
struct holder {
    struct quiescent_slot slot;
    struct version versions[2];
    sem_t holds, let_go;
    bool was_released; /* while it was held */
};

static void hold(uint32_t events, void *user)
{
    struct holder *holder = user;
    struct version *version = quiescent_read(&holder->slot);
    (void)events;
    sem_post(&holder->holds);
    sem_wait(&holder->let_go);
    holder->was_released = atomic_load(&version->is_released);
}

static void what_a_worker_holds_is_not_released_before_its_turn_ends(void **state)
{
    struct fixture fixture;
    struct holder holder = {.was_released = true};
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    struct loop_watch watch = {.fd = fd, .ready = hold, .user = &holder};
    (void)state;
    sem_init(&holder.holds, 0, 0);
    sem_init(&holder.let_go, 0, 0);
    quiescent_publish(&holder.slot, &holder.versions[0]);
    fixture_start(&fixture, (struct workers_options){.count = WORKERS});
    assert_int_equal(loop_add(workers_get(fixture.workers, 1)->loop, &watch, EPOLLIN | EPOLLET), 0);
    sem_wait(&holder.holds);

    struct version *before = quiescent_publish(&holder.slot, &holder.versions[1]);
    workers_retire(fixture.workers, &before->retired, release);
    for (int i = 0; i < 200; i++) { /* others pass meanwhile */
        workers_tick(fixture.workers, clock_monotonic_ns());
        sched_yield();
        assert_false(atomic_load(&before->is_released));
    }
    sem_post(&holder.let_go);
    while (!atomic_load(&before->is_released)) {
        workers_tick(fixture.workers, clock_monotonic_ns());
        sched_yield();
    }
    assert_false(holder.was_released);
    assert_false(atomic_load(&holder.versions[1].is_released));
    workers_free(fixture.workers);
    sem_destroy(&holder.holds);
    sem_destroy(&holder.let_go);
    close(fd);
}

static void all_that_was_retired_is_released_at_the_end(void **state)
{
    struct fixture fixture;
    static struct version versions[10];
    (void)state;
    fixture_start(&fixture, (struct workers_options){.count = WORKERS});
    for (int i = 0; i < 10; i++)
        workers_retire(fixture.workers, &versions[i].retired, release);
    workers_free(fixture.workers);
    for (int i = 0; i < 10; i++)
        assert_true(atomic_load(&versions[i].is_released));
}

static void a_worker_that_hangs_is_noticed_and_an_idle_one_is_not_taken_for_it(void **state)
{
    struct fixture fixture;
    struct holder holder = {.was_released = false};
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    struct loop_watch watch = {.fd = fd, .ready = hold, .user = &holder};
    int64_t now_ns = clock_monotonic_ns();
    (void)state;
    sem_init(&holder.holds, 0, 0);
    sem_init(&holder.let_go, 0, 0);
    quiescent_publish(&holder.slot, &holder.versions[0]);
    fixture_start(&fixture, (struct workers_options){.count = WORKERS});
    assert_true(workers_tick(fixture.workers, now_ns));
    workers_call(fixture.workers, note_call, &fixture); /* they have turned */
    assert_true(workers_tick(fixture.workers, now_ns + WORKER_DEAD_NS));
    assert_int_equal(loop_add(workers_get(fixture.workers, 1)->loop, &watch, EPOLLIN | EPOLLET), 0);
    sem_wait(&holder.holds);
    workers_tick(fixture.workers, now_ns + WORKER_DEAD_NS);
    assert_false(workers_tick(fixture.workers, now_ns + 3 * WORKER_DEAD_NS));
    sem_post(&holder.let_go);
    while (!workers_tick(fixture.workers, now_ns + 4 * WORKER_DEAD_NS)) {
        for (unsigned i = 0; i < WORKERS; i++)
            loop_wake(workers_get(fixture.workers, i)->loop);
        sched_yield();
    }
    workers_free(fixture.workers);
    sem_destroy(&holder.holds);
    sem_destroy(&holder.let_go);
    close(fd);
}

static void pinned_workers_have_one_cpu_each(void **state)
{
    struct fixture fixture;
    cpu_set_t allowed;
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    fixture_start(&fixture, (struct workers_options){.count = WORKERS, .pin = true});
    workers_call(fixture.workers, note_call, &fixture);
    for (unsigned i = 0; i < WORKERS; i++) {
        cpu_set_t own, both;
        assert_int_equal(pthread_getaffinity_np(fixture.threads[i], sizeof own, &own), 0);
        assert_int_equal(CPU_COUNT(&own), 1);
        CPU_AND(&both, &own, &allowed);
        assert_int_equal(CPU_COUNT(&both), 1);
    }
    workers_free(fixture.workers);
}

static void a_stop_under_calls_and_wakes_ends(void **state)
{
    struct fixture fixture;
    (void)state;
    for (int round = 0; round < 50; round++) {
        fixture_start(&fixture, (struct workers_options){.count = WORKERS});
        workers_call(fixture.workers, note_call, &fixture);
        loop_wake(workers_get(fixture.workers, 0)->loop);
        workers_free(fixture.workers);
        assert_int_equal(atomic_load(&fixture.calls[0]), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_runs_once_in_each_thread_and_is_waited_for),
        cmocka_unit_test(before_the_start_the_caller_does_what_is_called),
        cmocka_unit_test(what_a_worker_holds_is_not_released_before_its_turn_ends),
        cmocka_unit_test(all_that_was_retired_is_released_at_the_end),
        cmocka_unit_test(a_worker_that_hangs_is_noticed_and_an_idle_one_is_not_taken_for_it),
        cmocka_unit_test(pinned_workers_have_one_cpu_each),
        cmocka_unit_test(a_stop_under_calls_and_wakes_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

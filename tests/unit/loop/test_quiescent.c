/* SPDX-License-Identifier: Apache-2.0 */
/* The store-buffer litmus test of loop/quiescent.h, on two threads, and what it protects. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "loop/quiescent.h"

/* Enough rounds to catch a barrier that is missing, within a time that a busy machine has. */
#define ROUNDS 4000000
#define MOST_NS INT64_C(3000000000)

/* One round: the worker passes, then reads; the control thread publishes, then notes turns. Each
 * thread's first step is a store, its second a load of what the other has stored. */
struct litmus {
    _Alignas(128) struct quiescent worker;
    _Alignas(128) struct quiescent_slot slot;
    _Alignas(128) atomic_uint round; /* which one may run */
    _Alignas(128) atomic_uint done;  /* how many threads are through with it */
    atomic_bool is_last;             /* the round that is announced next */
    _Alignas(128) void *worker_saw[2];
};

static char old_version, new_version;

/* A CPU that others want as well must not be spun on for ever. */
static void rest(unsigned *spins)
{
    if (++*spins % 65536 == 0)
        sched_yield();
}

/* Both threads at once, each on a CPU of its own, as far as the system permits: a machine that does
 * other things as well would seldom run them side by side. */
static void go_ahead(unsigned index)
{
    const struct sched_param first = {.sched_priority = 1};
    cpu_set_t allowed, own;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    CPU_ZERO(&own);
    for (unsigned cpu = 0, found = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && found++ == index)
            CPU_SET(cpu, &own);
    }
    pthread_setaffinity_np(pthread_self(), sizeof own, &own);
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
}

static void delay(unsigned round)
{
    for (volatile unsigned i = 0; i < round % 16; i++)
        ;
}

static void *worker(void *user)
{
    struct litmus *litmus = user;
    go_ahead(1);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned spins = 0;
             atomic_load_explicit(&litmus->round, memory_order_acquire) != round;)
            rest(&spins);
        if (atomic_load_explicit(&litmus->is_last, memory_order_relaxed))
            round = ROUNDS;
        (void)quiescent_read(&litmus->slot); /* the turn before: the cache has it */
        delay(round / 16);
        quiescent_pass(&litmus->worker);
        litmus->worker_saw[0] = quiescent_read(&litmus->slot);
        atomic_fetch_add_explicit(&litmus->done, 1, memory_order_release);
    }
    return NULL;
}

/* A worker that goes on with the old version after a pass that the control thread has not seen
 * would lose it under its hands: it must not come to that in any round. */
static void no_worker_keeps_a_version_beyond_a_pass_that_is_not_seen(void **state)
{
    static struct litmus litmus;
    unsigned both_old = 0;
    pthread_t thread;
    (void)state;
    if (cpus_usable() < 2) {
        puts("SKIP: needs two CPUs");
        _exit(77);
    }
    assert_int_equal(pthread_create(&thread, NULL, worker, &litmus), 0);
    go_ahead(0);
    int64_t end_ns = clock_monotonic_ns() + MOST_NS;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        bool is_last = round == ROUNDS || clock_monotonic_ns() >= end_ns;
        uint64_t turns = quiescent_turns(&litmus.worker);
        atomic_store_explicit(&litmus.slot.version, &old_version, memory_order_relaxed);
        atomic_store_explicit(&litmus.done, 0, memory_order_relaxed);
        atomic_store_explicit(&litmus.is_last, is_last, memory_order_relaxed);
        atomic_store_explicit(&litmus.round, round, memory_order_release);
        delay(round);
        quiescent_publish(&litmus.slot, &new_version);
        uint64_t noted = quiescent_turns(&litmus.worker);
        for (unsigned spins = 0; atomic_load_explicit(&litmus.done, memory_order_acquire) != 1;)
            rest(&spins);
        if (is_last)
            round = ROUNDS;
        both_old += noted == turns && litmus.worker_saw[0] == &old_version;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(both_old, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_worker_keeps_a_version_beyond_a_pass_that_is_not_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * What the benchmarks share: a clock, the median of rounds, and a way to make the compiler do the
 * work.
 */
#ifndef PADDOCK_BENCH_H
#define PADDOCK_BENCH_H

#include <stdint.h>

/** Odd, so that the median is one of them. */
#define BENCH_ROUNDS 11

/** What is measured: does its work @p iterations times. */
typedef void (*bench_fn)(uint64_t iterations, void *user);

/** Nanoseconds per iteration. */
struct bench_result {
    double median_ns;
    double min_ns;
    double max_ns;
};

/** Makes the compiler believe that the memory behind @p object is read and changed here, so that
 * neither the writes before this nor the reads after it can be left out. */
static inline void bench_keep(void *object)
{
    __asm__ volatile("" : : "r"(object) : "memory");
}

/** Monotonic nanoseconds. */
int64_t bench_now_ns(void);

/** CPU time of this thread in nanoseconds. */
int64_t bench_cpu_ns(void);

/** Runs a round that is thrown away, and then BENCH_ROUNDS rounds. What they take is CPU time, as
 * others may have the machine as well. */
struct bench_result bench_run(bench_fn work, uint64_t iterations, void *user);

/** Prints the head of a table of results. */
void bench_print_head(const char *title, uint64_t iterations);

/** Prints one row; @p baseline_ns is the median of the row to compare with. */
void bench_print(const char *name, struct bench_result result, double baseline_ns);

#endif

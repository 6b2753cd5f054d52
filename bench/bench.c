/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int compare_doubles(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;

    return (a > b) - (a < b);
}

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t bench_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct bench_result bench_run(bench_fn work, uint64_t iterations, void *user)
{
    double rounds[BENCH_ROUNDS];

    work(iterations, user);
    for (int i = 0; i < BENCH_ROUNDS; i++) {
        const int64_t start_ns = bench_cpu_ns();

        work(iterations, user);
        rounds[i] = (double)(bench_cpu_ns() - start_ns) / (double)iterations;
    }
    qsort(rounds, BENCH_ROUNDS, sizeof *rounds, compare_doubles);
    return (struct bench_result){
        .median_ns = rounds[BENCH_ROUNDS / 2],
        .min_ns = rounds[0],
        .max_ns = rounds[BENCH_ROUNDS - 1],
    };
}

void bench_print_head(const char *title, uint64_t iterations)
{
    printf("%s: ns each, %d rounds of %" PRIu64 "\n", title, BENCH_ROUNDS, iterations);
    printf("%-28s %8s %8s %8s  %s\n", "", "median", "min", "max", "of baseline");
}

void bench_print(const char *name, struct bench_result result, double baseline_ns)
{
    printf("%-28s %8.2f %8.2f %8.2f  %10.2fx\n", name, result.median_ns, result.min_ns,
           result.max_ns, result.median_ns / baseline_ns);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "load/limit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Shares of the run. What never waits is at its limit, less what measuring takes. */
#define BUSY 0.95
#define HAS_ROOM 0.90
#define KEPT_WAITING 0.10
#define NO_CPU_LEFT 0.05

/* The share of the pings of an open loop that may never leave. */
#define UNSENT 0.001

/* Delays below this are those of any wake-up. */
#define LAG_NS 100000

/* Shares of the time of sending; what the CPU times have of the time after it is next to nothing.
 */
struct shares {
    double busy;    /* not waiting for something to do */
    double waiting; /* neither waiting for something to do nor on a CPU */
    double watched; /* cores, of all processes given */
    double left;    /* cores without work, of those that the generator may use; below 0: unknown */
};

static struct shares shares_of(const struct load_options *options, const struct load_result *result)
{
    struct shares shares = {0};
    double sending_ns = (double)result->sending_ns;
    if (result->sending_ns <= 0)
        return shares;
    shares.busy = 1 - (double)result->idle_ns / sending_ns;
    shares.waiting = (result->spins ? 1 : shares.busy) - (double)result->own_cpu_ns / sending_ns;
    if (shares.waiting < 0)
        shares.waiting = 0;
    shares.left = (double)result->cpus_idle_ns / sending_ns;
    for (size_t i = 0; i < options->pids.count; i++)
        if (result->pid_cpu_ns[i] > 0)
            shares.watched += (double)result->pid_cpu_ns[i] / sending_ns;
    return shares;
}

__attribute__((format(printf, 3, 4))) static enum limit
judged(enum limit limit, char reason[LIMIT_REASON_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, LIMIT_REASON_BYTES, format, arguments);
    va_end(arguments);
    return limit;
}

static enum limit judge_open(const struct load_result *result, const struct shares *shares,
                             char *reason)
{
    const struct load_counts *counts = &result->counts;
    int64_t lag_ns = hdr_histogram_quantile(&result->lag_ns, 0.99);
    int64_t latency_ns = hdr_histogram_quantile(&result->latency_ns, 0.99);
    if ((double)counts->unsent > UNSENT * (double)counts->scheduled)
        return judged(
            LIMIT_GENERATOR, reason,
            "it could not keep the rate: %" PRIu64 " of %" PRIu64
            " pings never left (it was busy %.0f %% of the time, kept from a CPU %.0f %%)",
            counts->unsent, counts->scheduled, 100 * shares->busy, 100 * shares->waiting);
    if (counts->answered == 0)
        return judged(LIMIT_ELSEWHERE, reason, "the schedule was kept, and nothing was answered");
    if (lag_ns > LAG_NS && lag_ns > latency_ns / 2)
        return judged(LIMIT_GENERATOR, reason,
                      "pings left late: at p99 %.3f ms of %.3f ms latency are its own delay",
                      (double)lag_ns / 1e6, (double)latency_ns / 1e6);
    return judged(LIMIT_ELSEWHERE, reason, "the schedule was kept: at p99 pings left %.3f ms late",
                  (double)lag_ns / 1e6);
}

static enum limit judge_closed(const struct load_options *options, const struct load_result *result,
                               const struct shares *shares, char *reason)
{
    if (shares->waiting > KEPT_WAITING)
        return judged(LIMIT_GENERATOR, reason, "it was kept from a CPU %.0f %% of the time",
                      100 * shares->waiting);
    if (shares->busy < BUSY && shares->left >= 0 && shares->left < NO_CPU_LEFT)
        return judged(LIMIT_UNKNOWN, reason,
                      "it was busy %.0f %% of the time only, but others left none of its CPUs idle",
                      100 * shares->busy);
    if (shares->busy < BUSY)
        return judged(LIMIT_ELSEWHERE, reason, "it was busy %.0f %% of the time only",
                      100 * shares->busy);
    if (result->spins)
        return judged(
            LIMIT_UNKNOWN, reason,
            "it was busy %.0f %% of the time, but what answers in a driver may be part of "
            "that",
            100 * shares->busy);
    if (options->pids.count == 0)
        return judged(LIMIT_UNKNOWN, reason,
                      "it was busy %.0f %% of the time; --pid tells whether the server was too",
                      100 * shares->busy);
    if (shares->watched < HAS_ROOM)
        return judged(LIMIT_GENERATOR, reason,
                      "it was busy %.0f %% of the time, the processes given took %.2f cores",
                      100 * shares->busy, shares->watched);
    return judged(LIMIT_UNKNOWN, reason,
                  "it was busy %.0f %% of the time, and the processes given took %.2f cores",
                  100 * shares->busy, shares->watched);
}

enum limit limit_judge(const struct load_options *options, const struct load_result *result,
                       char reason[LIMIT_REASON_BYTES])
{
    struct shares shares = shares_of(options, result);
    if (result->counts.receive_drops > 0)
        return judged(LIMIT_GENERATOR, reason,
                      "its receive buffers overflowed: %" PRIu64 " datagrams were dropped",
                      result->counts.receive_drops);
    if (options->rate != 0)
        return judge_open(result, &shares, reason);
    return judge_closed(options, result, &shares, reason);
}

const char *limit_text(enum limit limit)
{
    switch (limit) {
    case LIMIT_GENERATOR:
        return "generator";
    case LIMIT_UNKNOWN:
        return "unknown";
    case LIMIT_ELSEWHERE:
        break;
    }
    return "elsewhere";
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "load/meter.h"

#include "base/clock.h"
#include "load/cpu.h"

/* A smaller time than before is that of another process, with the number of one that ended. */
static int64_t since(int64_t before_ns, int64_t now_ns)
{
    return before_ns >= 0 && now_ns >= before_ns ? now_ns - before_ns : -1;
}

void meter_start(struct meter *meter, const struct load_options *options)
{
    meter->idle_ns = cpu_idle_ns();
    for (size_t i = 0; i < options->pids.count; i++)
        meter->pids_ns[i] = cpu_process_ns(options->pids.items[i]);
    meter->own_ns = cpu_own_ns();
    meter->start_ns = clock_monotonic_ns();
}

void meter_sending_over(const struct meter *meter, struct load_result *result)
{
    result->cpus_idle_ns = since(meter->idle_ns, cpu_idle_ns());
}

void meter_stop(const struct meter *meter, const struct load_options *options,
                struct load_result *result)
{
    result->window_ns = clock_monotonic_ns() - meter->start_ns;
    result->own_cpu_ns = cpu_own_ns() - meter->own_ns;
    for (size_t i = 0; i < options->pids.count; i++)
        result->pid_cpu_ns[i] = since(meter->pids_ns[i], cpu_process_ns(options->pids.items[i]));
}

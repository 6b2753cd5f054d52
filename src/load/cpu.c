/* SPDX-License-Identifier: Apache-2.0 */
#include "load/cpu.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Enough for the beginning of a line of /proc/stat; the rest of longer ones is skipped. */
#define LINE_BYTES 512

static int64_t read_ns(clockid_t clock)
{
    struct timespec used;
    if (clock_gettime(clock, &used) != 0)
        return -1;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

int64_t cpu_process_ns(pid_t pid)
{
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) == 0 ? read_ns(clock) : -1;
}

int64_t cpu_own_ns(void)
{
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* The ticks that a line of /proc/stat has as idle, with or without I/O under way; 0 for the line of
 * no CPU of the set. */
static uint64_t idle_ticks(const char *line, const cpu_set_t *cpus)
{
    unsigned cpu;
    uint64_t idle, waiting;
    if (sscanf(line, "cpu%u %*u %*u %*u %" SCNu64 " %" SCNu64, &cpu, &idle, &waiting) != 3)
        return 0;
    return cpu < CPU_SETSIZE && CPU_ISSET(cpu, cpus) ? idle + waiting : 0;
}

int64_t cpu_idle_ns(void)
{
    char line[LINE_BYTES];
    cpu_set_t cpus;
    long ticks_per_second = sysconf(_SC_CLK_TCK);
    if (ticks_per_second <= 0 || sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return -1;
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return -1;
    uint64_t ticks = 0;
    while (fgets(line, sizeof line, file) != NULL)
        ticks += idle_ticks(line, &cpus);
    fclose(file);
    return (int64_t)(ticks * UINT64_C(1000000000) / (uint64_t)ticks_per_second);
}

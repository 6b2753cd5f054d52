/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_line(const char *path, char *line, int capacity)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -1;
    int result = fgets(line, capacity, file) != NULL ? 0 : -1;
    fclose(file);
    return result;
}

/* The quota of one control group of version 2 ("QUOTA PERIOD" or "max PERIOD"), in CPUs. */
static unsigned quota(const char *folder)
{
    char path[PATH_MAX + 64], line[64];
    unsigned long long microseconds, period;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    if (read_line(path, line, sizeof line) != 0 ||
        sscanf(line, "%llu %llu", &microseconds, &period) != 2 || period == 0)
        return UINT_MAX;
    unsigned long long cpus = (microseconds + period - 1) / period;
    return cpus >= 1 && cpus < UINT_MAX ? (unsigned)cpus : 1;
}

/* The least quota of the process's group and those above it. */
static unsigned least_quota(void)
{
    char line[PATH_MAX], *folder;
    unsigned least = UINT_MAX;
    if (read_line("/proc/self/cgroup", line, sizeof line) != 0 || strncmp(line, "0::/", 4) != 0)
        return UINT_MAX;

    folder = line + 3;
    folder[strcspn(folder, "\n")] = '\0';
    for (char *end = folder + strlen(folder); end != NULL; end = strrchr(folder, '/')) {
        *end = '\0';
        unsigned cpus = quota(folder);
        least = cpus < least ? cpus : least;
    }
    return least;
}

unsigned cpus_usable(void)
{
    unsigned most = least_quota();
    unsigned cpus = 0;
    /* The set has to be as large as the kernel's, whatever that is. */
    for (int bits = 1024; bits <= 1 << 20 && cpus == 0; bits *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)bits);
        if (set != NULL && sched_getaffinity(0, CPU_ALLOC_SIZE((size_t)bits), set) == 0)
            cpus = (unsigned)CPU_COUNT_S(CPU_ALLOC_SIZE((size_t)bits), set);
        CPU_FREE(set);
    }
    cpus = cpus > 0 ? cpus : 1;
    return cpus < most ? cpus : most;
}

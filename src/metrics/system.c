/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND UINT64_C(1000000000)

int metrics_clock_read(struct metrics_clock *clock)
{
    struct timex timex = {.modes = 0};
    if (adjtimex(&timex) < 0)
        return -errno;
    clock->synchronized = (timex.status & STA_UNSYNC) == 0;
    clock->max_error_ns = timex.maxerror > 0 ? (uint64_t)timex.maxerror * 1000 : 0;
    return 0;
}

/* Reads the beginning of a file of /proc, which is made whole by one read. */
static int read_text(const char *path, char *text, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t bytes = read(fd, text, capacity - 1);
    int error = bytes < 0 ? -errno : 0;
    close(fd);
    if (error == 0)
        text[bytes] = '\0';
    return error;
}

/* Reads when the process was started. */
static int read_start(uint64_t *start_ns)
{
    char text[1024], line[256];
    uint64_t boot_seconds = 0, ticks;
    int found = 0;
    int error = read_text("/proc/self/stat", text, sizeof text);

    if (error != 0)
        return error;
    /* The line of the boot comes after one for each CPU, hence line by line. */
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL)
        return -errno;
    while (found != 1 && fgets(line, sizeof line, file) != NULL)
        found = sscanf(line, "btime %" SCNu64, &boot_seconds);
    fclose(file);
    /* The second field is the program's name in brackets, which may hold brackets itself. */
    const char *rest = strrchr(text, ')');
    if (found != 1 || rest == NULL ||
        sscanf(rest,
               ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
               "%*s %*s %*s %" SCNu64,
               &ticks) != 1)
        return -EPROTO;
    uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);
    *start_ns =
        (boot_seconds + ticks / hertz) * NS_PER_SECOND + ticks % hertz * (NS_PER_SECOND / hertz);
    return 0;
}

int metrics_process_read(struct metrics_process *process)
{
    struct metrics_process now = {0};
    struct timespec cpu;
    struct rlimit limit;
    char text[256];
    uint64_t pages, resident_pages, entries = 0;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -errno;
    now.cpu_ns = (uint64_t)cpu.tv_sec * NS_PER_SECOND + (uint64_t)cpu.tv_nsec;
    now.max_fds = limit.rlim_cur;
    int error = read_start(&now.start_ns);
    if (error == 0)
        error = read_text("/proc/self/statm", text, sizeof text);
    if (error != 0)
        return error;
    if (sscanf(text, "%" SCNu64 " %" SCNu64, &pages, &resident_pages) != 2)
        return -EPROTO;
    now.virtual_bytes = pages * page_bytes;
    now.resident_bytes = resident_pages * page_bytes;

    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL)
        return -errno;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        entries += entry->d_name[0] != '.';
    closedir(folder);
    now.open_fds = entries - 1; /* without the one of this listing */
    *process = now;
    return 0;
}

void metrics_system_write(struct metrics *out)
{
    struct metrics_clock clock = {.synchronized = false};
    struct metrics_process process = {.cpu_ns = 0};

    if (metrics_clock_read(&clock) == 0) {
        metrics_single(out, "paddock_clock_synchronized", METRICS_GAUGE, clock.synchronized,
                       "Whether the kernel's clock is kept in step with others.");
        metrics_family(out, "paddock_clock_max_error_seconds", METRICS_GAUGE, "seconds",
                       "How far off the kernel's clock may be.");
        metrics_seconds(out, clock.max_error_ns, NULL);
    }
    if (metrics_process_read(&process) != 0)
        return;

    metrics_family(out, "process_cpu_seconds", METRICS_COUNTER, "seconds",
                   "CPU time that the process has used.");
    metrics_seconds(out, process.cpu_ns, NULL);
    metrics_family(out, "process_start_time_seconds", METRICS_GAUGE, "seconds",
                   "When the process started, since 1970.");
    metrics_seconds(out, process.start_ns, NULL);
    metrics_family(out, "process_virtual_memory_bytes", METRICS_GAUGE, "bytes",
                   "Its address space.");
    metrics_sample(out, process.virtual_bytes, NULL);
    metrics_family(out, "process_resident_memory_bytes", METRICS_GAUGE, "bytes",
                   "Its memory in RAM.");
    metrics_sample(out, process.resident_bytes, NULL);
    metrics_single(out, "process_open_fds", METRICS_GAUGE, process.open_fds,
                   "Its open descriptors.");
    metrics_single(out, "process_max_fds", METRICS_GAUGE, process.max_fds,
                   "How many descriptors it may have open.");
}

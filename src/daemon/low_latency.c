#include "daemon/low_latency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "loop/busy_poll.h"

static void warn(struct log *log, const char *message, int error)
{
    LOG_EVENT(log, LOG_LEVEL_WARN, log_text("message", message),
              log_text("error", strerror(error)));
}

int low_latency_hold_cpus(struct log *log)
{
    const int32_t microseconds = 0;
    int fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, &microseconds, sizeof microseconds) == sizeof microseconds) {
        LOG_EVENT(log, LOG_LEVEL_INFO,
                  log_text("message", "CPUs are kept from deep sleep for low latency"));
        return fd;
    }
    warn(log, "low latency: CPUs cannot be kept from deep sleep", errno);
    if (fd >= 0)
        close(fd);
    return -1;
}

bool low_latency_can_poll(struct log *log)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    int error = fd >= 0 ? busy_poll_enable(fd) : -errno;
    if (fd >= 0)
        close(fd);
    if (error != 0)
        warn(log, "low latency: network devices cannot be polled", -error);
    return error == 0;
}

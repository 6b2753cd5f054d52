#include "loop/busy_poll.h"

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* As in linux/eventpoll.h from Linux 6.9 on, which is newer than Debian 12's headers. */
struct busy_poll_parameters {
    uint32_t microseconds;
    uint16_t budget;
    uint8_t prefer;
    uint8_t padding;
};

#define SET_PARAMETERS _IOW(0x8a, 0x01, struct busy_poll_parameters)

int busy_poll_enable(int epoll_fd)
{
    struct busy_poll_parameters parameters = {
        .microseconds = BUSY_POLL_US, .budget = BUSY_POLL_BUDGET, .prefer = 1};
    return ioctl(epoll_fd, SET_PARAMETERS, &parameters) == 0 ? 0 : -errno;
}

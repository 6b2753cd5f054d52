#include "daemon/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/number.h"

int notify_send(const char *socket_path, const char *state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t length = socket_path != NULL ? strlen(socket_path) : 0;
    if (length == 0)
        return 0;
    if (length >= sizeof to.sun_path)
        return -ENAMETOOLONG;
    memcpy(to.sun_path, socket_path, length);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0'; /* a name in the abstract namespace */
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, bytes);
    int error = sent < 0 ? -errno : 0;
    close(fd);
    return error;
}

uint64_t notify_watchdog_usec(const char *usec)
{
    uint64_t value;
    return usec != NULL && number_parse(usec, 1, UINT64_MAX, &value) == 0 ? value : 0;
}

bool notify_watchdog_is_ours(const char *pid)
{
    uint64_t value;
    return pid == NULL ||
           (number_parse(pid, 1, INT32_MAX, &value) == 0 && (pid_t)value == getpid());
}

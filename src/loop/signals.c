#include "loop/signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

void signals_stop_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

int signals_open(const sigset_t *set, sigset_t *before)
{
    sigset_t mask;
    int fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    int error = pthread_sigmask(SIG_BLOCK, set, &mask);
    if (error != 0) {
        close(fd);
        return -error;
    }
    if (before != NULL)
        *before = mask;
    return fd;
}

int signals_take(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

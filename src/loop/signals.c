/* SPDX-License-Identifier: Apache-2.0 */
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

void signals_end_set(sigset_t *set)
{
    struct sigaction action;

    signals_stop_set(set);
    if (sigaction(SIGHUP, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
        sigaddset(set, SIGHUP);
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

void signals_close(int fd, const sigset_t *before)
{
    close(fd);
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

int signals_take(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

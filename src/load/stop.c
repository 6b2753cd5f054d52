#include "load/stop.h"

#include <sys/signalfd.h>
#include <unistd.h>

unsigned stop_signals_take(int fd)
{
    struct signalfd_siginfo signal;
    unsigned count = 0;
    while (read(fd, &signal, sizeof signal) == sizeof signal)
        count++;
    return count;
}

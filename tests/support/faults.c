/* SPDX-License-Identifier: Apache-2.0 */
#include "support/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>

/* A function of jansson, for the programs that are linked with it. */
__attribute__((weak)) void json_set_alloc_funcs(void *(*allocate)(size_t), void (*release)(void *));

#define SECOND_NS INT64_C(1000000000)

/* What replaced functions cannot be passed otherwise. */
static struct faults own;
static struct faults *mapped = &own;

struct faults *faults_get(void)
{
    return mapped;
}

static int64_t get(const _Atomic int64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void count(_Atomic int64_t *number)
{
    atomic_fetch_add_explicit(number, 1, memory_order_relaxed);
}

/* Takes one of what is left. Several threads may call at once. */
static bool take(_Atomic int64_t *left)
{
    int64_t now = get(left);
    while (now > 0) {
        if (atomic_compare_exchange_weak_explicit(left, &now, now - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
    return now < 0;
}

/* Whether this call is to fail. */
static bool is_due(struct fault *fault)
{
    if (get(&fault->times) == 0 || take(&fault->skip))
        return false;
    int64_t every = get(&fault->every);
    int64_t turn = atomic_fetch_add_explicit(&fault->turns, 1, memory_order_relaxed);
    if (every > 1 && turn % every != every - 1)
        return false;
    return take(&fault->times);
}

/* Counts a call; whether it is to fail, with errno set. */
static bool fails(enum fault_name name)
{
    struct fault *fault = &mapped->each[name];
    count(&fault->calls);
    if (!is_due(fault))
        return false;
    count(&fault->done);
    errno = (int)get(&fault->error);
    return true;
}

/* How much of it a call may move. */
static size_t limited(enum fault_name name, size_t amount)
{
    struct fault *fault = &mapped->each[name];
    int64_t limit = get(&fault->limit);
    if (limit == 0 || amount <= (size_t)limit)
        return amount;
    count(&fault->done);
    return (size_t)limit;
}

/* By how much the wall clock is off at a moment of the real one. */
static int64_t wall_offset_ns(int64_t real_ns)
{
    bool has_jumped = real_ns >= get(&mapped->wall_jump_at_ns);
    return get(has_jumped ? &mapped->wall_after_ns : &mapped->wall_before_ns);
}

static void shift_wall(struct timespec *time)
{
    int64_t real_ns = (int64_t)time->tv_sec * SECOND_NS + time->tv_nsec;
    if (real_ns == 0) /* a stamp that is not there */
        return;
    int64_t ns = real_ns + wall_offset_ns(real_ns);
    *time = (struct timespec){.tv_sec = ns / SECOND_NS, .tv_nsec = ns % SECOND_NS};
}

static void shift_stamps(struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPING)
            continue;
        struct scm_timestamping stamps;
        memcpy(&stamps, CMSG_DATA(c), sizeof stamps);
        shift_wall(&stamps.ts[0]);
        memcpy(CMSG_DATA(c), &stamps, sizeof stamps);
    }
}

#define REPLACED(type, name, parameters)                                                           \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters

/* A call that fails with -1 or NULL, and does nothing else here. */
#define FAILING(type, failed, name, parameters, arguments)                                         \
    REPLACED(type, name, parameters)                                                               \
    {                                                                                              \
        return fails(FAULT_##name) ? (failed) : __real_##name arguments;                           \
    }

FAILING(int, -1, accept4, (int fd, struct sockaddr *from, socklen_t *bytes, int flags),
        (fd, from, bytes, flags))
FAILING(int, -1, bind, (int fd, const struct sockaddr *to, socklen_t bytes), (fd, to, bytes))
FAILING(int, -1, epoll_create1, (int flags), (flags))
FAILING(int, -1, epoll_ctl, (int epoll, int what, int fd, struct epoll_event *event),
        (epoll, what, fd, event))
FAILING(int, -1, epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout),
        (epoll, events, most, timeout))
FAILING(int, -1, eventfd, (unsigned value, int flags), (value, flags))
FAILING(int, -1, eventfd_read, (int fd, eventfd_t *value), (fd, value))
FAILING(FILE *, NULL, fopen, (const char *path, const char *mode), (path, mode))
FAILING(int, -1, fstat, (int fd, struct stat *status), (fd, status))
FAILING(int, -1, getentropy, (void *to, size_t bytes), (to, bytes))
FAILING(ssize_t, -1, getrandom, (void *to, size_t bytes, unsigned flags), (to, bytes, flags))
FAILING(int, -1, getsockname, (int fd, struct sockaddr *to, socklen_t *bytes), (fd, to, bytes))
FAILING(int, -1, getsockopt, (int fd, int level, int name, void *value, socklen_t *bytes),
        (fd, level, name, value, bytes))
FAILING(int, -1, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))
FAILING(int, -1, inotify_init1, (int flags), (flags))
FAILING(int, -1, listen, (int fd, int most), (fd, most))
FAILING(DIR *, NULL, opendir, (const char *path), (path))
FAILING(int, -1, poll, (struct pollfd * fds, nfds_t fds_count, int timeout),
        (fds, fds_count, timeout))
FAILING(int, -1, ppoll,
        (struct pollfd * fds, nfds_t fds_count, const struct timespec *timeout,
         const sigset_t *mask),
        (fds, fds_count, timeout, mask))
FAILING(ssize_t, -1, readlink, (const char *path, char *to, size_t bytes), (path, to, bytes))
FAILING(ssize_t, -1, recv, (int fd, void *to, size_t bytes, int flags), (fd, to, bytes, flags))
FAILING(int, -1, sched_getaffinity, (pid_t pid, size_t bytes, cpu_set_t *cpus), (pid, bytes, cpus))
FAILING(int, -1, sem_wait, (sem_t * semaphore), (semaphore))
FAILING(int, -1, sendmmsg, (int fd, struct mmsghdr *messages, unsigned count, int flags),
        (fd, messages, count, flags))
FAILING(ssize_t, -1, sendto,
        (int fd, const void *data, size_t bytes, int flags, const struct sockaddr *to,
         socklen_t to_bytes),
        (fd, data, bytes, flags, to, to_bytes))
FAILING(int, -1, setsockopt, (int fd, int level, int name, const void *value, socklen_t bytes),
        (fd, level, name, value, bytes))
FAILING(int, -1, shutdown, (int fd, int how), (fd, how))
FAILING(int, -1, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
FAILING(int, -1, socket, (int family, int type, int protocol), (family, type, protocol))
FAILING(int, -1, stat, (const char *path, struct stat *status), (path, status))

REPLACED(ssize_t, read, (int fd, void *to, size_t bytes))
{
    return fails(FAULT_read) ? -1 : __real_read(fd, to, limited(FAULT_read, bytes));
}

REPLACED(ssize_t, write, (int fd, const void *data, size_t bytes))
{
    return fails(FAULT_write) ? -1 : __real_write(fd, data, limited(FAULT_write, bytes));
}

REPLACED(int, open, (const char *path, int flags, ...))
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails(FAULT_open) ? -1 : __real_open(path, flags, mode);
}

REPLACED(int, pthread_create,
         (pthread_t * thread, const pthread_attr_t *attributes, void *(*start)(void *),
          void *argument))
{
    return fails(FAULT_pthread_create) ? errno
                                       : __real_pthread_create(thread, attributes, start, argument);
}

REPLACED(int, recvmmsg,
         (int fd, struct mmsghdr *messages, unsigned most, int flags, struct timespec *timeout))
{
    if (fails(FAULT_recvmmsg))
        return -1;
    most = (unsigned)limited(FAULT_recvmmsg, most);
    int received = __real_recvmmsg(fd, messages, most, flags, timeout);
    for (int i = 0; i < received; i++)
        shift_stamps(&messages[i].msg_hdr);
    return received;
}

REPLACED(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags))
{
    if (fails(FAULT_recvmsg))
        return -1;
    ssize_t bytes = __real_recvmsg(fd, message, flags);
    if (bytes >= 0)
        shift_stamps(message);
    return bytes;
}

REPLACED(int, clock_gettime, (clockid_t clock, struct timespec *time))
{
    count(&mapped->each[FAULT_clock_gettime].calls);
    int result = __real_clock_gettime(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        shift_wall(time);
    return result;
}

/* An interface of which somebody asks for the driver looks like hardware then. */
REPLACED(int, ioctl, (int fd, unsigned long request, void *argument))
{
    int result = __real_ioctl(fd, request, argument);
    if (result == 0 && request == SIOCETHTOOL) {
        struct ethtool_drvinfo *driver = (void *)((struct ifreq *)argument)->ifr_data;
        if (driver->cmd == ETHTOOL_GDRVINFO && fails(FAULT_hardware))
            memcpy(driver->bus_info, "0000:00:00.0", sizeof "0000:00:00.0");
    }
    return result;
}

static bool is_segmented(const struct msghdr *message)
{
    struct msghdr copy = *message; /* CMSG_NXTHDR takes no const one */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c != NULL; c = CMSG_NXTHDR(&copy, c)) {
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_SEGMENT)
            return true;
    }
    return false;
}

/* Only the HTTP server, which sends streams, asks for no signal. */
REPLACED(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags))
{
    enum fault_name name = FAULT_sendmsg;
    if ((flags & MSG_NOSIGNAL) != 0)
        name = FAULT_sendmsg_stream;
    else if (is_segmented(message))
        name = FAULT_sendmsg_segmented;
    return fails(name) ? -1 : __real_sendmsg(fd, message, flags);
}

REPLACED(void *, malloc, (size_t bytes))
{
    return fails(FAULT_memory) ? NULL : __real_malloc(bytes);
}

REPLACED(void *, calloc, (size_t items, size_t bytes))
{
    return fails(FAULT_memory) ? NULL : __real_calloc(items, bytes);
}

REPLACED(void *, aligned_alloc, (size_t alignment, size_t bytes))
{
    return fails(FAULT_memory) ? NULL : __real_aligned_alloc(alignment, bytes);
}

REPLACED(FILE *, open_memstream, (char **to, size_t *bytes))
{
    return fails(FAULT_memory) ? NULL : __real_open_memstream(to, bytes);
}

/* Before main(). A file that is named and cannot be used is the test's mistake. */
__attribute__((constructor)) static void faults_open(void)
{
    const char *path = getenv("PADDOCK_FAULTS");
    if (json_set_alloc_funcs != NULL)
        json_set_alloc_funcs(__wrap_malloc, free);
    if (path == NULL)
        return;
    int fd = __real_open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        abort();
    mapped = mmap(NULL, sizeof *mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    close(fd);
}

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Faults on demand: what the system does for our code fails when a test says so.
 *
 * A program that is linked with `faults.c` and the linker's `--wrap` (paddock_faulty() in
 * support/faults.cmake) makes the calls below through functions of `faults.c`. Only the calls of
 * our own objects go there: the same objects that are linked into the program itself, which
 * therefore has no hooks. What the C library and others call for themselves stays as it is, but for
 * the memory of jansson, which we ask for by name.
 *
 * A test steers the program, at its start or while it runs, through a file that both map:
 * `$PADDOCK_FAULTS` is its path, its content a struct faults (tests/integration/faults.py). Without
 * it nothing fails. A function here makes no system call but the one that it stands for, so that it
 * works behind a seccomp filter.
 */
#ifndef PADDOCK_SUPPORT_FAULTS_H
#define PADDOCK_SUPPORT_FAULTS_H

#include <stdatomic.h>
#include <stdint.h>

/** One line a fault: X(NAME, symbols that have it). A symbol that is the fault's own name is a
 * call that returns -1 (or NULL) and errno; what else a fault does is said in faults.c. Python and
 * CMake read this list. */
#define FAULTS(X)                                                                                  \
    X(accept4, accept4)                                                                            \
    X(bind, bind)                                                                                  \
    X(clock_gettime, clock_gettime)                                                                \
    X(epoll_create1, epoll_create1)                                                                \
    X(epoll_ctl, epoll_ctl)                                                                        \
    X(epoll_wait, epoll_wait)                                                                      \
    X(eventfd, eventfd)                                                                            \
    X(eventfd_read, eventfd_read)                                                                  \
    X(fopen, fopen)                                                                                \
    X(fstat, fstat)                                                                                \
    X(getentropy, getentropy)                                                                      \
    X(getrandom, getrandom)                                                                        \
    X(getsockname, getsockname)                                                                    \
    X(getsockopt, getsockopt)                                                                      \
    X(hardware, ioctl)                                                                             \
    X(inotify_add_watch, inotify_add_watch)                                                        \
    X(inotify_init1, inotify_init1)                                                                \
    X(listen, listen)                                                                              \
    X(memory, malloc calloc aligned_alloc open_memstream)                                          \
    X(open, open)                                                                                  \
    X(opendir, opendir)                                                                            \
    X(poll, poll)                                                                                  \
    X(ppoll, ppoll)                                                                                \
    X(pthread_create, pthread_create)                                                              \
    X(read, read)                                                                                  \
    X(readlink, readlink)                                                                          \
    X(recv, recv)                                                                                  \
    X(recvmmsg, recvmmsg)                                                                          \
    X(recvmsg, recvmsg)                                                                            \
    X(sched_getaffinity, sched_getaffinity)                                                        \
    X(sem_wait, sem_wait)                                                                          \
    X(sendmmsg, sendmmsg)                                                                          \
    X(sendmsg, sendmsg)                                                                            \
    X(sendmsg_segmented, sendmsg)                                                                  \
    X(sendmsg_stream, sendmsg)                                                                     \
    X(sendto, sendto)                                                                              \
    X(setsockopt, setsockopt)                                                                      \
    X(shutdown, shutdown)                                                                          \
    X(signalfd, signalfd)                                                                          \
    X(socket, socket)                                                                              \
    X(stat, stat)                                                                                  \
    X(write, write)

enum fault_name {
#define FAULT_ENUM(name, symbols) FAULT_##name,
    FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
    FAULT_COUNT
};

/** One fault. A test writes the first five, `times` as the last; relaxed, each for itself. */
struct fault {
    _Atomic int64_t skip;  /**< calls that pass before it begins */
    _Atomic int64_t every; /**< from then on only each n-th call fails; 0 = all */
    _Atomic int64_t error; /**< errno */
    _Atomic int64_t limit; /**< most messages of a recvmmsg, bytes of a read or write, that a call
                                moves; 0 = no limit */
    _Atomic int64_t times; /**< calls that fail; negative = until told otherwise */
    _Atomic int64_t turns; /**< calls since skip was used up */
    _Atomic int64_t calls; /**< how often the program made it, failed ones included */
    _Atomic int64_t done;  /**< how often it failed, or was cut short by the limit */
};

/** What a test says, and what came of it. All zero: nothing fails. */
struct faults {
    /* The wall clock, as a program sees it and in the kernel's stamps on datagrams: off by the
     * first before this moment of the real one, by the last from then on. */
    _Atomic int64_t wall_before_ns, wall_jump_at_ns, wall_after_ns;
    struct fault each[FAULT_COUNT];
};

/** The faults of this process: what it has mapped, or its own. */
struct faults *faults_get(void);

#endif

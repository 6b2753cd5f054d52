/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

#define EVENTS_MAX 64
#define MS_NS INT64_C(1000000)

/* The longest wait for devices, and packets that one poll takes: the kernel asks for privileges
 * above 64. */
#define POLL_US 200
#define POLL_BUDGET 64

/* As in linux/eventpoll.h from Linux 6.9 on, which is newer than Debian 12's headers. */
struct busy_poll_parameters {
    uint32_t microseconds;
    uint16_t budget;
    uint8_t prefer;
    uint8_t padding;
};
#define SET_BUSY_POLL _IOW(0x8a, 0x01, struct busy_poll_parameters)

struct loop {
    int epoll_fd, wake_fd;
    struct loop_watch wake;
    struct loop_timer *first; /* the timers, by their time */
    int count;                /* events in hand */
    int64_t began_ns;
    struct epoll_event events[EVENTS_MAX];
};

static void take_wake(uint32_t events, void *user)
{
    eventfd_t value;
    (void)events;
    eventfd_read(((struct loop *)user)->wake_fd, &value);
}

int loop_new(struct loop **loop)
{
    struct loop *made = calloc(1, sizeof *made);
    if (made == NULL)
        return -ENOMEM;

    made->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    made->wake_fd = made->epoll_fd >= 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    int error = made->wake_fd >= 0 ? 0 : -errno;
    if (error == 0) {
        made->wake = (struct loop_watch){.fd = made->wake_fd, .ready = take_wake, .user = made};
        error = loop_add(made, &made->wake, EPOLLIN);
    }
    if (error != 0) {
        loop_free(made);
        return error;
    }
    *loop = made;
    return 0;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    free(loop);
}

int loop_poll_devices(struct loop *loop)
{
    struct busy_poll_parameters parameters = {
        .microseconds = POLL_US, .budget = POLL_BUDGET, .prefer = 1};
    return ioctl(loop->epoll_fd, SET_BUSY_POLL, &parameters) == 0 ? 0 : -errno;
}

static int control(struct loop *loop, int operation, struct loop_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) == 0 ? 0 : -errno;
}

int loop_add(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_ADD, watch, events);
}

int loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
    return control(loop, EPOLL_CTL_MOD, watch, events);
}

void loop_remove(struct loop *loop, struct loop_watch *watch)
{
    control(loop, EPOLL_CTL_DEL, watch, 0);
    for (int i = 0; i < loop->count; i++) {
        if (loop->events[i].data.ptr == watch)
            loop->events[i].data.ptr = NULL;
    }
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    struct loop_timer **at = &loop->first;
    while (*at != NULL && *at != timer)
        at = &(*at)->next;
    if (*at != NULL)
        *at = timer->next;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ns)
{
    loop_timer_stop(loop, timer);
    struct loop_timer **at = &loop->first;
    while (*at != NULL && (*at)->at_ns <= at_ns)
        at = &(*at)->next;
    timer->at_ns = at_ns;
    timer->next = *at;
    *at = timer;
}

/* Rounded up, so that a timer is due when the wait is over. */
static int wait_ms(const struct loop *loop, int64_t until_ns)
{
    int64_t next_ns =
        loop->first != NULL && loop->first->at_ns < until_ns ? loop->first->at_ns : until_ns;
    if (next_ns == LOOP_NEVER)
        return -1;
    int64_t left_ns = next_ns > 0 ? next_ns - clock_monotonic_ns() : 0;
    if (left_ns <= 0)
        return 0;
    int64_t left_ms = (left_ns + MS_NS - 1) / MS_NS;
    return left_ms < INT32_MAX ? (int)left_ms : INT32_MAX;
}

void loop_turn(struct loop *loop, int64_t until_ns)
{
    int count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_MAX, wait_ms(loop, until_ns));
    loop->count = count > 0 ? count : 0; /* EINTR: nothing is known of the descriptors */

    loop->began_ns = clock_monotonic_ns();
    while (loop->first != NULL && loop->first->at_ns <= loop->began_ns) {
        struct loop_timer *due = loop->first;
        loop->first = due->next;
        due->fire(due->user);
    }
    for (int i = 0; i < loop->count; i++) {
        struct loop_watch *watch = loop->events[i].data.ptr;
        if (watch != NULL)
            watch->ready(loop->events[i].events, watch->user);
    }
    loop->count = 0;
    while (loop->first != NULL && loop->first->at_ns == 0) {
        struct loop_timer *due = loop->first;
        loop->first = due->next;
        due->fire(due->user);
    }
}

int64_t loop_began_ns(const struct loop *loop)
{
    return loop->began_ns;
}

void loop_wake(struct loop *loop)
{
    eventfd_write(loop->wake_fd, 1);
}

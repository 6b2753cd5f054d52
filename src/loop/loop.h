/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * One event loop: descriptors, timers, and a wake-up from other threads. It belongs to the thread
 * that turns it, save what says otherwise.
 */
#ifndef PADDOCK_LOOP_LOOP_H
#define PADDOCK_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/** No time at all: for timers that are not set. */
#define LOOP_NEVER INT64_MAX

struct loop;

/** Is called while its descriptor is ready.
 * @param events EPOLLIN and so on, as of epoll_ctl(2). */
typedef void loop_ready_fn(uint32_t events, void *user);

/** A descriptor under watch, in the caller's memory. */
struct loop_watch {
    int fd;
    loop_ready_fn *ready;
    void *user;
};

/** Is called once when its time has come; it may set the timer again. */
typedef void loop_fire_fn(void *user);

/** A timer, in the caller's memory. The last two members are the loop's. */
struct loop_timer {
    loop_fire_fn *fire;
    void *user;
    int64_t at_ns;
    struct loop_timer *next;
};

/** Makes a loop.
 * @param[out] loop untouched on failure; freed with loop_free().
 * @return 0 or a negative errno value. */
int loop_new(struct loop **loop);

/** Frees it. What it watched stays open. NULL is fine. */
void loop_free(struct loop *loop);

/** Lets waits poll the network devices of the sockets before they sleep: less latency for CPU time.
 * @return 0 or a negative errno value, -ENOTTY before Linux 6.9. */
int loop_poll_devices(struct loop *loop);

/** Watches a descriptor. From any thread, while the loop turns.
 * @param watch must stay where it is until it is removed.
 * @param events as of epoll_ctl(2).
 * @return 0 or a negative errno value. */
int loop_add(struct loop *loop, struct loop_watch *watch, uint32_t events);

/** Waits for other events of a descriptor. @return 0 or a negative errno value. */
int loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events);

/** Ends a watch; it is not called any more. It may be its own. */
void loop_remove(struct loop *loop, struct loop_watch *watch);

/** Sets a timer, whether or not it is set. @param at_ns on the monotonic clock; 0: at the end of
 * the turn, after its descriptors, or at once in the next turn. A timer that is called at the end
 * of a turn must not set itself to 0. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ns);

/** Stops a timer; one that is not set is fine. */
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

/** Waits until something is ready, a timer is due, loop_wake() was called, or until a time; then
 * calls what there is to call: timers first, then descriptors, each once at most.
 * @param until_ns on the monotonic clock; 0 does not wait. */
void loop_turn(struct loop *loop, int64_t until_ns);

/** When the turn in hand began with its timers and descriptors, on the monotonic clock: what came
 * before and is ready, they can read. */
int64_t loop_began_ns(const struct loop *loop);

/** Makes the present or the next wait return at once. From any thread, and from signal handlers. */
void loop_wake(struct loop *loop);

#endif

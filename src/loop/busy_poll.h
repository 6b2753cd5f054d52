/** @file
 * Busy polling of an epoll: a wait that asks the network device itself for a while before it
 * sleeps, for less latency at the price of CPU time.
 */
#ifndef PADDOCK_LOOP_BUSY_POLL_H
#define PADDOCK_LOOP_BUSY_POLL_H

/** How long a wait polls before it sleeps. */
#define BUSY_POLL_US 200

/** Packets that one poll of the device takes. The kernel asks for privileges above 64. */
#define BUSY_POLL_BUDGET 64

/**
 * Lets the waits of an epoll poll the devices of its sockets, and the devices leave their
 * interrupts off meanwhile. Devices without NAPI, such as loopback, are not polled.
 * @return 0 or a negative errno value: -ENOTTY before Linux 6.9. Source: EPIOCSPARAMS in
 * ioctl_eventpoll(2).
 */
int busy_poll_enable(int epoll_fd);

#endif

/** @file
 * What systemd wants to hear of a service: sd_notify(3)'s protocol, a datagram to a UNIX socket.
 */
#ifndef PADDOCK_DAEMON_NOTIFY_H
#define PADDOCK_DAEMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Tells the service manager something, such as "READY=1". Does not block.
 * @param socket_path the value of NOTIFY_SOCKET; NULL or empty: nobody asked, which is fine.
 * @param state       lines of NAME=VALUE.
 * @return 0 or a negative errno value.
 */
int notify_send(const char *socket_path, const char *state);

/** How often the watchdog wants to hear "WATCHDOG=1", at least.
 * @param usec the value of WATCHDOG_USEC; may be NULL.
 * @return microseconds; 0: it did not ask. */
uint64_t notify_watchdog_usec(const char *usec);

/** Whether it asked this process, and not one from which this one has the variable.
 * @param pid the value of WATCHDOG_PID; NULL: it did not say. */
bool notify_watchdog_is_ours(const char *pid);

#endif

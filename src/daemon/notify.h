/** @file
 * What systemd wants to hear of a service: sd_notify(3)'s protocol, a datagram to a UNIX socket.
 */
#ifndef PADDOCK_DAEMON_NOTIFY_H
#define PADDOCK_DAEMON_NOTIFY_H

/**
 * Tells the service manager something, such as "READY=1". Does not block.
 * @param socket_path the value of NOTIFY_SOCKET; NULL or empty: nobody asked, which is fine.
 * @param state       lines of NAME=VALUE.
 * @return 0 or a negative errno value.
 */
int notify_send(const char *socket_path, const char *state);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The listening socket of an HTTP server.
 */
#ifndef PADDOCK_HTTP_LISTENER_H
#define PADDOCK_HTTP_LISTENER_H

#include <sys/socket.h>

/**
 * Opens a non-blocking TCP socket that listens. :: is for IPv4 as well; where the host has no IPv6
 * it is 0.0.0.0.
 * @param address AF_INET or AF_INET6; port 0 takes a free one.
 * @return the descriptor, the caller's, or a negative errno value.
 */
int listener_open(const struct sockaddr *address);

#endif

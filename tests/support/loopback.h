/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * UDP sockets on loopback, for tests that play the other side. Every failure fails the test.
 */
#ifndef PADDOCK_TESTS_SUPPORT_LOOPBACK_H
#define PADDOCK_TESTS_SUPPORT_LOOPBACK_H

#include "client/system.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qcmp/client.h>

/** How long a test waits for something that must come. */
#define LOOPBACK_PATIENCE_MS 10000

/** An error of the operating system, as the library has it. */
#ifdef _WIN32
#define LOOPBACK_ERROR(name) qcmp_error_from_os(WSA##name)
#else
#define LOOPBACK_ERROR(name) qcmp_error_from_os(name)
#endif

/** A bound socket and its address. */
struct loopback {
    qcmp_fd fd;
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

/** Opens a socket on a free port of 127.0.0.1 or ::1. */
struct loopback loopback_open(int family);

/** Opens a socket on 127.0.0.@p host and the port of another one of IPv4. */
struct loopback loopback_open_beside(const struct loopback *other, uint8_t host);

/** Closes it. */
void loopback_close(struct loopback *socket);

/** Whether this host has ::1. */
bool loopback_has_ipv6(void);

/** Receives one datagram; waits for it. @return its size. */
size_t loopback_receive(const struct loopback *socket, void *data, size_t capacity,
                        struct sockaddr_storage *from, socklen_t *from_bytes);

/** Whether this is an open socket of this process. */
bool loopback_is_socket(qcmp_fd fd);

/** Whether a datagram is there already. */
bool loopback_readable(const struct loopback *socket);

/** Whether a datagram is there within this time. */
bool loopback_wait_readable(const struct loopback *socket, int timeout_ms);

/** Sends one datagram. */
void loopback_send(const struct loopback *socket, const void *data, size_t bytes,
                   const struct sockaddr_storage *to, socklen_t to_bytes);

#endif

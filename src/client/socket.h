/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * The client's socket: what differs between platforms. socket_linux.c has the kernel's timestamps
 * and the network's errors, socket_posix.c is what every other Unix has, socket_windows.c is
 * Winsock. The build chooses one, and an interface_*.c.
 *
 * Names bear the library's prefix because a static library hides nothing from the program that
 * links it.
 */
#ifndef PADDOCK_CLIENT_SOCKET_H
#define PADDOCK_CLIENT_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qcmp/client.h>
#include <qcmp/probe.h>
#include <qcmp/wire.h>

#include "client/clock.h"

struct qcmp_socket {
    qcmp_fd fd;
    bool ipv6;      /**< AF_INET6, otherwise AF_INET */
    bool ipv6_only; /**< cannot reach IPv4 */
    bool refused;   /**< a call met a refusal, which waits among the notices */
};

/** A datagram that came. */
struct qcmp_arrival {
    struct qcmp_endpoint from;
    struct qcmp_reading read;         /**< when user space had it */
    int64_t kernel_ns;                /**< wall clock, when the kernel got it; 0 = not known */
    size_t bytes;                     /**< its size, or something above QCMP_MAX_BYTES if that is */
    uint8_t data[QCMP_MAX_BYTES + 1]; /**< one byte more than a packet, to tell what is longer */
};

/** What the kernel says about a datagram that was sent. */
struct qcmp_notice {
    bool transmitted;        /**< handed to the device at kernel_ns; otherwise refused with error */
    int64_t kernel_ns;       /**< wall clock, when it left */
    int error;               /**< an error of the operating system, made from an ICMP message */
    struct qcmp_endpoint to; /**< where it was sent */
    size_t bytes;            /**< of its payload, at most QCMP_MAX_BYTES */
    uint8_t data[QCMP_MAX_BYTES];
};

/** Makes the socket itself: dual-stack or one family as the options and the host have it, bound,
 * with its interface and class of service. The part of qcmp_socket_open() that Unix systems share.
 * @param type SOCK_DGRAM, with what flags the platform knows.
 * @return 0, QCMP_ERROR_INVALID_ARGUMENT or an error of the operating system, with @p sock
 * untouched. */
int qcmp_socket_create(struct qcmp_socket *sock, const struct qcmp_client_options *options,
                       int type);

/** Confines a socket to a network interface. @return 0 or an error of the operating system. */
int qcmp_socket_confine(qcmp_fd fd, bool ipv6, uint32_t interface_index);

/** The family that the options ask for: that of the source address where there is one.
 * @return 0, or QCMP_ERROR_INVALID_ARGUMENT when they contradict each other. */
int qcmp_options_family(const struct qcmp_client_options *options, enum qcmp_family *family);

/** Sends one datagram as the system does it: the part of qcmp_socket_send() that Unix systems
 * share.
 * @return 0 or an error of the operating system: of this send, of an earlier one, or that the
 * socket's family cannot reach @p to. */
int qcmp_socket_send_once(struct qcmp_socket *sock, const struct qcmp_endpoint *to,
                          const void *data, size_t bytes);

/** Opens a non-blocking UDP socket, with a receive buffer for the answers to @p slots pings as far
 * as the system grants it. Kernel stamps that the system does not grant are done without.
 * @return 0, QCMP_ERROR_INVALID_ARGUMENT or an error of the operating system. */
int qcmp_socket_open(struct qcmp_socket *sock, const struct qcmp_client_options *options,
                     size_t slots);

/** Closes it. */
void qcmp_socket_close(struct qcmp_socket *sock);

/** Sends one datagram, with QCMP_PING_BYTES bytes where its transmit stamp matters. @return 0 or an
 * error of the operating system. */
int qcmp_socket_send(struct qcmp_socket *sock, const struct qcmp_endpoint *to, const void *data,
                     size_t bytes);

/** Reads what has come, without blocking.
 * @return the number of datagrams, 0 when there are none, or an error of the operating system. */
int qcmp_socket_receive(struct qcmp_socket *sock, struct qcmp_arrival *arrivals, int capacity);

/** Reads one notice, without blocking. Each transmit stamp is there before the answer to its
 * datagram is.
 * @return 1, 0 when there is none, or -1 for one that says nothing about a ping. */
int qcmp_socket_notice(struct qcmp_socket *sock, struct qcmp_notice *notice);

/** Blocks until something can be read, or @p timeout_ns has passed. @return 0 or an error of the
 * operating system. */
int qcmp_socket_wait(const struct qcmp_socket *sock, int64_t timeout_ns);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/** @file
 * Bound UDP sockets: dual-stack, with the destination of each datagram and the kernel's receive
 * timestamps.
 */
#ifndef PADDOCK_NET_BIND_H
#define PADDOCK_NET_BIND_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

/** What sizes a receive buffer in time: datagrams a second that a worker handles at its full rate,
 * and bytes that a small one costs the kernel (768 on loopback; drivers take up to 2304). */
#define BIND_FULL_RATE 300000
#define BIND_DATAGRAM_COST_BYTES 1280
/** The least that a datagram costs the kernel: the most that a buffer holds follows. */
#define BIND_LEAST_COST_BYTES 256

/** What a send buffer is to hold, as the kernel accounts for it: answers that wait for neighbours
 * who do not answer take three seconds of it. */
#define BIND_SEND_BUFFER_BYTES (8 << 20)

/** Where sockets are bound. */
struct binding {
    struct in6_addr address; /**< IPv4 as v4-mapped */
    bool ipv6_only;          /**< an IPv6 address takes no IPv4 */
    bool is_unstamped;   /**< datagrams have no receive timestamps, which cost the kernel time */
    bool tells_hops;     /**< datagrams have the TTL or hop limit that was left */
    bool tells_traffic;  /**< datagrams have their DSCP and ECN */
    size_t buffer_bytes; /**< the size of the receive buffer, as the kernel accounts for it; as
                            much of it as is granted */
    bool is_missing;     /**< false at first; set by bind_open() where the host does not have the
                            address, or not yet */
};

/** Whether the sockets of a binding are IPv6 ones, which see IPv4 addresses as v4-mapped. */
bool binding_is_ipv6(const struct binding *binding);

/** Bytes of a receive buffer that takes so long to empty at a worker's full rate. */
size_t bind_buffer_bytes(int64_t length_ns);

/**
 * Opens a non-blocking socket on one address and port.
 *
 * @param[in,out] binding `::` becomes 0.0.0.0 where the host has no IPv6, unless it is to take no
 * IPv4. An address that the host does not have is bound all the same, and is_missing then says so.
 * @param port 0 takes a free one.
 * @param joins whether it joins the sockets that are bound there already, by SO_REUSEPORT. One that
 * does not is bound alone, so that a port that somebody else has is an error.
 * @return the descriptor, the caller's, or a negative errno value.
 */
int bind_open(struct binding *binding, uint16_t port, bool joins);

/** Lets others of this user join a bound socket. It is not done before its bind, which would else
 * succeed beside another process's socket. @return 0 or a negative errno value. */
int bind_join(int fd);

/** Lets the sockets that have joined one share their datagrams by source address and port alone: a
 * peer's datagrams reach the same place among as many sockets, whatever port they are for.
 * @param count of the sockets. @return 0 or a negative errno value. */
int bind_choose_by_source(int fd, unsigned count);

/**
 * Opens a non-blocking socket on a port of all addresses that nobody has, dual-stack where the host
 * has IPv6. Its datagrams have no stamp.
 * @param tells_traffic as in struct binding.
 * @param tells_local whether they have their destination.
 * @param[in,out] port the one that is wanted, host order, 0: any; then the one in use. Untouched on
 * failure.
 * @return the descriptor, the caller's; or a negative errno value: -EADDRINUSE when it is not free,
 * or none is.
 */
int bind_free_port(uint16_t *port, bool tells_traffic, bool tells_local);

/**
 * Opens a non-blocking socket towards one peer, with the kernel's receive timestamps: it takes
 * datagrams from there alone, and errors that the network reports about what it sent.
 *
 * @param buffer_bytes as in struct binding.
 * @return the descriptor, the caller's, or a negative errno value.
 */
int bind_connected(const struct sockaddr *peer, socklen_t peer_bytes, size_t buffer_bytes);

/** Lets a socket hear, by its error queue, of datagrams that the network could not deliver,
 * whatever peer they were for; or no more, and forgets what it has heard. One that hears also tells
 * of each datagram that a queue of this host drops, as ENOBUFS. The room of the error queue is the
 * receive buffer's. */
void bind_hear_errors(int fd, bool hears);

/** Lets a socket take nothing more: what comes from then on is dropped, and among its drops. What
 * is queued can still be received. @return 0 or a negative errno value. */
int bind_stop_receiving(int fd);

/** Takes a socket from where the kernel looks for one, so that nothing more is dropped at it, as
 * far as that can be done before close(). It is connected to itself. */
void bind_leave(int fd);

/** Waits until the kernel has done with the datagrams for which it had found a socket before, by
 * bind_stop_receiving() or bind_leave(). Milliseconds. */
void bind_settle(void);

/** Datagrams that the kernel dropped at a socket, modulo 2^32. From any thread.
 * @return 0 or a negative errno value; @p drops is untouched then. */
int bind_drops(int fd, uint32_t *drops);

/** The size of a socket's receive buffer, as the kernel accounts for it. @return 0 on a failure. */
size_t bind_receive_buffer(int fd);

/** What of a socket's send buffer is in use, and its size, as the kernel accounts for it. From any
 * thread.
 * @return 0 or a negative errno value; the outputs are untouched then. */
int bind_send_buffer(int fd, size_t *used, size_t *size);

/** Lets the kernel gather datagrams of one size that came from one peer in a row into one message
 * (UDP_GRO), where it can. */
void bind_gather(int fd);

/** Whether a socket can cut one buffer into datagrams (UDP_SEGMENT). Where it cannot, the kernel
 * may take no notice of being asked to. */
bool bind_can_segment(int fd);

#endif

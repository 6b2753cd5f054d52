/** @file
 * UDP sockets to be asked at: dual-stack, with packet info and the kernel's receive timestamps.
 */
#ifndef PADDOCK_NET_UDP_SOCKET_H
#define PADDOCK_NET_UDP_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/** Where sockets are bound. */
struct udp_binding {
    struct in6_addr address; /**< IPv4 as v4-mapped */
    bool ipv6_only;          /**< of an IPv6 address: take no IPv4 */
    size_t buffer_bytes; /**< of the receive buffer, as the kernel accounts for it; as much of it
                            as is granted */
};

/** Whether the sockets of a binding are IPv6 ones, which see IPv4 addresses as v4-mapped. */
bool udp_binding_is_ipv6(const struct udp_binding *binding);

/**
 * Opens @p n non-blocking sockets on one address and port. The first binds it alone, so that a port
 * that somebody else has is an error; the others join it with SO_REUSEPORT.
 *
 * @param[out] fds untouched on failure.
 * @param[in,out] binding `::` becomes 0.0.0.0 where the host has no IPv6, unless it is to take no
 * IPv4.
 * @param port 0 takes a free one.
 * @return 0 or a negative errno value.
 */
int udp_sockets_open(int *fds, unsigned n, struct udp_binding *binding, uint16_t port);

/**
 * Opens a non-blocking socket towards one peer, with the kernel's receive timestamps: it takes
 * datagrams from there alone, and errors that the network reports about what it sent.
 *
 * @param buffer_bytes as in struct udp_binding.
 * @return the descriptor, the caller's, or a negative errno value.
 */
int udp_socket_connect(const struct sockaddr *peer, socklen_t peer_bytes, size_t buffer_bytes);

/** Datagrams that the kernel dropped at a socket because its buffer was full, modulo 2^32.
 * @return 0 or a negative errno value; @p drops is untouched then. */
int udp_socket_drops(int fd, uint32_t *drops);

/** The size of a socket's receive buffer, as the kernel accounts for it. @return 0 on a failure. */
size_t udp_socket_buffer(int fd);

/** Whether a socket can cut one buffer into datagrams (UDP_SEGMENT). Where it cannot, the kernel
 * may take no notice of being asked to. */
bool udp_socket_can_segment(int fd);

#endif

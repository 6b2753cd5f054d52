/** @file
 * The UDP sockets of a service: dual-stack, with packet info and the kernel's receive timestamps.
 */
#ifndef PADDOCK_ENGINE_UDP_SOCKET_H
#define PADDOCK_ENGINE_UDP_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/** The control messages of one datagram. */
struct udp_info {
    struct in6_addr destination; /**< where it was sent to, if has_destination */
    unsigned interface;          /**< where it came in */
    bool has_destination;
    bool to_broadcast;
    int64_t received_ns; /**< the kernel's receive timestamp, wall clock; 0 = none */
};

/**
 * Opens @p n non-blocking sockets on one port. The first binds it alone, so that a port that
 * somebody else has is an error; the others join it with SO_REUSEPORT.
 *
 * @param[out] fds untouched on failure.
 * @param[in,out] ipv6 whether IPv6 is wanted beside IPv4; false afterwards where the host has none.
 * @param port 0 takes a free one.
 * @return 0 or a negative errno value.
 */
int udp_sockets_open(int *fds, unsigned n, bool *ipv6, uint16_t port);

/** The port that a socket is bound to. @return 0 when it is not. */
uint16_t udp_socket_port(int fd);

/** Reads the control messages of a received datagram. */
struct udp_info udp_info_read(struct msghdr *message);

/** Space for the control message of udp_info_write(). */
#define UDP_INFO_BYTES CMSG_SPACE(sizeof(struct in6_pktinfo))

/**
 * Writes the control message that makes a datagram leave from @p source, over any interface; for a
 * link-local address over
 * @p interface.
 * @param ipv6 whether the socket is a dual-stack one, whose IPv4 addresses are v4-mapped.
 * @param[out] message msg_control has room for UDP_INFO_BYTES; msg_controllen is set.
 */
void udp_info_write(struct msghdr *message, bool ipv6, const struct in6_addr *source,
                    unsigned interface);

#endif

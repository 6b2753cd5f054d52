/** @file
 * What the control messages of a received datagram say, and the one that a reply is sent with.
 * Inline, because it is read for each datagram.
 */
#ifndef PADDOCK_BASE_UDP_INFO_H
#define PADDOCK_BASE_UDP_INFO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h> /* before linux/errqueue.h, which uses struct timespec without it */

#include <linux/errqueue.h>

#include "base/address.h"

/** What the control messages of one datagram say. Pointers last until the control buffer is
 * received to again. */
struct udp_info {
    int64_t received_ns;                /**< the kernel's receive timestamp, wall clock; 0 = none */
    const struct in6_addr *destination; /**< where it was sent to; NULL = not told */
    bool to_broadcast;
    struct cmsghdr *reply; /**< makes a reply leave from the destination; NULL if there is none */
    size_t reply_bytes;    /**< the space that it takes in a control buffer */
    struct in6_addr ipv4;  /**< the destination of a datagram on an IPv4 socket */
};

/** The most that udp_info.reply_bytes can be. */
#define UDP_INFO_REPLY_BYTES CMSG_SPACE(sizeof(struct in6_pktinfo))

/* Over any interface, but for a link-local address, which is one's own on the interface of the
 * datagram alone. */
static inline void udp_info_read_ipv6(struct cmsghdr *header, struct udp_info *info)
{
    struct in6_pktinfo *packet = (struct in6_pktinfo *)CMSG_DATA(header);
    info->destination = &packet->ipi6_addr;
    info->reply = header;
    info->reply_bytes = CMSG_SPACE(sizeof *packet);
    if (!IN6_IS_ADDR_LINKLOCAL(&packet->ipi6_addr))
        packet->ipi6_ifindex = 0;
}

/* On a dual-stack socket an IPv4 datagram has both messages, and is answered with the other. The
 * address that the kernel would answer from is another one than the destination only where that one
 * cannot be answered from. */
static inline void udp_info_read_ipv4(struct cmsghdr *header, struct udp_info *info)
{
    struct in_pktinfo *packet = (struct in_pktinfo *)CMSG_DATA(header);
    info->to_broadcast =
        packet->ipi_ifindex != 0 && packet->ipi_spec_dst.s_addr != packet->ipi_addr.s_addr;
    if (info->reply != NULL)
        return;
    info->ipv4 = address_from_ipv4(packet->ipi_addr);
    info->destination = &info->ipv4;
    info->reply = header;
    info->reply_bytes = CMSG_SPACE(sizeof *packet);
    packet->ipi_spec_dst = packet->ipi_addr;
    packet->ipi_ifindex = 0;
}

/**
 * Reads the control messages of a received datagram, and turns the one with its destination into
 * one for a reply. Of a socket of udp_sockets_open(), which asks for one message of each level,
 * and so of one size.
 * @param[in,out] message as recvmsg left it.
 * @param[out] info written in any case.
 */
static inline void udp_info_read(struct msghdr *message, struct udp_info *info)
{
    uint8_t *at = message->msg_control;
    const uint8_t *end = at + message->msg_controllen;
    info->received_ns = 0;
    info->destination = NULL;
    info->to_broadcast = false;
    info->reply = NULL;
    info->reply_bytes = 0;
    while (at < end) {
        struct cmsghdr *header = (struct cmsghdr *)at;
        if (header->cmsg_level == SOL_SOCKET) {
            const struct scm_timestamping *stamps =
                (const struct scm_timestamping *)CMSG_DATA(header);
            info->received_ns = (int64_t)stamps->ts[0].tv_sec * 1000000000 + stamps->ts[0].tv_nsec;
            at += CMSG_SPACE(sizeof *stamps);
        } else if (header->cmsg_level == IPPROTO_IPV6) {
            udp_info_read_ipv6(header, info);
            at += CMSG_SPACE(sizeof(struct in6_pktinfo));
        } else {
            udp_info_read_ipv4(header, info);
            at += CMSG_SPACE(sizeof(struct in_pktinfo));
        }
    }
}

#endif

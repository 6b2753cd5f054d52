/** @file
 * What the control messages of a received datagram say, and the one that a reply is sent with.
 * Inline, because it is read for each datagram.
 */
#ifndef PADDOCK_NET_UDP_INFO_H
#define PADDOCK_NET_UDP_INFO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h> /* before linux/errqueue.h, which uses struct timespec without it */

#include <linux/errqueue.h>

#include "net/address.h"

/** What the control messages of one datagram say. Pointers last until the control buffer is
 * received to again. */
struct udp_info {
    int64_t received_ns; /**< the kernel's receive timestamp, wall clock; 0 = none */
    const struct in6_addr
        *destination;      /**< where it was sent to, or the limited broadcast address
                              for any broadcast address of this host; NULL = not told */
    struct cmsghdr *reply; /**< makes a reply leave from the destination; NULL if there is none */
    size_t reply_bytes;    /**< the space that it takes in a control buffer */
};

/* Bytes of each message in a control buffer. */
#define UDP_INFO_STAMP_BYTES CMSG_SPACE(sizeof(struct scm_timestamping))
#define UDP_INFO_IPV6_BYTES CMSG_SPACE(sizeof(struct in6_pktinfo))
#define UDP_INFO_IPV4_BYTES CMSG_SPACE(sizeof(struct in_pktinfo))

/** The most that udp_info.reply_bytes can be. */
#define UDP_INFO_REPLY_BYTES UDP_INFO_IPV6_BYTES

static inline int64_t udp_info_stamp_ns(struct cmsghdr *header)
{
    const struct scm_timestamping *stamps = (struct scm_timestamping *)CMSG_DATA(header);
    return (int64_t)stamps->ts[0].tv_sec * 1000000000 + stamps->ts[0].tv_nsec;
}

/* Over any interface, but for a link-local address, which is one's own on the interface of the
 * datagram alone. Site-local
 * ones, which nobody should have any more, begin with the same byte and are treated alike. */
static inline void udp_info_reply_from(struct in6_pktinfo *packet)
{
    if (packet->ipi6_addr.s6_addr[0] != 0xfe)
        packet->ipi6_ifindex = 0;
}

static inline void udp_info_read_ipv6(struct cmsghdr *header, struct udp_info *info)
{
    struct in6_pktinfo *packet = (struct in6_pktinfo *)CMSG_DATA(header);
    info->destination = &packet->ipi6_addr;
    info->reply = header;
    info->reply_bytes = UDP_INFO_IPV6_BYTES;
    udp_info_reply_from(packet);
}

/* The address that the kernel would answer from is another one than the destination only where that
 * one cannot be answered from. */
static inline bool udp_info_is_broadcast(struct cmsghdr *header)
{
    const struct in_pktinfo *packet = (struct in_pktinfo *)CMSG_DATA(header);
    return packet->ipi_ifindex != 0 && packet->ipi_spec_dst.s_addr != packet->ipi_addr.s_addr;
}

/* On a dual-stack socket an IPv4 datagram has both messages, this one later, and is answered with
 * the other. */
static inline void udp_info_read_ipv4(struct cmsghdr *header, struct udp_info *info,
                                      struct in6_addr *mapped)
{
    struct in_pktinfo *packet = (struct in_pktinfo *)CMSG_DATA(header);
    if (udp_info_is_broadcast(header)) {
        *mapped = address_from_ipv4((struct in_addr){INADDR_BROADCAST});
        info->destination = mapped;
    }
    if (info->reply != NULL)
        return;
    if (info->destination == NULL) {
        *mapped = address_from_ipv4(packet->ipi_addr);
        info->destination = mapped;
    }
    info->reply = header;
    info->reply_bytes = UDP_INFO_IPV4_BYTES;
    packet->ipi_spec_dst = packet->ipi_addr;
    packet->ipi_ifindex = 0;
}

/**
 * Reads the control messages of a received datagram, and turns the one with its destination into
 * one for a reply. Of a socket of udp_sockets_open(), which asks for one message of each level,
 * and so of one size.
 * @param[in,out] control @param bytes as recvmsg left them.
 * @param[out] mapped room for a destination that is in no message as v4-mapped.
 */
static inline struct udp_info udp_info_read(void *control, size_t bytes, struct in6_addr *mapped)
{
    struct udp_info info = {0};
    uint8_t *at = control;
    const uint8_t *end = at + bytes;
    while (at < end) {
        struct cmsghdr *header = (struct cmsghdr *)at;
        if (header->cmsg_level == SOL_SOCKET) {
            info.received_ns = udp_info_stamp_ns(header);
            at += UDP_INFO_STAMP_BYTES;
        } else if (header->cmsg_level == IPPROTO_IPV6) {
            udp_info_read_ipv6(header, &info);
            at += UDP_INFO_IPV6_BYTES;
        } else {
            udp_info_read_ipv4(header, &info, mapped);
            at += UDP_INFO_IPV4_BYTES;
        }
    }
    return info;
}

/** Bytes of the messages of a dual-stack socket that the kernel stamps, in the kernel's order: for
 * an IPv6 datagram, and for an IPv4 one. */
#define UDP_INFO_USUAL_IPV6_BYTES (UDP_INFO_STAMP_BYTES + UDP_INFO_IPV6_BYTES)
#define UDP_INFO_USUAL_IPV4_BYTES (UDP_INFO_USUAL_IPV6_BYTES + UDP_INFO_IPV4_BYTES)

/** What the usual messages in a control buffer say, but for `received_ns`, which is 0: all the rest
 * is the same for every datagram that is received there. */
static inline struct udp_info udp_info_usual(void *control)
{
    struct cmsghdr *header = (struct cmsghdr *)((uint8_t *)control + UDP_INFO_STAMP_BYTES);
    const struct in6_pktinfo *packet = (struct in6_pktinfo *)CMSG_DATA(header);
    return (struct udp_info){
        .destination = &packet->ipi6_addr, .reply = header, .reply_bytes = UDP_INFO_IPV6_BYTES};
}

/** As udp_info_read() for whoever has udp_info_usual(), at a third of the cost.
 * @param[out] received_ns untouched on failure.
 * @return false if the messages are not the usual ones, or were sent to a broadcast address;
 * nothing has changed then. */
static inline bool udp_info_read_usual(void *control, size_t bytes, int64_t *received_ns)
{
    struct cmsghdr *ipv6 = (struct cmsghdr *)((uint8_t *)control + UDP_INFO_STAMP_BYTES);
    struct cmsghdr *ipv4 = (struct cmsghdr *)((uint8_t *)control + UDP_INFO_USUAL_IPV6_BYTES);
    if (bytes != UDP_INFO_USUAL_IPV6_BYTES &&
        (bytes != UDP_INFO_USUAL_IPV4_BYTES || udp_info_is_broadcast(ipv4)))
        return false;
    if (ipv6->cmsg_level != IPPROTO_IPV6) /* in no order that is known */
        return false;
    udp_info_reply_from((struct in6_pktinfo *)CMSG_DATA(ipv6));
    *received_ns = udp_info_stamp_ns(control);
    return true;
}

#endif
